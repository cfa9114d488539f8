#include "service/rpc/watcher.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>
#include <vector>

#include "service/rpc/call_record.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/status.h"
#include "service/rpc/token.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kNumbersPerMessage = 500;
// For the first answer of the provider, when memory has none.
constexpr std::chrono::seconds kStateTimeout{30};
// For what a token of another replica stands for.
constexpr std::chrono::seconds kResumeTimeout{2};
// For the caller to read what is on its way when the gateway stops.
constexpr std::chrono::seconds kFarewell{1};

}  // namespace

Watcher::Watcher(const WatchSetting& setting, grpc::CallbackServerContext* server_context,
                 v1::WatchAvailabilityRequest request, std::optional<Consistency> missing,
                 CallCaller caller, StillAllowed allowed)
    : setting_(setting),
      server_context_(server_context),
      request_(std::move(request)),
      missing_(missing),
      caller_(std::move(caller)),
      allowed_(std::move(allowed)),
      filter_(request_.filter()),
      fingerprint_(Fingerprint(request_.filter(), "", setting_.account)),
      started_(Clock::now()),
      strand_(asio::make_strand(setting_.runtime.executor)) {
  context_.call_id = NextCallId();
  context_.trace = TraceOf(*server_context_);
  Introduce(caller_, *server_context_, context_);
  setting_.runtime.metrics->Started(Method::kWatchAvailability);
}

void Watcher::Start(const absl::Status& entered, std::function<void()> left) {
  self_ = shared_from_this();
  if (!entered.ok()) return End(entered);
  auto ended = [self = self_, left = std::move(left)](std::exception_ptr exception,
                                                      absl::Status result) {
    if (exception) {
      result = MakeError(absl::StatusCode::kInternal, reason::kInternal, "the gateway failed");
    }
    left();
    self->End(result);
  };
  // Spawned from the strand, so that a cancellation posted later finds the slot connected.
  asio::post(strand_, [self = self_, ended = std::move(ended)]() mutable {
    asio::co_spawn(self->strand_, Run(self),
                   asio::bind_cancellation_slot(self->cancellation_.slot(), std::move(ended)));
  });
}

void Watcher::Wake() {
  std::shared_ptr<Wakeup> waiter;
  {
    const std::lock_guard lock(mutex_);
    waiter = std::exchange(idle_, nullptr);
  }
  if (waiter) Wakeup::Wake(std::move(waiter));
}

void Watcher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  std::shared_ptr<Wakeup> waiter;
  {
    const std::lock_guard lock(mutex_);
    waiter = writing_;
  }
  if (waiter) Wakeup::Wake(std::move(waiter));
}

void Watcher::OnWriteDone(bool ok) {
  std::shared_ptr<Wakeup> waiter;
  {
    const std::lock_guard lock(mutex_);
    written_ = true;
    write_ok_ = ok;
    waiter = std::exchange(writing_, nullptr);
  }
  Wakeup::Wake(std::move(waiter));
}

void Watcher::OnCancel() {
  asio::post(strand_, [self = shared_from_this()] {
    self->cancellation_.emit(asio::cancellation_type::terminal);
  });
}

void Watcher::End(const absl::Status& status) {
  LogCall(*setting_.runtime.refusals, *server_context_, Method::kWatchAvailability, caller_, status,
          context_, started_);
  setting_.runtime.metrics->Handled(Method::kWatchAvailability, status.code(),
                                    Clock::now() - started_);
  AddPushback(*server_context_, status);
  server_context_->AddTrailingMetadata(kCallIdMetadata, context_.call_id);
  Finish(ToGrpcStatus(status));
}

bool Watcher::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

std::string Watcher::Token(std::uint64_t version) const {
  // What other replicas know, if they do.
  if (const auto entry = setting_.cache.account().EntryOf(version)) {
    return EncodeToken({entry->log, entry->sequence, fingerprint_});
  }
  return EncodeToken({setting_.instance, version, fingerprint_});
}

