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
using Name = std::unique_ptr<X509_NAME, Deleter<X509_NAME_free>>;

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
      ASN1_IA5STRING* value = ASN1_IA5STRING_new();
      if (value == nullptr ||
          ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
        ASN1_IA5STRING_free(value);
        GENERAL_NAME_free(name);
        return false;
      }
      GENERAL_NAME_set0_value(name, text.find("://") == text.npos ? GEN_DNS : GEN_URI, value);
    }
    if (sk_GENERAL_NAME_push(all.get(), name) == 0) {
      GENERAL_NAME_free(name);
      return false;
    }
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) ==
         1;
}

bool SetCommonName(X509* certificate, const char* common_name) {
  const Name name(X509_NAME_new());
  return name != nullptr &&
         X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name), -1, -1,
                                    0) == 1 &&
         X509_set_subject_name(certificate, name.get()) == 1;
}

Certificate NewCertificate(const CertificateRequest& request, EVP_PKEY* key) {
  Certificate certificate(X509_new());
  Number serial(BN_new());
  if (certificate == nullptr || serial == nullptr) return nullptr;
  X509* x509 = certificate.get();
  const bool made = BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                    BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(x509)) != nullptr &&
                    X509_set_version(x509, X509_VERSION_3) == 1 &&
                    X509_gmtime_adj(X509_getm_notBefore(x509), request.not_before.count()) &&
                    X509_gmtime_adj(X509_getm_notAfter(x509), request.not_after.count()) &&
                    X509_set_pubkey(x509, key) == 1 &&
                    SetCommonName(x509, request.common_name.c_str());
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

Memory Reader(const std::string& pem) {
  return Memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

}  // namespace

absl::StatusOr<CertificateAndKey> MakeCertificate(const CertificateRequest& request,
                                                  const CertificateAndKey* issuer) {
  const absl::Status failed = absl::InternalError("OpenSSL could not make a certificate");
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return failed;
  Certificate made = NewCertificate(request, key.get());
  if (made == nullptr) return failed;
  Certificate issuer_certificate;
  Key issuer_key;
  if (issuer != nullptr) {
    issuer_certificate.reset(
        PEM_read_bio_X509(Reader(issuer->certificate).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(PEM_read_bio_PrivateKey(Reader(issuer->key).get(), nullptr, nullptr, nullptr));
    if (issuer_certificate == nullptr || issuer_key == nullptr) return failed;
  }
  X509* const signer = issuer != nullptr ? issuer_certificate.get() : made.get();
  EVP_PKEY* const signing_key = issuer != nullptr ? issuer_key.get() : key.get();
  const char* const constraints = request.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE";
  const char* const key_usage =
      request.is_authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
  if (X509_set_issuer_name(made.get(), X509_get_subject_name(signer)) != 1 ||
      !AddExtension(made.get(), signer, NID_basic_constraints, constraints) ||
      !AddExtension(made.get(), signer, NID_key_usage, key_usage) ||
      !AddExtension(made.get(), signer, NID_subject_key_identifier, "hash") ||
      (issuer != nullptr &&
       !AddExtension(made.get(), signer, NID_authority_key_identifier, "keyid:always")) ||
      (!request.is_authority &&
       !AddExtension(made.get(), signer, NID_ext_key_usage, request.usage.c_str())) ||
      (!request.names.empty() && !AddNames(made.get(), request.names)) ||
      X509_sign(made.get(), signing_key, EVP_sha256()) == 0) {
    return failed;
  }
  CertificateAndKey result{ToPem(made.get()), ToPem(key.get())};
  if (result.certificate.empty() || result.key.empty()) return failed;
  return result;
}

absl::StatusOr<Certificates> MakeCertificates(const std::vector<std::string>& names, int days) {
  constexpr std::chrono::hours kDay(24);
  // The CA outlives the leaf on both sides, so that an expired leaf is the only thing wrong.
  auto ca = MakeCertificate({.common_name = "Lease sandbox throw-away CA",
                             .not_before = -10 * kDay,
                             .not_after = (std::max(days, 1) + 1) * kDay,
                             .is_authority = true});
  if (!ca.ok()) return ca.status();
  CertificateRequest request{.common_name = "Lease sandbox", .names = names};
  if (days > 0) {
    request.not_after = days * kDay;
  } else {
    request.not_before = -2 * kDay;
    request.not_after = -kDay;
  }
  auto leaf = MakeCertificate(request, &*ca);
  if (!leaf.ok()) return leaf.status();
  return Certificates{ca->certificate, leaf->certificate, leaf->key};
}

}  // namespace leasegateway::sandbox
