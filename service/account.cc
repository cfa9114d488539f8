#include "service/account.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <functional>
#include <utility>

#include "service/purchase_journal.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/search.h"
#include "service/rpc/watch_hub.h"
#include "upstream/availability/cache_environment.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {
namespace {

// For the lists of the other replicas, before this one serves.
constexpr std::chrono::seconds kLoadTimeout{2};

}  // namespace

Account::Account(const Shared& shared, std::string name)
    : shared_(shared), name_(std::move(name)) {}

absl::StatusOr<std::unique_ptr<Account>> Account::Make(const Shared& shared, std::string name,
                                                       UpstreamOptions options) {
  std::unique_ptr<Account> account(new Account(shared, std::move(name)));
  const Config& config = shared.config;
  options.rate_share = shared.journal.rate_share(account->name_);
  options.shared_lists = shared.journal.shared_lists(account->name_);
  account->upstream_stats_ = options.stats;
  RecordedLeaseApi::Options recording;
  recording.account = account->name_;
  recording.settle = config.settle_time;
  recording.adopt_interval = shared.journal.adopt_interval();
  recording.may_resend = [budget = options.retry_budget] {
    return budget->Take(false, std::chrono::steady_clock::now());
  };
  auto made = MakeLeaseApi(shared.executor, std::move(options));
  if (!made.ok()) return made.status();
  account->api_ = *std::move(made);
  CachingLeaseApi* const api = account->api_.get();
  account->recorded_ = std::make_unique<RecordedLeaseApi>(
      account->api_, RecordedLeaseApi::MemoryOf(account->api_), shared.journal.journal(),
      std::move(recording), shared.executor, MakeCallEnvironment());
  const CacheEnvironment environment = MakeCacheEnvironment(shared.executor, PinInMemory);
  account->search_ = std::make_unique<AvailabilitySearch>(
      environment.now, environment.after,
      static_cast<std::size_t>(config.cache_history_bytes) / 4 * 3,  // the rest is for watches
      account->name_,
      shared.journal.cluster() ? [api] { return api->account().SharedKey(); }
                               : std::function<std::string()>());
  account->watches_ = std::make_unique<WatchHub>(
      shared.runtime, *api, account->name_,
      WatchOptions{.heartbeat = config.watch_heartbeat, .max_watchers = config.max_watchers});
  return account;
}

Account::~Account() { End(); }

void Account::LoadLists() {
  if (shared_.journal.cluster() == nullptr) return;
  auto loading = api_->account().Load(std::chrono::steady_clock::now() + kLoadTimeout);
  auto loaded = boost::asio::co_spawn(boost::asio::make_strand(shared_.executor),
                                      std::move(loading), boost::asio::use_future);
  if (!loaded.get()) spdlog::warn("the shared lists are away: memory begins empty");
}

absl::Status Account::Recover() {
  auto recovering = recorded_->Recover();
  auto recovered = boost::asio::co_spawn(boost::asio::make_strand(shared_.executor),
                                         std::move(recovering), boost::asio::use_future);
  return recovered.get();
}

void Account::StopWatches() { watches_->Stop(); }

void Account::End() {
  watches_.reset();
  search_.reset();
  recorded_.reset();
}

AccountStack Account::stack() { return {name_, *api_, *recorded_, *search_, *watches_}; }

AccountSources Account::sources() {
  AccountSources sources;
  sources.account = name_;
  sources.upstream = upstream_stats_;
  sources.cache = [this] { return api_->stats(); };
  sources.search = [this] { return search_->stats(); };
  sources.leasing = [this] { return recorded_->stats(); };
  sources.watchers = [this] { return watches_->watchers(); };
  return sources;
}

ReadinessProbe::Account Account::readiness() const { return {name_, api_, upstream_stats_}; }

}  // namespace leasegateway
