#ifndef LEASE_GATEWAY_TESTS_SUPPORT_CONFIG_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_CONFIG_FIXTURE_H_

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/config/load_config.h"

namespace leasegateway {

inline constexpr char kKey[] = "contiguity_sk_s3cr3t";

// Loads configurations from a folder and an environment of its own, which has an API key.
class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    std::string pattern = ::testing::TempDir() + "config_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
    yaml_ = folder_ + "/gateway.yaml";
    environment_["CONTIGUITY_API_KEY"] = kKey;
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  absl::StatusOr<Invocation> Load(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "lease-gateway");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::vector<std::string> names;
    for (const auto& [name, value] : environment_) names.push_back(name);
    return LoadConfig(
        static_cast<int>(argv.size()), argv.data(),
        [this](const char* name) -> const char* {
          const auto found = environment_.find(name);
          return found == environment_.end() ? nullptr : found->second.c_str();
        },
        names);
  }

  absl::StatusOr<Invocation> LoadYaml(const std::string& yaml,
                                      std::vector<std::string> arguments = {}) {
    Write("gateway.yaml", yaml);
    arguments.push_back("--config=" + yaml_);
    return Load(arguments);
  }

  Config LoadedConfig(const std::vector<std::string>& arguments) {
    const absl::StatusOr<Invocation> invocation = Load(arguments);
    EXPECT_TRUE(invocation.ok()) << invocation.status();
    return invocation.ok() ? invocation->config : Config();
  }

  // The message of the error, empty when there is none.
  static std::string Message(const absl::StatusOr<Invocation>& invocation) {
    if (invocation.ok()) return "";
    EXPECT_EQ(invocation.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(invocation.status().message());
  }

  std::string folder_;
  std::string yaml_;  // what LoadYaml writes
  std::map<std::string, std::string> environment_;
};

// A self-signed certificate, PEM; a negative lifetime: expired.
inline std::string Certificate(long lifetime_seconds) {  // NOLINT(runtime/int): OpenSSL's type
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime_seconds);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string pem(data, size);
  BIO_free(bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return pem;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_CONFIG_FIXTURE_H_
