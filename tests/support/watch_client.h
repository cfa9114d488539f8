#ifndef LEASE_GATEWAY_TESTS_SUPPORT_WATCH_CLIENT_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_WATCH_CLIENT_H_

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"

namespace leasegateway {

inline constexpr std::chrono::milliseconds kPatience{30'000};  // of a test, for what has to happen

// What a caller knows that applies each message as the contract says.
struct Seen {
  using Message = v1::WatchAvailabilityResponse;
  // Phone number to its Number, serialised so that equal numbers have equal bytes.
  using Numbers = std::map<std::string, std::string>;

  static std::string Bytes(const v1::Number& number) {
    std::string bytes;
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    number.SerializeToCodedStream(&coded);
    coded.Trim();
    return bytes;
  }
  static bool IsHeartbeat(const Message& message) {
    Message expected;
    expected.set_resume_token(message.resume_token());
    return !message.resume_token().empty() &&
           message.SerializeAsString() == expected.SerializeAsString();
  }

  std::vector<Message> messages;
  Numbers numbers;
  bool complete = false;  // `numbers` is the state that `token` names
  std::string token;
  int resets = 0;
  int heartbeats = 0;
  std::string wrong;   // what broke the contract; empty: nothing
  bool begun = false;  // a message is on its way, read or not
  bool ended = false;
  grpc::Status status;

  void Apply(const Message& message, bool resumes) {
    const bool first = messages.empty();
    if (first) complete = resumes;
    messages.push_back(message);
    const auto wrong_if = [&](bool condition, const std::string& what) {
      if (condition) wrong += what + "; ";
    };
    wrong_if(first && !resumes && !message.reset(), "the first message has no reset");
    wrong_if(message.added_size() + message.changed_size() + message.removed_size() > 500,
             "more than 500 numbers in a message");
    if (message.reset()) {
      ++resets;
      numbers.clear();
      in_state_ = true;
    }
    const bool heartbeat = IsHeartbeat(message);
    if (heartbeat) ++heartbeats;
    wrong_if(heartbeat && !complete, "a heartbeat in the middle of a state");
    wrong_if(in_state_ && message.changed_size() + message.removed_size() > 0,
             "changes in the middle of a state");
    wrong_if(message.has_metadata() != (in_state_ && !message.resume_token().empty()),
             "metadata is not on the state's last message alone");
    // A resumed watch does not know what the caller had.
    const bool strict = !resumes || resets > 0;
    for (const v1::Number& number : message.added()) {
      const bool is_new = numbers.insert_or_assign(number.phone_number(), Bytes(number)).second;
      wrong_if(strict && !is_new, number.phone_number() + " was there before it was added");
    }
    for (const v1::Number& number : message.changed()) {
      std::string& kept = numbers[number.phone_number()];
      wrong_if(strict && kept.empty(), number.phone_number() + " changed and was not there");
      wrong_if(kept == Bytes(number), number.phone_number() + " changed into the same");
      kept = Bytes(number);
    }
    for (const std::string& number : message.removed()) {
      const bool was_there = numbers.erase(number) == 1;
      wrong_if(strict && !was_there, number + " was removed and was not there");
    }
    complete = !message.resume_token().empty();
    if (complete) {
      token = message.resume_token();
      in_state_ = false;
    }
  }

 private:
  bool in_state_ = false;
};

// A watch by a real client. Thread-safe.
class Watch final : public grpc::ClientReadReactor<Seen::Message> {
 public:
  enum class Reading { kAtOnce, kLater };  // kLater: not before Resume

  Watch(v1::LeaseService::Stub& stub, v1::WatchAvailabilityRequest request,
        Reading reading = Reading::kAtOnce,
        std::optional<std::chrono::milliseconds> deadline = std::nullopt)
      : request_(std::move(request)) {
    if (deadline) context_.set_deadline(std::chrono::system_clock::now() + *deadline);
    stub.async()->WatchAvailability(&context_, &request_, this);
    AddHold();  // until the last read
    if (reading == Reading::kAtOnce) Resume();
    StartCall();
  }
  ~Watch() override {
    Cancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return seen_.ended; });
    EXPECT_EQ(seen_.wrong, "");
  }

  void Cancel() {
    context_.TryCancel();
    Resume();
  }
  // Reads nothing after the message that is on its way.
  void Pause() {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  }
  void Resume() {
    {
      const std::lock_guard lock(mutex_);
      paused_ = false;
      if (reading_ || no_more_) return;
      reading_ = true;
    }
    StartRead(&message_);
  }

  // Whether it comes true within `patience`.
  bool Wait(const std::function<bool(const Seen&)>& condition,
            std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return condition(seen_); });
  }
  bool WaitForState() {
    return Wait([](const Seen& seen) { return seen.complete || seen.ended; }) && Now().complete;
  }
  // The first message is on its way. It may wait to be read.
  bool WaitForBeginning() {
    return Wait([](const Seen& seen) { return seen.begun || seen.ended; }) && Now().begun;
  }
  // The status that the watch ended with.
  grpc::Status End(std::chrono::milliseconds patience = kPatience) {
    EXPECT_TRUE(Wait([](const Seen& seen) { return seen.ended; }, patience)) << "it goes on";
    return Now().status;
  }
  Seen Now() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  // Which the gateway sends with the first message.
  void OnReadInitialMetadataDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    seen_.begun = ok;
    changed_.notify_all();
  }
  void OnReadDone(bool ok) override {
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      if (ok) {
        seen_.Apply(message_, !request_.resume_token().empty());
        reading_ = more = !paused_;
        changed_.notify_all();
      } else {
        no_more_ = true;
      }
    }
    if (more) StartRead(&message_);
    if (!ok) RemoveHold();
  }
  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    seen_.ended = true;
    seen_.status = status;
    changed_.notify_all();
  }

  const v1::WatchAvailabilityRequest request_;
  grpc::ClientContext context_;
  Seen::Message message_;  // being read

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Seen seen_;
  bool paused_ = false;
  bool reading_ = false;
  bool no_more_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_WATCH_CLIENT_H_
