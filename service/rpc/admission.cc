#include "service/rpc/admission.h"

#include <grpc/grpc_security_constants.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "service/rpc/method_rights.h"
#include "service/rpc/validation.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr char kForwardedCertificate[] = "x-forwarded-client-cert";
constexpr char kAuthorization[] = "authorization";

std::vector<std::string> PropertiesOf(const grpc::AuthContext& authentication, const char* name) {
  std::vector<std::string> values;
  for (const auto& value : authentication.FindPropertyValues(name)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

// The header's values as one, as a proxy may have joined them (RFC 9110, 5.3).
std::optional<std::string> HeaderOf(const grpc::ServerContextBase& context, const char* name) {
  const auto [first, last] = context.client_metadata().equal_range(name);
  if (first == last) return std::nullopt;
  std::string joined;
  for (auto each = first; each != last; ++each) {
    if (each != first) joined += ',';
    joined.append(each->second.data(), each->second.size());
  }
  return joined;
}

// "ipv4:192.0.2.1:5" and "ipv6:%5B2001:db8::1%5D:5" (gRPC's naming); empty: a Unix socket. What is
// neither comes back as no address, and nobody trusts it.
std::string AddressOf(std::string_view peer) {
  if (peer.substr(0, 5) == "unix:") return "";
  const bool v4 = peer.substr(0, 5) == "ipv4:";
  if (!v4 && peer.substr(0, 5) != "ipv6:") return absl::StrCat("unknown ", std::string(peer));
  peer.remove_prefix(5);
  peer = peer.substr(0, peer.rfind(':'));
  if (v4) return std::string(peer);
  for (const std::string_view open : {"%5B", "["}) {
    if (peer.substr(0, open.size()) == open) peer.remove_prefix(open.size());
  }
  return std::string(peer.substr(0, peer.find_first_of("%]")));  // a zone goes as well
}

PeerFacts FactsOf(const grpc::ServerContextBase& context) {
  PeerFacts facts;
  facts.forwarded_certificate = HeaderOf(context, kForwardedCertificate);
  facts.authorization = HeaderOf(context, kAuthorization);
  // Only what forwards is judged by its address.
  if (facts.forwarded_certificate) facts.address = AddressOf(context.peer());
  const auto authentication = context.auth_context();
  facts.has_certificate = authentication->IsPeerAuthenticated();
  if (!facts.has_certificate) return facts;
  facts.uris = PropertiesOf(*authentication, GRPC_PEER_URI_PROPERTY_NAME);
  facts.dns_names = PropertiesOf(*authentication, GRPC_PEER_DNS_PROPERTY_NAME);
  auto common_names = PropertiesOf(*authentication, GRPC_X509_CN_PROPERTY_NAME);
  if (!common_names.empty()) facts.common_name = std::move(common_names[0]);
  return facts;
}

// Who made this thread's latest call that brought nothing but a certificate, or nothing at all:
// most calls are like the one before.
struct LatestCaller {
  std::uint64_t generation = 0;  // of Callers; 0: nobody
  std::string proof;
  Callers::Known known;
};

// All that the certificate says of who calls, as bytes that differ where that does. False: the call
// brings something else as well, or instead.
bool ReadProof(const grpc::ServerContextBase& context, std::string& proof) {
  const auto& metadata = context.client_metadata();
  if (metadata.find(kForwardedCertificate) != metadata.end()) return false;
  if (metadata.find(kAuthorization) != metadata.end()) return false;
  proof.clear();
  const auto authentication = context.auth_context();
  if (!authentication->IsPeerAuthenticated()) return true;
  proof += 'c';
  const auto end = authentication->end();
  for (auto each = authentication->begin(); each != end; ++each) {
    const auto [name, value] = *each;
    const char kind = name == GRPC_PEER_URI_PROPERTY_NAME   ? 'u'
                      : name == GRPC_PEER_DNS_PROPERTY_NAME ? 'd'
                      : name == GRPC_X509_CN_PROPERTY_NAME  ? 'n'
                                                            : '\0';
    if (kind == '\0') continue;
    const std::size_t size = value.size();
    proof += kind;
    proof.append(reinterpret_cast<const char*>(&size), sizeof(size));
    proof.append(value.data(), size);
  }
  return true;
}

absl::StatusOr<Callers::Known> Identify(const Callers& callers,
                                        const grpc::ServerContextBase& context) {
  thread_local LatestCaller last;
  thread_local std::string proof;
  if (!ReadProof(context, proof)) return callers.Identify(FactsOf(context));
  // Read first: what is found then is at least as new.
  const std::uint64_t generation = callers.generation();
  if (last.generation == generation && last.proof == proof) return last.known;
  auto known = callers.Identify(FactsOf(context));
  if (known.ok()) last = {generation, proof, *known};
  return known;
}

// Says nothing of the account but what the caller said of it. `right`: nothing where any would do.
absl::Status NotAllowed(const std::string& caller, std::optional<Right> right,
                        std::string_view account) {
  const std::string what = right ? absl::StrCat(" \"", NameOf(*right), "\"") : std::string();
  const std::string where =
      account.empty() ? "any account" : absl::StrCat("account ", QuoteValue(account));
  ErrorMetadata metadata{{"caller", caller}, {"account", std::string(account)}};
  if (right) metadata["right"] = NameOf(*right);
  return MakeError(
      absl::StatusCode::kPermissionDenied, reason::kNotAllowed,
      absl::StrCat("caller ", QuoteValue(caller), " has no right", what, " on ", where), metadata);
}

absl::Status AccountNotNamed(const CallerSetting& caller) {
  constexpr std::size_t kTold = 10;
  std::string accounts;
  for (std::size_t i = 0; i < caller.grants.size() && i < kTold; ++i) {
    absl::StrAppend(&accounts, i == 0 ? "\"" : ", \"", caller.grants[i].account, "\"");
  }
  if (caller.grants.size() > kTold) {
    absl::StrAppend(&accounts, " and ", caller.grants.size() - kTold, " more");
  }
  return FieldViolation("account", reason::kInvalidAccount,
                        absl::StrCat("is needed: the caller has rights on ", accounts));
}

// `caller`: null for one that the file does not have any more.
SpendingRules LimitsOn(const CallersPolicy& policy, const CallerSetting* caller,
                       const std::string& account) {
  SpendingRules rules;
  if (const auto* setting = policy.AccountOf(account)) rules.account = setting->spending;
  if (caller == nullptr) return rules;
  rules.caller = caller->spending;
  if (const auto* grant = caller->GrantOn(account)) rules.caller_on_account = grant->spending;
  return rules;
}

// `sees_all`: it may go on with what others have begun, who have their own.
std::shared_ptr<const SpendingRules> RulesOf(const std::shared_ptr<const CallersPolicy>& policy,
                                             const CallerSetting& caller,
                                             const std::string& account, bool sees_all) {
  SpendingRules rules = LimitsOn(*policy, &caller, account);
  if (sees_all) {
    rules.of_another = [policy, account](const std::string& name) {
      return std::make_shared<const SpendingRules>(
          LimitsOn(*policy, policy->CallerNamed(name), account));
    };
  } else if (rules.empty()) {
    return nullptr;
  }
  return std::make_shared<const SpendingRules>(std::move(rules));
}

}  // namespace

Admission::Admission(std::map<std::string, AccountStack, std::less<>> accounts, Callers* callers)
    : accounts_(std::move(accounts)), callers_(callers) {}

Admission::Verdict Admission::Admit(const grpc::ServerContextBase& context, Method method,
                                    std::string_view account) {
  if (callers_ == nullptr) return AdmitAnybody(account);
  Verdict verdict;
  auto known = Identify(*callers_, context);
  if (known.ok()) {
    verdict.caller.identity = std::move(known->identity);
    verdict.caller.setting = std::move(known->setting);
    verdict.caller.use = std::move(known->use);
    verdict.status = AdmitKnown(method, account, &verdict);
    if (verdict.status.ok()) return verdict;
    if (ReasonOf(verdict.status) == reason::kNotAllowed) ++not_allowed_;
  } else {
    verdict.status = known.status();
  }
  return verdict;
}

absl::Status Admission::StillAllows(Method method, const CallCaller& caller,
                                    std::uint64_t* generation) const {
  if (callers_ == nullptr) return absl::OkStatus();
  // Read first: what is found then is at least as new.
  const std::uint64_t now = callers_->generation();
  if (now == *generation) return absl::OkStatus();
  const auto setting = callers_->policy()->Find(*caller.identity);
  const AccountGrant* const grant = setting->GrantOn(caller.account);
  const Right needed = *RightFor(method).right;
  if (grant == nullptr || !Has(grant->rights, needed)) {
    ++not_allowed_;
    return NotAllowed(setting->name, needed, caller.account);
  }
  *generation = now;
  return absl::OkStatus();
}

Admission::Verdict Admission::AdmitAnybody(std::string_view account) const {
  Verdict verdict;
  const AccountStack& only = accounts_.begin()->second;
  if (!account.empty() && account != only.name) {
    verdict.status = FieldViolation("account", reason::kInvalidAccount,
                                    absl::StrCat(QuoteValue(account), " is not \"", only.name,
                                                 "\", the only account without a callers file"));
    return verdict;
  }
  verdict.account = &only;
  return verdict;
}

absl::Status Admission::AdmitKnown(Method method, std::string_view account,
                                   Verdict* verdict) const {
  const CallerSetting& caller = *verdict->caller.setting;
  const MethodRight& needed = RightFor(method);
  const auto now = std::chrono::steady_clock::now();
  // First, as errors have what is named: none may be longer than a client takes.
  absl::Status named = CheckAccount(account);
  if (!named.ok()) return named;
  if (needed.right) {
    if (account.empty() && caller.grants.size() > 1) return AccountNotNamed(caller);
    const AccountGrant* grant = nullptr;
    if (!account.empty()) {
      grant = caller.GrantOn(account);
    } else if (!caller.grants.empty()) {
      grant = &caller.grants.front();
    }
    if (grant != nullptr) verdict->caller.account = grant->account;
    if (grant == nullptr || !Has(grant->rights, *needed.right)) {
      return NotAllowed(caller.name, needed.right, account);
    }
    const auto found = accounts_.find(grant->account);
    if (found == accounts_.end()) return NotAllowed(caller.name, needed.right, account);
    verdict->account = &found->second;
    verdict->caller.sees_all_operations = Has(grant->rights, Right::kSeeAllOperations);
    if (*needed.right == Right::kLease) {
      verdict->caller.spending =
          RulesOf(callers_->policy(), caller, grant->account, verdict->caller.sees_all_operations);
    }
  } else if (!account.empty() && caller.GrantOn(account) == nullptr) {
    return NotAllowed(caller.name, std::nullopt, account);
  }
  absl::Status taken = verdict->caller.use->TakeCall(caller, needed.writes, now);
  if (taken.ok() && needed.lists) taken = verdict->caller.use->CheckRows(caller, now);
  return taken;
}

}  // namespace leasegateway
