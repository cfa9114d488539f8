#include "service/callers/callers.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "service/callers/bearer_token.h"
#include "service/callers/policy_changes.h"
#include "service/callers/read_callers.h"
#include "service/process/logging.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

// Entries whose changes the audit has one by one, so that a reload can't push others out of the
// log's queue.
constexpr std::size_t kMaxAuditedEntries = 100;

// What IDENTITY_INVALID says in `why`, and the name under which it is counted where that isn't the
// same.
constexpr std::pair<absl::string_view, absl::string_view> kCountedAs[] = {
    {"not valid yet", "not_yet_valid"}, {"untrusted proxy", "not_trusted"},
    {"malformed header", "malformed"},  {"unknown scheme", "malformed"},
    {"invalid name", "malformed"},      {"several names", "malformed"},
    {"no name", "malformed"},
};

std::size_t FailureOf(const absl::Status& status) {
  const auto metadata = MetadataOf(status);
  const auto found = metadata.find("why");
  std::string why = found == metadata.end() ? "" : found->second;
  for (const auto& [told, counted] : kCountedAs) {
    if (why == told) why = std::string(counted);
  }
  return IdentityFailureOf(absl::StrReplaceAll(why, {{" ", "_"}}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Callers>> Callers::Open(Options options) {
  const std::chrono::milliseconds refresh = options.refresh;
  std::unique_ptr<Callers> callers(new Callers(std::move(options)));
  auto text = ReadCallersText(callers->options_.path);
  if (!text.ok()) return text.status();
  auto force = callers->Make(*text, nullptr);
  if (!force.ok()) return force.status();
  const CallersPolicy& policy = *(*force)->policy;
  const std::string accounts = absl::StrCat(policy.accounts().size());
  const std::string entries = absl::StrCat(policy.callers().size());
  callers->Replace(*std::move(force), *std::move(text));
  spdlog::info("callers_file \"{}\": {} accounts, {} callers", callers->options_.path, accounts,
               entries);
  LogAudit("callers_file_read",
           {{"file", callers->options_.path}, {"accounts", accounts}, {"callers", entries}});
  callers->refreshing_.emplace(refresh, [raw = callers.get()] { raw->Refresh(); });
  return callers;
}

std::shared_ptr<const Callers::Force> Callers::InForce() const {
  const std::lock_guard lock(force_mutex_);
  return force_;
}

absl::StatusOr<Callers::Known> Callers::Identify(const PeerFacts& facts) const {
  const std::shared_ptr<const Force> force = InForce();
  auto identity = force->identities->Read(facts);
  if (!identity.ok()) {
    identity_failures_[FailureOf(identity.status())].fetch_add(1, std::memory_order_relaxed);
    return identity.status();
  }
  Known known;
  known.setting = force->policy->Find(*identity);
  known.identity = std::make_shared<const Identity>(*std::move(identity));
  known.use = force->uses.find(known.setting.get())->second;
  return known;
}

CallersStats Callers::stats() const {
  CallersStats stats;
  stats.reloads = reloads_;
  stats.refused_reloads = refused_reloads_;
  for (std::size_t i = 0; i < stats.identity_failures.size(); ++i) {
    stats.identity_failures[i] = identity_failures_[i].load(std::memory_order_relaxed);
  }
  stats.quota_refusals = quota_counts_->totals();
  // Together, as a verifier's may move to those that are past meanwhile.
  const std::lock_guard lock(token_stats_mutex_);
  const std::shared_ptr<const Force> force = InForce();
  const TokenStats tokens = force->tokens == nullptr ? TokenStats() : force->tokens->stats();
  stats.file_ok = file_ok_ && tokens.key_files_ok;
  stats.tokens_verified = past_token_stats_.verified + tokens.verified;
  stats.tokens_refused = past_token_stats_.refused + tokens.refused;
  stats.tokens_remembered = past_token_stats_.from_memory + tokens.from_memory;
  return stats;
}

void Callers::Refresh() {
  const std::lock_guard lock(refresh_mutex_);
  retired_.reset();
  auto text = ReadCallersText(options_.path);
  if (!text.ok()) return Refuse("", std::string(text.status().message()));
  if (*text == text_) {
    if (!refused_problems_.empty()) {
      spdlog::info("callers_file \"{}\" is again as the one in force", options_.path);
      LogAudit("callers_file_restored", {{"file", options_.path}});
    }
    refused_text_.clear();
    refused_problems_.clear();
    file_ok_ = true;
    return;
  }
  const std::shared_ptr<const Force> old = InForce();
  auto force = Make(*text, old.get());
  if (!force.ok()) return Refuse(*text, std::string(force.status().message()));
  const std::shared_ptr<const CallersPolicy> policy = (*force)->policy;
  Replace(*std::move(force), *std::move(text));
  reloads_.fetch_add(1, std::memory_order_relaxed);
  spdlog::info("callers_file has changed: {} callers are in force", policy->callers().size());
  Audit(*old->policy, *policy);
}

absl::StatusOr<std::shared_ptr<const Callers::Force>> Callers::Make(const std::string& text,
                                                                    const Force* old) {
  auto policy = ParseCallers(text, options_.path, {.sandbox = options_.sandbox});
  if (!policy.ok()) return policy.status();
  if (old != nullptr) {
    if (const std::string rule = AccountsDiffer(*old->policy, *policy); !rule.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(options_.path, ": accounts: ", rule,
                                                     ": a change of accounts takes a restart"));
    }
  }
  auto force = std::make_shared<Force>();
  force->policy = std::make_shared<const CallersPolicy>(*std::move(policy));
  // A verifier reads its keys anew by itself, and remembers tokens.
  if (old != nullptr && old->policy->issuers() == force->policy->issuers()) {
    force->tokens = old->tokens;
    force->identities = old->identities;
  } else {
    if (!force->policy->issuers().empty()) {
      auto tokens = TokenVerifier::Open(force->policy->issuers(), options_.refresh);
      if (!tokens.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(options_.path, ": tokens: ", tokens.status().message()));
      }
      force->tokens = *std::move(tokens);
    }
    force->identities =
        std::make_shared<const IdentityReader>(options_.trusted_proxies, force->tokens);
  }
  // What a caller uses stays its own by its name.
  absl::flat_hash_map<absl::string_view, std::shared_ptr<CallerUse>> old_uses;
  if (old != nullptr) {
    for (const auto& [setting, use] : old->uses) old_uses.emplace(setting->name, use);
  }
  const auto add = [&](const CallerSetting& setting) {
    const auto found = old_uses.find(setting.name);
    force->uses.emplace(&setting, found != old_uses.end()
                                      ? found->second
                                      : std::make_shared<CallerUse>(quota_counts_));
  };
  for (const auto& setting : force->policy->callers()) add(*setting);
  add(*force->policy->Find(Identity()));  // the file may have no entry for it
  return force;
}

void Callers::Replace(std::shared_ptr<const Force> force, std::string text) {
  text_ = std::move(text);
  refused_text_.clear();
  refused_problems_.clear();
  file_ok_ = true;
  const std::lock_guard stats_lock(token_stats_mutex_);
  if (force_ != nullptr && force_->tokens != nullptr && force_->tokens != force->tokens) {
    KeepTokenStats(*force_->tokens);
  }
  {
    const std::lock_guard lock(force_mutex_);
    force_.swap(force);
  }
  static std::atomic<std::uint64_t> generations{0};
  generation_.store(++generations, std::memory_order_release);
  retired_ = std::move(force);
}

void Callers::KeepTokenStats(const TokenVerifier& tokens) {
  const TokenStats stats = tokens.stats();
  past_token_stats_.verified += stats.verified;
  past_token_stats_.from_memory += stats.from_memory;
  past_token_stats_.refused += stats.refused;
}

void Callers::Refuse(const std::string& text, const std::string& problems) {
  file_ok_ = false;
  if (text == refused_text_ && problems == refused_problems_) return;
  refused_text_ = text;
  refused_problems_ = problems;
  refused_reloads_.fetch_add(1, std::memory_order_relaxed);
  const std::vector<std::string> lines = absl::StrSplit(problems, '\n');
  for (const std::string& line : lines) spdlog::error("callers_file: {}", line);
  spdlog::error("callers_file: the one from before stays in force");
  LogAudit("callers_file_refused", {{"file", options_.path},
                                    {"problem", lines.front()},
                                    {"problems", absl::StrCat(lines.size())}});
}

void Callers::Audit(const CallersPolicy& before, const CallersPolicy& after) const {
  const PolicyChanges changes = ChangesBetween(before, after, kMaxAuditedEntries);
  LogAudit("callers_file_read", {{"file", options_.path},
                                 {"accounts", absl::StrCat(after.accounts().size())},
                                 {"callers", absl::StrCat(after.callers().size())}});
  for (const PolicyChange& change : changes.changes) {
    const std::string entry = change.what.substr(0, change.what.find('_'));
    LogAudit(change.what, {{entry, change.name},
                           {"setting", change.key},
                           {"before", change.before},
                           {"after", change.after}});
  }
  if (changes.more > 0) {
    LogAudit("more_entries_changed", {{"entries", absl::StrCat(changes.more)}});
  }
}

}  // namespace leasegateway
