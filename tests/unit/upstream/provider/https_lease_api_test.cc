#include "upstream/provider/https_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/gzip.h"
#include "tests/support/provider_replies.h"
#include "tests/support/scripted_provider.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/sandbox.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HttpsLeaseApiTest : public testing::Test {
 protected:
  void SetUp() override {
    sandbox::SandboxOptions options;
    options.numbers = 20;
    auto started = sandbox::Sandbox::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    sandbox_ = *std::move(started);
    ca_file_ = testing::TempDir() + "https_lease_api_test_" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file_) << sandbox_->ca_certificate();
    UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    upstream.ca_file = ca_file_;
    upstream.api_key = [key = sandbox_->key()] { return key; };
    stats_ = upstream.stats;
    auto api = MakeLeaseApi(io_.get_executor(), upstream);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)));
    spdlog::set_pattern("%l %v");
  }
  void TearDown() override {
    spdlog::set_default_logger(before_);
    std::remove(ca_file_.c_str());
  }

  template <typename T>
  absl::StatusOr<Reply<T>> Await(LeaseApiResult<T> call) {
    std::optional<absl::StatusOr<Reply<T>>> result;
    asio::co_spawn(asio::make_strand(io_), std::move(call),
                   [&result](std::exception_ptr, absl::StatusOr<Reply<T>> reply) {
                     result = std::move(reply);
                   });
    io_.restart();
    while (!result) io_.run_one();
    return *std::move(result);
  }
  static CallContext Context() {
    CallContext context;
    context.max_staleness = std::chrono::milliseconds(0);
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    return context;
  }
  void Patch(const std::string& number, const std::string& patch) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/numbers/" + number, patch);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }

  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream log_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::string ca_file_;
  asio::io_context io_;
  std::shared_ptr<UpstreamStats> stats_;
  std::unique_ptr<LeaseApi> api_;
};

TEST_F(HttpsLeaseApiTest, AListWithOddNumbersIsServedCountedAndLoggedOnce) {
  const std::vector<sandbox::InventoryNumber> inventory = sandbox::MakeInventory(1, 20);
  const auto good = Await(api_->Perform(Context(), operation::ListAvailableNumbers()));
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->value.size(), 20);
  EXPECT_THAT(log_.str(), IsEmpty());

  Patch(inventory[3].e164, R"({"pricing":{"monthly_rate":"free"}})");
  Patch(inventory[7].e164, R"({"id":7})");
  for (int i = 0; i < 2; ++i) {
    const auto reply = Await(api_->Perform(Context(), operation::ListAvailableNumbers()));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->value.size(), 19);
  }
  EXPECT_EQ(
      log_.str(),
      "warning upstream GET /leases: left out what can't be read (kind item, 1 in all replies "
      "since the last such line), now data.numbers[7].id: a string is wanted, not 7\n"
      "warning upstream GET /leases: left out a price that makes no sense (kind amount, 1 in "
      "all replies since the last such line), now data.numbers[3].pricing.monthly_rate: an "
      "amount of money, zero or more, is wanted, not free\n");
  using Kind = Tolerated::Kind;
  EXPECT_EQ(stats_->tolerated.count(UpstreamOperation::kListAvailableNumbers, Kind::kItem), 2u);
  EXPECT_EQ(stats_->tolerated.count(UpstreamOperation::kListAvailableNumbers, Kind::kAmount), 2u);
}

TEST_F(HttpsLeaseApiTest, ALeaseThatCanNotBeReadIsLeftOutAndLogged) {
  const std::vector<sandbox::InventoryNumber> inventory = sandbox::MakeInventory(1, 20);
  for (const int i : {0, 1}) {
    const auto lease = Await(
        api_->Perform(Context(), operation::CreateLease{inventory[static_cast<size_t>(i)].e164,
                                                        v1::BILLING_METHOD_UNSPECIFIED}));
    ASSERT_TRUE(lease.ok()) << lease.status();
  }
  Patch(inventory[0].e164, R"({"lease_id":null})");
  const auto reply = Await(api_->Perform(Context(), operation::ListLeases()));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.size(), 1);
  EXPECT_THAT(log_.str(), HasSubstr("warning upstream GET /leased: left out what can't be read"));
  EXPECT_THAT(log_.str(), HasSubstr("lease_id: is missing"));
}

