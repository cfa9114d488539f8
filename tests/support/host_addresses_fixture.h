#ifndef LEASE_GATEWAY_TESTS_SUPPORT_HOST_ADDRESSES_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_HOST_ADDRESSES_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/name_server.h"
#include "upstream/names/host_addresses.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// What name_server.py is told of the host: both its families, then others.
inline constexpr char kBoth[] =
    R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}})";
inline constexpr char kMoved[] =
    R"({"api.provider.test": {"A": ["192.0.2.2"], "AAAA": ["2001:db8::2"]}})";

// What a caller of Lookup got.
struct Caller {
  std::optional<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>> result;
  boost::asio::cancellation_signal cancellation;
};

// A host whose addresses are asked of name servers that aren't ours: python3-dnslib, with faults on
// demand. The system's files are the test's own.
class HostAddressesTest : public testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;
  using seconds = std::chrono::seconds;
  using Addresses = std::vector<std::string>;

  HostAddressesTest()
      : folder_(testing::TempDir() + "host-addresses-" + std::to_string(getpid())),
        log_before_(spdlog::default_logger()) {
    std::filesystem::create_directories(folder_);
    unsetenv("LOCALDOMAIN");
    unsetenv("RES_OPTIONS");
    setenv("CARES_HOSTS", (folder_ + "/hosts").c_str(), 1);
    Write("hosts", "127.0.0.1 localhost\n");
    Write("nsswitch.conf", "hosts: files dns\n");
    Write("resolv.conf", "nameserver 127.0.0.1\n");
    options_.host = "api.provider.test";
    options_.timeout = seconds(10);  // beyond what any test waits for
    options_.max_ttl = std::chrono::hours(1);
    options_.dns.resolv_conf = folder_ + "/resolv.conf";
    options_.dns.nsswitch_conf = folder_ + "/nsswitch.conf";
    options_.now = [this] { return Clock::now() + later_; };
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)));
  }
  ~HostAddressesTest() override {
    if (addresses_) addresses_->Stop();
    io_.restart();
    io_.run_for(seconds(5));
    spdlog::set_default_logger(log_before_);
    unsetenv("CARES_HOSTS");
    std::filesystem::remove_all(folder_);
  }

  void Write(const std::string& file, const std::string& text) {
    std::ofstream(folder_ + "/" + file) << text;
  }
  void Use(const NameServer& server) {
    options_.dns.port = static_cast<std::uint16_t>(server.port());
    addresses_ = std::make_shared<HostAddresses>(io_.get_executor(), options_);
  }

  std::unique_ptr<Caller> Begin(milliseconds patience = seconds(20)) {
    auto call = std::make_unique<Caller>();
    auto looking_up = addresses_->Lookup(Clock::now() + patience);
    boost::asio::co_spawn(
        boost::asio::make_strand(io_), std::move(looking_up),
        boost::asio::bind_cancellation_slot(
            call->cancellation.slot(),
            [call = call.get()](std::exception_ptr, auto found) { call->result = found; }));
    return call;
  }
  void Await(const Caller& call) {
    const auto give_up = Clock::now() + seconds(30);
    io_.restart();
    while (!call.result && Clock::now() < give_up) io_.run_one_for(milliseconds(100));
    ASSERT_TRUE(call.result);
  }
  // Lets what is under way end.
  void Finish() {
    io_.restart();
    io_.run_for(seconds(30));
  }
  Addresses LookUp(milliseconds patience = seconds(20)) {
    const auto began = Clock::now();
    const auto call = Begin(patience);
    Await(*call);
    took_ = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    Addresses texts;
    status_ = call->result->status();
    if (!status_.ok()) return texts;
    for (const auto& endpoint : **call->result) {
      EXPECT_EQ(endpoint.port(), options_.port);
      texts.push_back(endpoint.address().to_string());
    }
    return texts;
  }
  Addresses Others(const Addresses& known, milliseconds patience = seconds(20)) {
    std::vector<boost::asio::ip::tcp::endpoint> endpoints;
    for (const auto& text : known) {
      endpoints.emplace_back(boost::asio::ip::make_address(text), options_.port);
    }
    std::optional<std::vector<boost::asio::ip::tcp::endpoint>> found;
    auto asking = addresses_->Others(std::move(endpoints), Clock::now() + patience);
    boost::asio::co_spawn(boost::asio::make_strand(io_), std::move(asking),
                          [&found](std::exception_ptr, auto others) { found = others; });
    const auto give_up = Clock::now() + seconds(30);
    io_.restart();
    while (!found && Clock::now() < give_up) io_.run_one_for(milliseconds(100));
    EXPECT_TRUE(found);
    Addresses texts;
    for (const auto& endpoint : found.value_or(std::vector<boost::asio::ip::tcp::endpoint>())) {
      texts.push_back(endpoint.address().to_string());
    }
    return texts;
  }
  // With a family that came late, as it may on a busy machine.
  Addresses LookUpAll() {
    LookUp();
    Finish();
    return LookUp();
  }
  void ExpectFailure(const std::string& cause) {
    EXPECT_EQ(LookUp(), Addresses());
    EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ReasonOf(status_), reason::kUpstreamUnreachable);
    EXPECT_THAT(std::string(status_.message()), testing::HasSubstr("looking up api.provider.test"));
    EXPECT_THAT(std::string(status_.message()), testing::HasSubstr(cause));
  }

  const std::string folder_;
  std::shared_ptr<spdlog::logger> log_before_;
  std::ostringstream log_;
  boost::asio::io_context io_;
  HostAddresses::Options options_;
  milliseconds later_{0};
  std::shared_ptr<HostAddresses> addresses_;
  absl::Status status_;
  milliseconds took_{0};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_HOST_ADDRESSES_FIXTURE_H_
