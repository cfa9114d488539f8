#include "upstream/leasing/adoption.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include "upstream/leasing/operation_life.h"
#include "upstream/trace_context.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

// At a time: each is looked after at once.
constexpr std::size_t kMaxAdopted = 100;
// Once in so many looks it is seen to that this process has lost none of its own, whose adoption it
// was never told of.
constexpr std::uint64_t kLooksForOwn = 10;

}  // namespace

Adoption::Adoption(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
                   std::shared_ptr<FlightTable> flights, const asio::any_io_executor& executor)
    : parts_(std::move(parts)),
      locks_(std::move(locks)),
      flights_(std::move(flights)),
      strand_(asio::make_strand(executor)) {}

asio::awaitable<absl::Status> Adoption::Adopt(bool own) {
  for (auto& record : std::exchange(deferred_, {})) Resume(std::move(record));
  for (;;) {
    auto adopting = parts_->journal->Adopt(parts_->options.account, kMaxAdopted, own);
    auto records = co_await std::move(adopting);
    if (!records.ok()) co_return records.status();
    for (auto& record : *records) Resume(std::move(record));
    if (own || records->size() < kMaxAdopted) co_return absl::OkStatus();
  }
}

void Adoption::Resume(OperationJournal::Record record) {
  const v1::Operation& operation = record.entry.operation;
  const auto flight = flights_->MakeFlight(
      {operation.request_id(), record.entry.fingerprint, "recover", operation.caller(),
       operation.identity_kind(), true, std::make_shared<const TraceContext>(NewTrace())});
  const auto life = std::make_shared<OperationLife>(parts_, locks_, flight, record);
  const bool resumed = flights_->Resume(
      flight, [life](std::shared_ptr<Flight>) { return OperationLife::Run(life); });
  if (resumed) {
    ++parts_->counts->adopted;
  } else {
    deferred_.push_back(std::move(record));
  }
}

asio::awaitable<void> Adoption::Look(std::shared_ptr<Adoption> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (std::uint64_t looks = 1;; ++looks) {
    const auto wakeup = std::make_shared<Wakeup>(self->strand_);
    {
      const std::lock_guard lock(self->mutex_);
      if (self->stopped_) co_return;
      self->nap_ = wakeup;
    }
    const auto until = self->parts_->environment.now() + self->parts_->options.adopt_interval;
    auto waiting = self->parts_->environment.wait(wakeup, until);
    co_await std::move(waiting);
    {
      const std::lock_guard lock(self->mutex_);
      self->nap_.reset();
      if (self->stopped_) co_return;
    }
    auto adopting = self->Adopt(looks % kLooksForOwn == 0);
    const absl::Status status = co_await std::move(adopting);
    if (!status.ok()) {
      spdlog::debug("looking for operations of others failed: {}", std::string(status.message()));
    }
  }
}

void Adoption::Start() {
  if (parts_->options.adopt_interval.count() == 0) return;
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  auto looking = Look(shared_from_this());
  asio::co_spawn(strand_, std::move(looking),
                 [self = shared_from_this()](std::exception_ptr exception) {
                   if (exception) spdlog::error("operations of others are no longer looked for");
                   const std::lock_guard lock(self->mutex_);
                   self->running_ = false;
                   self->ended_.notify_all();
                 });
}

void Adoption::Stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  if (nap_) Wakeup::Wake(nap_);
  ended_.wait(lock, [this] { return !running_; });
}

}  // namespace leasegateway