class ScriptedProviderTest : public HttpsLeaseApiTest {
 protected:
  void Answer(std::vector<std::string> answers, std::function<void()> before_handshake = {}) {
    provider_ = std::make_unique<ScriptedProvider>(std::move(answers), std::move(before_handshake));
    std::ofstream(ca_file_, std::ios::app) << provider_->ca();
    UpstreamOptions upstream;
    upstream.url = provider_->url();
    upstream.ca_file = ca_file_;
    upstream.api_key = [] { return std::string("key"); };
    upstream.https.max_connections = 1;
    stats_ = upstream.stats;
    upstream.retry.max_attempts = 1;
    auto api = MakeLeaseApi(io_.get_executor(), upstream);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
  }
  void TearDown() override {
    api_.reset();
    io_.restart();
    io_.poll();
    provider_.reset();
    HttpsLeaseApiTest::TearDown();
  }
  std::string Get(const std::string& number) {
    const auto reply = Await(api_->Perform(Context(), operation::GetNumber{number}));
    return reply.ok() ? reply->value.phone_number() : ReasonOf(reply.status());
  }
  // What the sandbox says of one of its numbers.
  static std::string GoodAnswer(const std::string& number) {
    const std::string body = R"({"id":"req_1","timestamp":1761570000,"api_version":"2025-10-27",)"
                             R"("object":"number","data":{"id":")" +
                             number + R"(","e164":")" + number + R"("}})";
    return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  std::unique_ptr<ScriptedProvider> provider_;
};

