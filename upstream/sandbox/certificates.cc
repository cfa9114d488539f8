#include "upstream/sandbox/certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/status/status.h"

namespace leasegateway::sandbox {
namespace {

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Memory = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using Number = std::unique_ptr<BIGNUM, Deleter<BN_free>>;

constexpr long kHour = 3600;
constexpr long kDay = 24 * kHour;

bool AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// Built by hand, not from a configuration string, in which a comma in a name would add another.
bool AddNames(X509* certificate, const std::vector<std::string>& names) {
  Names all(GENERAL_NAMES_new());
  if (all == nullptr) return false;
  for (const std::string& text : names) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    if (name == nullptr) return false;
    if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(text.c_str())) {
      GENERAL_NAME_set0_value(name, GEN_IPADD, address);
    } else {
      ASN1_IA5STRING* dns = ASN1_IA5STRING_new();
      if (dns == nullptr || ASN1_STRING_set(dns, text.data(), static_cast<int>(text.size())) != 1) {
        ASN1_IA5STRING_free(dns);
        GENERAL_NAME_free(name);
        return false;
      }
      GENERAL_NAME_set0_value(name, GEN_DNS, dns);
    }
    if (sk_GENERAL_NAME_push(all.get(), name) == 0) {
      GENERAL_NAME_free(name);
      return false;
    }
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) ==
         1;
}

bool SetCommonName(X509_NAME* name, const char* common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name), -1, -1,
                                    0) == 1;
}

Certificate NewCertificate(const char* common_name, EVP_PKEY* key, long not_before,
                           long not_after) {
  Certificate certificate(X509_new());
  Number serial(BN_new());
  if (certificate == nullptr || serial == nullptr) return nullptr;
  X509* x509 = certificate.get();
  const bool made = BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                    BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(x509)) != nullptr &&
                    X509_set_version(x509, X509_VERSION_3) == 1 &&
                    X509_gmtime_adj(X509_getm_notBefore(x509), not_before) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(x509), not_after) != nullptr &&
                    X509_set_pubkey(x509, key) == 1 &&
                    SetCommonName(X509_get_subject_name(x509), common_name);
  return made ? std::move(certificate) : nullptr;
}

std::string Text(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::string ToPem(X509* certificate) {
  Memory memory(BIO_new(BIO_s_mem()));
  return memory != nullptr && PEM_write_bio_X509(memory.get(), certificate) == 1
             ? Text(memory.get())
             : std::string();
}

std::string ToPem(EVP_PKEY* key) {
  Memory memory(BIO_new(BIO_s_mem()));
  return memory != nullptr && PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0,
                                                       nullptr, nullptr) == 1
             ? Text(memory.get())
             : std::string();
}

}  // namespace

absl::StatusOr<Certificates> MakeCertificates(const std::vector<std::string>& names, int days) {
  const absl::Status failed = absl::InternalError("OpenSSL could not make the certificates");
  Key ca_key(EVP_EC_gen("P-256"));
  Key leaf_key(EVP_EC_gen("P-256"));
  if (ca_key == nullptr || leaf_key == nullptr) return failed;

  // The CA outlives the leaf on both sides, so that an expired leaf is the only thing wrong.
  Certificate ca = NewCertificate("Lease sandbox throw-away CA", ca_key.get(), -10 * kDay,
                                  (std::max(days, 1) + 1L) * kDay);
  if (ca == nullptr || X509_set_issuer_name(ca.get(), X509_get_subject_name(ca.get())) != 1 ||
      !AddExtension(ca.get(), ca.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(ca.get(), ca.get(), NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(ca.get(), ca.get(), NID_subject_key_identifier, "hash") ||
      X509_sign(ca.get(), ca_key.get(), EVP_sha256()) == 0) {
    return failed;
  }

  Certificate leaf = NewCertificate("Lease sandbox", leaf_key.get(), days > 0 ? -kHour : -2 * kDay,
                                    days > 0 ? days * kDay : -kDay);
  if (leaf == nullptr || X509_set_issuer_name(leaf.get(), X509_get_subject_name(ca.get())) != 1 ||
      !AddExtension(leaf.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(leaf.get(), ca.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(leaf.get(), ca.get(), NID_ext_key_usage, "serverAuth") ||
      !AddExtension(leaf.get(), ca.get(), NID_subject_key_identifier, "hash") ||
      !AddExtension(leaf.get(), ca.get(), NID_authority_key_identifier, "keyid:always") ||
      !AddNames(leaf.get(), names) || X509_sign(leaf.get(), ca_key.get(), EVP_sha256()) == 0) {
    return failed;
  }

  Certificates made{ToPem(ca.get()), ToPem(leaf.get()), ToPem(leaf_key.get())};
  if (made.ca.empty() || made.leaf.empty() || made.leaf_key.empty()) return failed;
  return made;
}

}  // namespace leasegateway::sandbox
