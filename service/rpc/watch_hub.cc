#include "service/rpc/watch_hub.h"

#include <chrono>
#include <cstdint>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

std::uint64_t NewInstance() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

}  // namespace

absl::Status WatchHub::Watchers::Enter(const std::shared_ptr<Watcher>& watcher) {
  const std::lock_guard lock(mutex_);
  if (static_cast<int>(watchers_.size()) >= most_) {
    auto status = MakeError(absl::StatusCode::kResourceExhausted, reason::kTooManyWatchers,
                            absl::StrCat(watchers_.size(), " callers watch already"));
    SetRetryDelay(status, std::chrono::seconds(5));
    return status;
  }
  watchers_.insert(watcher);
  if (stopped_) watcher->Stop();
  return absl::OkStatus();
}

void WatchHub::Watchers::Leave(const std::shared_ptr<Watcher>& watcher) {
  const std::lock_guard lock(mutex_);
  watchers_.erase(watcher);
}

void WatchHub::Watchers::Wake() {
  for (const auto& watcher : All()) watcher->Wake();
}

void WatchHub::Watchers::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  for (const auto& watcher : All()) watcher->Stop();
}

int WatchHub::Watchers::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(watchers_.size());
}

std::vector<std::shared_ptr<Watcher>> WatchHub::Watchers::All() const {
  const std::lock_guard lock(mutex_);
  return {watchers_.begin(), watchers_.end()};
}

WatchHub::WatchHub(const CallRuntime& runtime, CachingLeaseApi& cache, std::string account,
                   const WatchOptions& options)
    : setting_{runtime, cache, std::move(account), options, NewInstance()},
      watchers_(std::make_shared<Watchers>(options.max_watchers)) {
  cache.SetListener([weak = std::weak_ptr<Watchers>(watchers_)] {
    if (const auto watchers = weak.lock()) watchers->Wake();
  });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchHub::Watch(grpc::CallbackServerContext* context,
                                                            v1::WatchAvailabilityRequest request,
                                                            std::optional<Consistency> missing,
                                                            CallCaller caller, StillAllowed allowed,
                                                            absl::Status valid) {
  const auto watcher = std::make_shared<Watcher>(setting_, context, std::move(request), missing,
                                                 caller, std::move(allowed));
  if (valid.ok() && caller.use) {
    valid = caller.use->EnterWatch(*caller.setting);
    if (!valid.ok()) caller.use.reset();
  } else {
    caller.use.reset();
  }
  absl::Status entered = valid.ok() ? watchers_->Enter(watcher) : std::move(valid);
  if (!entered.ok() && caller.use) caller.use->LeaveWatch();
  watcher->Start(entered, [watchers = watchers_, watcher, use = std::move(caller.use)] {
    watchers->Leave(watcher);
    if (use) use->LeaveWatch();
  });
  return watcher.get();
}

}  // namespace leasegateway