asio::awaitable<absl::Status> Watcher::Run(std::shared_ptr<Watcher> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (self->missing_) {
    auto waiting = AwaitMissing(self);
    co_await std::move(waiting);
  }
  if (!self->request_.resume_token().empty()) {
    auto beginning = Begin(self);
    absl::Status status = co_await std::move(beginning);
    if (!status.ok()) co_return status;
  }
  for (;;) {
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) {
      co_return CancelledError("watching");
    }
    // Before the looks at a stop and at the changes, so that nothing is missed.
    const auto idle = std::make_shared<Wakeup>(self->strand_);
    {
      const std::lock_guard lock(self->mutex_);
      self->idle_ = idle;
    }
    if (self->IsStopping()) {
      co_return MakeError(absl::StatusCode::kUnavailable, reason::kStopping,
                          "the gateway stops: watch another one with the resume_token");
    }
    std::optional<std::vector<AvailabilityChange>> changes;
    if (self->version_) changes = self->setting_.cache.ChangesSince(*self->version_);
    absl::Status status;
    if (!changes) {
      status = co_await SendState(self);
    } else if (!changes->empty()) {
      AvailabilityChange next = std::move(changes->front());
      changes.reset();
      status = co_await SendChange(self, std::move(next));
    } else {
      const auto next = self->last_sent_ + self->setting_.options.heartbeat;
      auto waiting = idle->WaitUntil(next);
      co_await std::move(waiting);
      if (Clock::now() < next) continue;
      v1::WatchAvailabilityResponse heartbeat;
      heartbeat.set_resume_token(self->Token(*self->version_));
      status = co_await Write(self, heartbeat.SerializeAsString());
    }
    if (!status.ok()) co_return status;
  }
}

asio::awaitable<void> Watcher::AwaitMissing(std::shared_ptr<Watcher> self) {
  CallContext context = self->context_;
  context.deadline = Clock::now() + kStateTimeout;
  auto including = Include(self->setting_.cache.account(), *self->missing_, std::move(context));
  context = co_await std::move(including);
  self->max_staleness_ = context.max_staleness;
}

asio::awaitable<absl::Status> Watcher::Begin(std::shared_ptr<Watcher> self) {
  const auto values = DecodeToken(self->request_.resume_token(), 3);
  if (!values || (*values)[2] != self->fingerprint_) {
    co_return FieldViolation(
        "resume_token", reason::kInvalidResumeToken,
        values ? "belongs to another account or filter" : "is not a resume token");
  }
  // Which of the changes shows what the call asks to see, if one does, isn't known.
  if (self->max_staleness_) co_return absl::OkStatus();
  if ((*values)[0] == self->setting_.instance) {
    self->version_ = (*values)[1];
    co_return absl::OkStatus();
  }
  LoggedState entry;
  entry.log = (*values)[0];
  entry.sequence = (*values)[1];
  auto resuming = Resume(self, entry);
  co_return co_await std::move(resuming);
}

asio::awaitable<absl::Status> Watcher::Resume(std::shared_ptr<Watcher> self, LoggedState entry) {
  auto finding = self->setting_.cache.account().ChangeFrom(entry, Clock::now() + kResumeTimeout);
  auto change = co_await std::move(finding);
  if (!change) co_return absl::OkStatus();
  auto sending = SendChange(self, *std::move(change));
  co_return co_await std::move(sending);
}

