#ifndef LEASE_GATEWAY_TESTS_UNIT_SERVICE_CALLERS_CALLERS_FILES_H_
#define LEASE_GATEWAY_TESTS_UNIT_SERVICE_CALLERS_CALLERS_FILES_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace leasegateway {

// A public key (RFC 8037, appendix A.2).
inline constexpr char kJwks[] =
    R"({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA",)"
    R"( "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

// A folder with the files that a callers file names.
class CallersFilesTest : public ::testing::Test {
 protected:
  CallersFilesTest() {
    std::string pattern = ::testing::TempDir() + "callers_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/callers.yaml";
    key_ = Write("key", "contiguity_sk_s3cr3t\n");
    jwks_ = Write("jwks.json", kJwks);
  }
  ~CallersFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::string folder_;
  std::string path_;  // of the callers file
  std::string key_;   // file of an API key
  std::string jwks_;  // file of public keys
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_UNIT_SERVICE_CALLERS_CALLERS_FILES_H_
