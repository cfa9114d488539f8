#ifndef LEASE_GATEWAY_TESTS_SUPPORT_WIRE_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_WIRE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/provider_replies.h"
#include "tests/support/wire_server.h"
#include "upstream/provider/https_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// An answer with a status line and a length around the body.
inline std::string HttpAnswer(std::string_view status, std::string_view fields,
                              std::string_view body) {
  const std::string length = std::to_string(body.size());
  return Concat(
      {"HTTP/1.1 ", status, "\r\n", fields, "content-length: ", length, "\r\n\r\n", body});
}
inline std::string GoodAnswer(std::string_view body) { return HttpAnswer("200 OK", "", body); }

// The innermost layer, and what a server answers it byte for byte.
class WireFixture : public testing::Test {
 protected:
  using End = WireConnection::End;

  // What the server sends and what becomes of it: "read" or the reason of the error; and ", kept"
  // when the connection serves the next call.
  struct Row {
    std::string name;
    std::string answer;
    std::string outcome;
    std::string says = "";  // a part of the error's message
    End end = End::kStaysOpen;
  };

  static const Authority& authority() {
    static const Authority authority("serverAuth", {"localhost", "127.0.0.1"});
    return authority;
  }

  void TearDown() override { Stop(); }

  void Start(std::vector<WireConnection> connections) {
    Stop();
    server_ = std::make_unique<WireServer>(authority(), std::move(connections));
    Connect(server_->port());
  }
  // To a server with a certificate of authority()'s.
  void Connect(int port) {
    const std::string ca_file =
        testing::TempDir() + "wire_fixture_" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file) << authority().root.certificate;
    auto tls = MakeTlsContext(ca_file);
    std::remove(ca_file.c_str());
    ASSERT_TRUE(tls.ok()) << tls.status();
    https_.host = "127.0.0.1";
    https_.port = std::to_string(port);
    https_.max_connections = 1;
    HttpsLeaseApi::Options options;
    options.base_path = "/numbers";
    options.host_header = "localhost";
    options.authorization = [] { return std::string("Bearer key"); };
    io_ = std::make_unique<boost::asio::io_context>();
    api_ = std::make_unique<HttpsLeaseApi>(io_->get_executor(), *std::move(tls), https_, options);
  }
  void Stop() {
    api_.reset();
    if (io_) {
      io_->restart();
      io_->poll();
    }
    server_.reset();
    io_.reset();
  }

  template <typename Known>
  absl::StatusOr<Reply<typename Known::Value>> Ask(Known operation, int seconds_left = 10) {
    using Result = absl::StatusOr<Reply<typename Known::Value>>;
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds_left);
    std::optional<Result> result;
    boost::asio::co_spawn(
        boost::asio::make_strand(*io_), api_->Perform(std::move(context), std::move(operation)),
        [&result](std::exception_ptr, Result reply) { result = std::move(reply); });
    io_->restart();
    while (!result) io_->run_one();
    return *std::move(result);
  }

  // Each row by itself, asked for with `operation`; then the same is asked for once more, and
  // `good_body` comes.
  template <typename Known>
  void Try(const Known& operation, const std::string& good_body, const std::vector<Row>& rows) {
    const std::string good = GoodAnswer(good_body);
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      WireConnection first;
      first.answers = {row.answer};
      first.end = row.end;
      if (row.end == End::kStaysOpen) first.answers.push_back(good);
      WireConnection second;
      second.answers = {good};
      Start({std::move(first), std::move(second)});
      const absl::Status status = Ask(operation).status();
      const absl::Status next = Ask(operation).status();
      EXPECT_TRUE(next.ok()) << next;
      std::string outcome = status.ok() ? "read" : ReasonOf(status);
      if (server_->connections() == 1) outcome += ", kept";
      EXPECT_EQ(outcome, row.outcome) << status;
      EXPECT_THAT(std::string(status.message()), testing::HasSubstr(row.says));
      EXPECT_EQ(server_->requests().size(), 2u) << "each call is one request";
    }
  }

  HttpsOptions https_;
  std::unique_ptr<WireServer> server_;
  std::unique_ptr<boost::asio::io_context> io_;
  std::unique_ptr<HttpsLeaseApi> api_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_WIRE_FIXTURE_H_