// An answer with such a body, as something in between gives it.
std::string PageAnswer(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status +
         "\r\nserver: nginx\r\nvia: 1.1 edge-4\r\ncontent-type: text/html\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

constexpr char kFirst[] = "+13059478667";
constexpr char kSecond[] = "+13123614597";
constexpr char kHints[] = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

// RFC 9110, 15.2: any number of them may come before the final answer.
TEST_F(ScriptedProviderTest, InterimAnswersAreNotTheAnswer) {
  Answer({kHints + GoodAnswer(kFirst),
          "HTTP/1.1 100 Continue\r\n\r\n" + (kHints + GoodAnswer(kSecond)), GoodAnswer(kFirst)});
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(Get(kSecond), kSecond);
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(provider_->connections(), 1);
}

TEST_F(ScriptedProviderTest, ConnectionIsNotKeptWhenTheAnswersDoNotEnd) {
  std::string hints;
  for (int i = 0; i < 20; ++i) hints += kHints;
  Answer({hints + GoodAnswer(kSecond), GoodAnswer(kFirst)});
  EXPECT_NE(Get(kFirst), kFirst);
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(provider_->connections(), 2);
}

TEST_F(ScriptedProviderTest, ConnectionIsNotKeptAfterASwitchOfProtocols) {
  Answer({"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
          GoodAnswer(kFirst)});
  EXPECT_NE(Get(kFirst), kFirst);
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(provider_->connections(), 2);
}

TEST_F(ScriptedProviderTest, NewConnectionGoesOnWithASessionAndIsCounted) {
  std::string last = GoodAnswer(kFirst);
  last.insert(last.find("content-length"), "connection: close\r\n");
  Answer({last, GoodAnswer(kSecond), GoodAnswer(kFirst)});
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(Get(kSecond), kSecond);
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(provider_->connections(), 2);
  EXPECT_EQ(stats_->handshakes.full, 1U);
  EXPECT_EQ(stats_->handshakes.resumed, 1U);
}

TEST_F(ScriptedProviderTest, BytesAreCountedAsTheyCameAndAsWhatBecameOfThem) {
  const auto count = [this](UpstreamOperation operation) {
    const auto index = static_cast<std::size_t>(operation);
    return std::pair(stats_->received.wire[index].load(), stats_->received.text[index].load());
  };
  using Counts = std::pair<std::uint64_t, std::uint64_t>;
  const std::string list = AvailableBody();
  const std::string gzip = Gzip(list);
  const std::string zipped = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: " +
                             std::to_string(gzip.size()) + "\r\n\r\n" + gzip;
  const std::string number = GoodAnswer(kFirst);
  const std::string broken = "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n";
  Answer({zipped, kHints + number, broken + "ab"});
  EXPECT_TRUE(Await(api_->Perform(Context(), operation::ListAvailableNumbers())).ok());
  EXPECT_EQ(count(UpstreamOperation::kListAvailableNumbers), Counts(zipped.size(), list.size()));
  EXPECT_EQ(Get(kFirst), kFirst);
  const std::size_t body = number.size() - number.find("\r\n\r\n") - 4;
  EXPECT_EQ(count(UpstreamOperation::kGetNumber),
            Counts(std::string(kHints).size() + number.size(), body));
  EXPECT_NE(Get(kSecond), kSecond);
  EXPECT_EQ(count(UpstreamOperation::kGetNumber).second, body) << "nothing became of that";
  EXPECT_GE(count(UpstreamOperation::kGetNumber).first,
            std::string(kHints).size() + number.size() + broken.size());
  EXPECT_EQ(count(UpstreamOperation::kListLeases), Counts(0, 0));
}

TEST_F(ScriptedProviderTest, LeaseOfAnotherNumberIsNoAnswer) {
  const std::string body = R"({"id":"req_1","timestamp":1761570000,"api_version":"2025-10-27",)"
                           R"("object":"lease","data":{"lease_id":"lsd_1","number":{"e164":")" +
                           std::string(kSecond) + R"("}}})";
  const std::string answer =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  Answer({answer});
  const auto lease = Await(
      api_->Perform(Context(), operation::CreateLease{kFirst, v1::BILLING_METHOD_UNSPECIFIED}));
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(ReasonOf(lease.status()), reason::kUpstreamMalformed);
  EXPECT_THAT(std::string(lease.status().message()), HasSubstr("is of +13123614597"));
}

TEST_F(ScriptedProviderTest, SuccessThatIsNotTheProvidersIsAMiddlemans) {
  const std::vector<std::string> bodies = {
      "<html>Log in</html>", R"({"ok":true})", "",
      R"({"data":{"id":")" + std::string(kFirst) + R"(","e164":"x"},"object":"page"})"};
  std::vector<std::string> answers = {"HTTP/1.1 204 No Content\r\nserver: nginx\r\n\r\n"};
  for (const std::string& body : bodies) answers.push_back(PageAnswer("200 OK", body));
  answers.push_back(GoodAnswer(kFirst));
  Answer(answers);
  for (std::size_t i = 0; i + 1 < answers.size(); ++i) {
    const auto reply = Await(api_->Perform(Context(), operation::GetNumber{kFirst}));
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable) << answers[i];
    EXPECT_EQ(ReasonOf(reply.status()), reason::kUpstreamIntermediary) << answers[i];
    EXPECT_EQ(MetadataOf(reply.status())["http_status"], i == 0 ? "204" : "200");
    EXPECT_EQ(MetadataOf(reply.status())["server"], "nginx");
    EXPECT_EQ(MetadataOf(reply.status())["via"], i == 0 ? "" : "1.1 edge-4");
    EXPECT_EQ(MetadataOf(reply.status())["content_type"], i == 0 ? "" : "text/html");
    EXPECT_THAT(reply.status().ToString(), ::testing::Not(HasSubstr("Log in")));
  }
  EXPECT_EQ(Get(kFirst), kFirst);
  EXPECT_EQ(provider_->connections(), 1) << "the answers were whole";
}