asio::awaitable<absl::Status> Watcher::SendState(std::shared_ptr<Watcher> self) {
  self->version_.reset();
  auto answer = self->setting_.cache.PeekAvailability(self->max_staleness_);
  if (!answer) {
    CallContext context = self->context_;
    context.deadline = Clock::now() + kStateTimeout;
    context.max_staleness = self->max_staleness_;
    auto found = co_await self->setting_.cache.FindAvailability(std::move(context));
    if (!found.ok()) co_return found.status();
    answer = *std::move(found);
  }
  const std::uint64_t version = answer->version;
  struct Held {
    std::shared_ptr<const Availability> numbers;
    std::vector<std::uint32_t> rows;
  };
  auto held = std::make_shared<Held>();
  held->numbers = std::move(answer->numbers);
  answer.reset();
  const Availability& numbers = *held->numbers;
  held->rows = self->filter_.matches_all()
                   ? numbers.AllRows()
                   : numbers.Search(self->request_.filter(), {}, 0, numbers.size()).rows;
  const std::vector<std::uint32_t>& rows = held->rows;
  self->held_ = std::move(held);
  std::size_t sent = 0;
  do {
    const std::size_t count = std::min(kNumbersPerMessage, rows.size() - sent);
    std::string bytes;
    // `added` has the number of the field `numbers` of a list.
    static_assert(int{v1::WatchAvailabilityResponse::kAddedFieldNumber} ==
                  int{v1::ListAvailableNumbersResponse::kNumbersFieldNumber});
    numbers.AppendNumbers({rows.begin() + static_cast<std::ptrdiff_t>(sent),
                           rows.begin() + static_cast<std::ptrdiff_t>(sent + count)},
                          &bytes);
    v1::WatchAvailabilityResponse rest;
    rest.set_reset(sent == 0);
    sent += count;
    if (sent == rows.size()) {
      rest.set_resume_token(self->Token(version));
      *rest.mutable_metadata() = numbers.metadata();
    }
    rest.AppendToString(&bytes);
    absl::Status status = co_await Write(self, std::move(bytes));
    if (!status.ok() || !self->held_) co_return status;
  } while (sent < rows.size());
  self->held_.reset();
  self->version_ = version;
  self->max_staleness_.reset();
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Watcher::SendChange(std::shared_ptr<Watcher> self,
                                                  AvailabilityChange change) {
  self->version_.reset();
  const std::vector<NumberChange>& numbers = *change.numbers;
  self->held_ = std::move(change.numbers);
  v1::WatchAvailabilityResponse message;
  std::size_t count = 0;
  for (const NumberChange& number : numbers) {
    const bool before = number.before && self->filter_.Matches(*number.before);
    const bool after = number.after && self->filter_.Matches(*number.after);
    if (!before && !after) continue;
    if (count == kNumbersPerMessage) {
      // Empty while it waits for a reader who may be slow.
      std::string bytes = std::exchange(message, {}).SerializeAsString();
      absl::Status status = co_await Write(self, std::move(bytes));
      if (!status.ok() || !self->held_) co_return status;
      count = 0;
    }
    ++count;
    if (!after) {
      message.add_removed(number.before->phone_number());
    } else {
      *(before ? message.add_changed() : message.add_added()) = *number.after;
    }
  }
  self->held_.reset();
  self->version_ = change.version;
  if (count == 0) co_return absl::OkStatus();
  message.set_resume_token(self->Token(change.version));
  co_return co_await Write(self, message.SerializeAsString());
}

asio::awaitable<absl::Status> Watcher::Write(std::shared_ptr<Watcher> self, std::string bytes) {
  absl::Status allowed = self->allowed_();
  if (!allowed.ok()) co_return allowed;
  const auto waiter = std::make_shared<Wakeup>(self->strand_);
  {
    const std::lock_guard lock(self->mutex_);
    self->written_ = false;
    self->writing_ = waiter;
  }
  self->buffer_ = ToByteBuffer(std::move(bytes));
  self->StartWrite(&self->buffer_);
  auto until = Clock::now() + self->setting_.options.patience;
  bool stopping = false;
  for (;;) {
    if (!stopping && self->IsStopping()) {
      stopping = true;
      until = std::min(until, Clock::now() + kFarewell);
    }
    // A cancellation ends the wait, but not the write: gRPC ends that.
    auto waiting = waiter->WaitUntil(until);
    co_await std::move(waiting);
    {
      const std::lock_guard lock(self->mutex_);
      if (self->written_) {
        self->last_sent_ = Clock::now();
        co_return self->write_ok_ ? absl::OkStatus() : CancelledError("watching");
      }
    }
    if (Clock::now() < until) continue;
    until = Clock::time_point::max();
    self->held_.reset();
    // A status would come after the messages that the caller does not read.
    if (stopping) self->server_context_->TryCancel();
  }
}

}  // namespace leasegateway
