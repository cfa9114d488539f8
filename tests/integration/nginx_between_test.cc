// nginx between the gateway's process and the sandbox: it passes on, compresses, and answers with
// pages of its own when it is told to.
#include <gmock/gmock.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_program.h"
#include "tests/support/name_server.h"
#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class NginxBetweenTest : public GatewayProgram {
 protected:
  static constexpr int kStatuses[] = {302, 400, 401, 403, 404, 407, 410, 429, 503};

  void Start(std::vector<std::string> sandbox_options, std::vector<std::string> gateway_options) {
    sandbox_ = StartSandbox("sandbox", "127.0.0.1", 0, std::move(sandbox_options));
    const Authority authority("serverAuth", {kHost});
    const auto identity = authority.Good();
    std::ofstream(Path("ca.pem")) << authority.root.certificate;
    std::ofstream(Path("leaf.pem")) << identity.certificate;
    std::ofstream(Path("leaf.key")) << identity.key;
    const int port = FreePort();
    std::ofstream(Path("nginx.conf")) << Configuration(port);
    Programs::Start("nginx", "/usr/sbin/nginx",
                    {"-p", Path(""), "-c", Path("nginx.conf"), "-e", "stderr"});
    ASSERT_TRUE(Eventually([&] { return HttpClient(port).connected(); }))
        << ReadAll(Path("nginx.err"));
    gateway_options.insert(gateway_options.end(), {"--dns-servers", names_.server(),
                                                   "--upstream-ca-file", Path("ca.pem")});
    StartGateway(port, std::move(gateway_options));
  }
  std::string Configuration(int port) const {
    std::string text = "daemon off;\nmaster_process off;\npid " + Path("pid") +
                       ";\nevents { worker_connections 64; }\nhttp {\naccess_log off;\n";
    for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      text += kind + "_temp_path " + Path(kind) + ";\n";
    }
    text +=
        "gzip on;\ngzip_types application/json;\ngzip_min_length 1;\nserver {\nlisten 127.0.0.1:" +
        std::to_string(port) +
        " ssl;\nssl_certificate leaf.pem;\nssl_certificate_key leaf.key;\nlocation / {\n";
    for (const int status : kStatuses) {
      const std::string number = std::to_string(status);
      text += "if (-f " + Path("answer" + number) + ") { return " + number +
              (status == 302 ? " https://login.example/" : "") + "; }\n";
    }
    return text + "proxy_http_version 1.1;\nproxy_pass https://127.0.0.1:" +
           std::to_string(sandbox_.port) + ";\n}\n}\n}\n";
  }
  static int FreePort() {
    boost::asio::io_context io;
    const boost::asio::ip::tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
    return acceptor.local_endpoint().port();
  }
  // From now on nginx answers everything with this; 0: it passes on.
  void Answer(int status) {
    for (const int other : kStatuses) {
      std::filesystem::remove(Path("answer" + std::to_string(other)));
    }
    if (status != 0) std::ofstream(Path("answer" + std::to_string(status))) << "";
  }
  // If memory will do.
  grpc::Status Read(std::string* cache_status, v1::ListAvailableNumbersResponse* response) {
    const auto context = Context(milliseconds(60'000));
    const auto status = stub_->ListAvailableNumbers(context.get(), {}, response);
    const auto& metadata = context->GetServerInitialMetadata();
    const auto found = metadata.find("cache-status");
    *cache_status =
        found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
    return status;
  }
  grpc::Status LeaseAs(const std::string& request_id, const std::string& number) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    request.set_request_id(request_id);
    v1::CreateLeaseResponse response;
    return stub_->CreateLease(Context(milliseconds(5'000)).get(), request, &response);
  }
  std::string Ask(const std::string& what) const {
    return Http(sandbox_.control_port, "GET", "/_sandbox/" + what).body;
  }
  int NotModified() const {
    const std::string traffic = Ask("requests");
    const std::string mark = "\"not_modified\":";
    const auto at = traffic.find(mark);
    return at == traffic.npos ? -1 : std::atoi(traffic.c_str() + at + mark.size());
  }

  NameServer names_{R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": []}})"};
  Sandbox sandbox_;
};

TEST_F(NginxBetweenTest, ItsPagesAreNoAnswersOfTheProvider) {
  Start({}, {"--cache-fresh", "20ms", "--cache-stale-while-revalidate", "0s", "--retry-attempts",
             "1", "--settle-time", "200ms"});
  const auto numbers = Numbers();
  ASSERT_GT(numbers.size(), 20U);
  std::size_t next = 0;
  for (const int status : kStatuses) {
    SCOPED_TRACE(status);
    Answer(status);
    v1::ListAvailableNumbersResponse response;
    const auto failure = List(&response);
    const auto why = Explain(failure);
    // The circuit may have opened in between; that is no word about the caller either.
    EXPECT_EQ(why.code, StatusCode::UNAVAILABLE) << failure.error_message();
    if (why.reason != "CIRCUIT_OPEN") {
      EXPECT_EQ(why.reason, "UPSTREAM_INTERMEDIARY") << failure.error_message();
      EXPECT_THAT(failure.error_message(), HasSubstr("server: nginx"));
      EXPECT_EQ(why.info.metadata().at("http_status"), std::to_string(status));
    }
    EXPECT_THAT(failure.error_message(), Not(HasSubstr("<")));
    std::string cache_status;
    EXPECT_TRUE(Eventually([&] {
      const auto read = Read(&cache_status, &response);
      EXPECT_TRUE(read.ok()) << read.error_message();
      return cache_status.find("stale-if-error") != cache_status.npos;
    })) << cache_status;
    EXPECT_GT(response.numbers_size(), 50);
    const std::string id = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5" + std::to_string(status);
    const std::string number = numbers[next++];
    const auto refused = Explain(LeaseAs(id, number));
    EXPECT_TRUE(refused.code == StatusCode::UNAVAILABLE || refused.code == StatusCode::ABORTED ||
                refused.code == StatusCode::DEADLINE_EXCEEDED)
        << refused.code << refused.reason;
    EXPECT_EQ(Metric("lease_gateway_upstream_credentials_rejected{account=\"default\"}"), 0);
    EXPECT_THAT(Http(admin_port_, "GET", "/readyz").body, Not(HasSubstr("key")));
    // Under the same name the purchase is made once it can be.
    Answer(0);
    EXPECT_TRUE(Eventually([&] { return LeaseAs(id, number).ok(); })) << number;
    EXPECT_TRUE(Eventually([&] { return List().ok(); }));
  }
  const std::string ledger = Ask("ledger");
  const std::string mark = "\"charge\"";
  int charges = 0;
  for (auto at = ledger.find(mark); at != ledger.npos; at = ledger.find(mark, at + 1)) ++charges;
  EXPECT_EQ(charges, static_cast<int>(std::size(kStatuses)));
}

TEST_F(NginxBetweenTest, WhatItCompressesIsReadAndWhatIsUnchangedDoesNotCome) {
  Start({"--validators"}, {"--cache-fresh", "1h"});
  v1::ListAvailableNumbersResponse first, second;
  EXPECT_TRUE(List(&first).ok());
  EXPECT_EQ(first.numbers_size(), 100);
  EXPECT_EQ(NotModified(), 0);
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_TRUE(List(&second).ok());
  EXPECT_EQ(NotModified(), 1);
  EXPECT_EQ(second.numbers_size(), 100);
  EXPECT_NE(second.metadata().fetch_time().ShortDebugString(),
            first.metadata().fetch_time().ShortDebugString());
}

}  // namespace
}  // namespace leasegateway