TEST_F(ScriptedProviderTest, SuccessOfTheProvidersThatCanNotBeReadIsMalformed) {
  Answer({PageAnswer("200 OK", R"({"id":"req_1","timestamp":17)"),
          PageAnswer("200 OK", R"({"id":"req_1","object":"response","data":{}})")});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Get(kFirst), reason::kUpstreamMalformed) << i;
}

// Some JSON with `data` in it must not become the outcome of a write.
TEST_F(ScriptedProviderTest, SuccessOfAMiddlemanIsNoneOfAWrite) {
  Answer({PageAnswer("200 OK", R"({"status":"ok","data":{}})"),
          PageAnswer("403 Forbidden", "<html>Access denied</html>")});
  for (int i = 0; i < 2; ++i) {
    const auto reply = Await(api_->Perform(Context(), operation::ConfigureFailover{kFirst, {}}));
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kAborted) << reply.status();
    EXPECT_EQ(ReasonOf(reply.status()), reason::kOutcomeUnknown);
    EXPECT_EQ(MetadataOf(reply.status())["from_provider"], "false");
    EXPECT_EQ(MetadataOf(reply.status())["via"], "1.1 edge-4");
  }
}

// RFC 9110, 15.3.7: a write has no parts, whatever is in it. It is looked after.
TEST_F(ScriptedProviderTest, PartIsNoOutcomeOfAWrite) {
  const std::string body = R"({"id":"req_1","timestamp":1761570000,"api_version":"2025-10-27",)"
                           R"("object":"lease","data":{"lease_id":"lsd_1","number":{"e164":")" +
                           std::string(kFirst) + R"("}}})";
  Answer({PageAnswer("206 Partial Content", body), PageAnswer("206 Partial Content", "<html>"),
          PageAnswer("200 OK", body)});
  const auto lease = [this] {
    return Await(api_->Perform(Context(),
                               operation::CreateLease{kFirst, v1::BILLING_METHOD_UNSPECIFIED}))
        .status();
  };
  const absl::Status own = lease();
  EXPECT_EQ(ReasonOf(own), reason::kUpstreamMalformed) << own;
  EXPECT_EQ(MetadataOf(own)["http_status"], "206");
  EXPECT_EQ(FateOf(own), Fate::kLost) << "a look shows what was done";
  const absl::Status page = lease();
  EXPECT_EQ(ReasonOf(page), reason::kOutcomeUnknown) << page;
  EXPECT_EQ(FateOf(page), Fate::kLost);
  EXPECT_TRUE(lease().ok()) << "the same as a whole";
}

TEST_F(ScriptedProviderTest, OnlyTheProvidersOwn404IsAnEmptyList) {
  const std::string own =
      R"({"id":"err_1","timestamp":1,"object":"error","data":{"error":"None","status":404}})";
  Answer({PageAnswer("404 Not Found", "<html>"), PageAnswer("404 Not Found", ""),
          PageAnswer("404 Not Found", R"({"message":"no route"})"),
          PageAnswer("404 Not Found", own)});
  for (int i = 0; i < 3; ++i) {
    const auto list = Await(api_->Perform(Context(), operation::ListLeases()));
    EXPECT_EQ(ReasonOf(list.status()), reason::kUpstreamIntermediary) << i;
    EXPECT_THAT(std::string(list.status().message()), HasSubstr("is upstream_url right?"));
  }
  const auto list = Await(api_->Perform(Context(), operation::ListLeases()));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->value.size(), 0);
}

TEST_F(ScriptedProviderTest, RefusalOfAListIsTheProvidersFailureAndOfANumberThatNumbers) {
  const auto own = [](const std::string& status) {
    return PageAnswer(status, R"({"message":"no","status":)" + status.substr(0, 3) + "}");
  };
  Answer({own("400 Bad Request"), own("410 Gone"), own("400 Bad Request"), own("410 Gone")});
  for (int i = 0; i < 2; ++i) {
    const auto list = Await(api_->Perform(Context(), operation::ListAvailableNumbers()));
    EXPECT_EQ(list.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ReasonOf(list.status()), reason::kUpstreamFailed);
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Get(kFirst), reason::kUpstreamRejected);
}

