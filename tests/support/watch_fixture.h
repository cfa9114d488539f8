#ifndef LEASE_GATEWAY_TESTS_SUPPORT_WATCH_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_WATCH_FIXTURE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_fixture.h"
#include "tests/support/watch_client.h"

namespace leasegateway {

// Not under ThreadSanitizer, which makes large lists slow.
inline constexpr bool kFast = CONCURRENT_CALLS >= 1000;

// Watches of a list that changes often.
class WatchTest : public GatewayTest {
 protected:
  using Message = Seen::Message;
  using Numbers = Seen::Numbers;

  static v1::WatchAvailabilityRequest Request(const std::string& resume_token = "",
                                              const v1::AvailabilityFilter& filter = {}) {
    v1::WatchAvailabilityRequest request;
    request.set_resume_token(resume_token);
    *request.mutable_filter() = filter;
    return request;
  }

  // A gateway that asks the provider every few milliseconds.
  void StartWatched(int numbers = 100, const std::function<void(Config&)>& adjust = nullptr) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    StartGateway(
        [&](Config& config) {
          config.cache_fresh = std::chrono::milliseconds(50);
          if (adjust) adjust(config);
        },
        options);
    OpenChannel();
  }
  // One whose flow control's window does not grow, and that takes lists of any size.
  void OpenChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::LeaseService::NewStub(channel_);
  }

  void Control(const std::string& path, const std::string& json) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/" + path, json);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  void Churn(int count) { Control("churn", "{\"count\":" + std::to_string(count) + "}"); }

  // What the provider lists now, which the gateway knows afterwards.
  Numbers List(const v1::AvailabilityFilter& filter = {}) {
    v1::ListAvailableNumbersRequest request;
    *request.mutable_filter() = filter;
    request.mutable_max_staleness();
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context(30'000).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    Numbers numbers;
    for (const v1::Number& number : response.numbers()) {
      numbers[number.phone_number()] = Seen::Bytes(number);
    }
    return numbers;
  }
  // A change that is one version of the gateway's.
  void ChangeOnce(int count) {
    Churn(count);
    v1::AvailabilityFilter none;
    none.add_countries("ZZ");
    List(none);
  }
  // Waits until a watch has what the list has.
  void ExpectCatchesUp(Watch& watch, const v1::AvailabilityFilter& filter = {}) {
    const Numbers expected = List(filter);
    EXPECT_TRUE(watch.Wait([&](const Seen& seen) {
      return seen.complete && seen.numbers == expected;
    })) << watch.Now().numbers.size()
        << " numbers, should be " << expected.size();
  }

  // The message that a watch gets next, which it has not got before the call.
  Message Next(Watch& watch, std::size_t after) {
    const auto no_heartbeats = [](const Seen& seen) {
      std::vector<Message> messages;
      for (const Message& message : seen.messages) {
        if (!Seen::IsHeartbeat(message)) messages.push_back(message);
      }
      return messages;
    };
    EXPECT_TRUE(watch.Wait(
        [&](const Seen& seen) { return no_heartbeats(seen).size() > after || seen.ended; }));
    const auto messages = no_heartbeats(watch.Now());
    if (messages.size() > after) return messages[after];
    ADD_FAILURE() << "no message after number " << after
                  << "; the watch ended: " << watch.Now().status.error_message();
    return Message();
  }

  // Of the state that a watch began with, which has ended since.
  std::string TokenOfAWatch() {
    Watch watch(*stub_, Request());
    EXPECT_TRUE(watch.WaitForState());
    return watch.Now().token;
  }

  // Until no refresh is due any more.
  void WaitUntilTheProviderIsLeftAlone() {
    std::string before;
    int same = 0;
    EXPECT_TRUE(Eventually([&] {
      const auto requests = sandbox_->Control("GET", "/_sandbox/requests", "");
      same = requests.ok() && *requests == before ? same + 1 : 0;
      before = requests.ok() ? *requests : "";
      return same >= 20;
    }));
  }

  static bool Eventually(const std::function<bool()>& condition,
                         std::chrono::milliseconds patience = kPatience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  std::string AnyNumber() { return List().begin()->first; }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_WATCH_FIXTURE_H_