class SendBeforeTest : public ScriptedProviderTest {
 protected:
  using Clock = std::chrono::steady_clock;

  static CallContext Before(Clock::time_point send_before) {
    CallContext context = Context();
    context.send_before = send_before;
    return context;
  }
  absl::Status Lease(CallContext context) {
    const auto reply = Await(api_->Perform(
        std::move(context), operation::CreateLease{kFirst, v1::BILLING_METHOD_UNSPECIFIED}));
    return reply.status();
  }
  static void ExpectTooLate(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ReasonOf(status), reason::kNotApplied) << status;
    EXPECT_EQ(MetadataOf(status)["request_sent"], "false");
    EXPECT_EQ(MetadataOf(status)["retry_stopped"], "permanent");
    EXPECT_EQ(MetadataOf(status)["attempts"], "1");
    EXPECT_TRUE(RetryDelayOf(status));
  }
};

// Through all layers: each hands it on.
TEST_F(SendBeforeTest, WriteWhoseTimeHasPassedIsNotSent) {
  Answer({GoodAnswer(kFirst), GoodAnswer(kSecond)});
  EXPECT_EQ(Get(kFirst), kFirst);  // so that a connection is there
  ExpectTooLate(Lease(Before(Clock::now())));
  ExpectTooLate(
      Await(api_->Perform(Before(Clock::now()), operation::TerminateLease{kFirst})).status());
  EXPECT_EQ(provider_->requests().size(), 1U);
  EXPECT_EQ(Get(kSecond), kSecond);
  EXPECT_EQ(provider_->connections(), 1) << "the connection serves others";
}

TEST_F(SendBeforeTest, ReadIsSentAllTheSame) {
  Answer({GoodAnswer(kFirst)});
  const auto reply = Await(api_->Perform(Before(Clock::now()), operation::GetNumber{kFirst}));
  EXPECT_TRUE(reply.ok()) << reply.status();
}

TEST_F(SendBeforeTest, WriteInTimeIsSent) {
  Answer({"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"});
  EXPECT_NE(ReasonOf(Lease(Before(Clock::now() + std::chrono::minutes(1)))), reason::kNotApplied);
  EXPECT_EQ(provider_->requests().size(), 1U);
}

// The handshake takes until it is too late, however slow this test runs.
TEST_F(SendBeforeTest, TimeThatPassesInTheHandshakeCounts) {
  const auto send_before = Clock::now() + std::chrono::milliseconds(50);
  Answer({GoodAnswer(kFirst)}, [=] { std::this_thread::sleep_until(send_before); });
  ExpectTooLate(Lease(Before(send_before)));
  EXPECT_TRUE(provider_->requests().empty());
}

// Of the one connection there is, the read before has hold.
TEST_F(SendBeforeTest, TimeThatPassesInTheQueueCounts) {
  const auto send_before = Clock::now() + std::chrono::milliseconds(50);
  Answer({GoodAnswer(kSecond)}, [=] { std::this_thread::sleep_until(send_before); });
  std::optional<std::string> read;
  asio::co_spawn(asio::make_strand(io_), api_->Perform(Context(), operation::GetNumber{kSecond}),
                 [&](std::exception_ptr, absl::StatusOr<Reply<v1::Number>> reply) {
                   read = reply.ok() ? reply->value.phone_number() : ReasonOf(reply.status());
                 });
  ExpectTooLate(Lease(Before(send_before)));
  io_.restart();
  while (!read) io_.run_one();
  EXPECT_EQ(*read, kSecond);
  EXPECT_EQ(provider_->requests().size(), 1U);
}

}  // namespace
}  // namespace leasegateway
