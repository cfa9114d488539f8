#include "upstream/sandbox/provider.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/string.hpp>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

constexpr std::string_view kApiVersion = "v2026.10.1";
constexpr std::int64_t kForwardingDelayMs = 2000;

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Millionths: exact for any price with at most six places, whatever the double made of it.
std::int64_t Micros(const json::value* price) {
  if (price == nullptr || !price->is_number()) return 0;
  const double amount = price->to_number<double>();
  return std::abs(amount) < 1e9 ? std::llround(amount * 1e6) : 0;
}

// Weak, because the envelope around the data is another one each time.
std::string EtagOf(std::string_view data) {
  return Cat("W/\"", std::hash<std::string_view>()(data), "\"");
}

const json::value* Find(const json::value& value, std::string_view outer, std::string_view inner) {
  const json::object* object = value.if_object();
  const json::value* found = object != nullptr ? object->if_contains(outer) : nullptr;
  object = found != nullptr ? found->if_object() : nullptr;
  return object != nullptr ? object->if_contains(inner) : nullptr;
}

}  // namespace

Provider::Provider(std::uint64_t seed, int numbers, const std::vector<std::string>& keys)
    : seed_(seed), accounts_(keys), numbers_(seed, numbers) {
  Reset();
}

void Provider::Reset() {
  random_.seed(seed_ ^ 0x9e3779b97f4a7c15U);
  accounts_.Reset();
  numbers_.Reset();
  leases_.clear();
  next_lease_ = 1'000'000'001;
  ledger_.Clear();
  available_.clear();
}

std::string Provider::Envelope(std::string_view prefix, std::string_view object,
                               std::string_view data) {
  std::string text =
      Cat(R"({"id":")", prefix, DrawHex(random_), R"(","timestamp":)", NowMs(),
          R"(,"api_version":")", kApiVersion, R"(","object":")", object, R"(","data":)");
  // A list may have tens of megabytes, which growing step by step would copy more than once.
  text.reserve(text.size() + data.size() + 1);
  (text += data) += '}';
  return text;
}

ApiReply Provider::Success(std::string_view data) {
  ApiReply reply;
  reply.body = Envelope("req_", "response", data);
  return reply;
}

ApiReply Provider::Empty() { return Success("{}"); }

ApiReply Provider::Error(int status, std::string_view message, std::string_view agreement_url,
                         bool envelope) {
  ApiReply reply;
  reply.status = status;
  const std::string rest =
      Cat(Quote(message), R"(,"status":)", status,
          agreement_url.empty() ? "" : Cat(R"(,"agreement_url":)", Quote(agreement_url)), "}");
  reply.body =
      envelope ? Envelope("err_", "error", Cat(R"({"error":)", rest)) : Cat(R"({"message":)", rest);
  return reply;
}

ApiReply Provider::Handle(const Route& route, std::string_view authorization,
                          std::string_view body) {
  const std::optional<std::size_t> account = accounts_.Find(authorization);
  if (!account) return Error(401, "Unauthorized");
  if (route.operation == Operation::kNoSuchPath) return Error(404, "Not Found");
  if (route.operation == Operation::kNoSuchMethod) return Error(405, "Method Not Allowed");
  if (route.operation == Operation::kListAvailable) return ListAvailable(*account);
  if (route.operation == Operation::kListLeased) return ListLeased(*account);

  if (!IsE164(route.number)) return Error(400, "The number is not in E.164 format");
  const std::optional<std::size_t> found = numbers_.Find(route.number);
  if (!found) return Error(404, "Number not found");
  const std::size_t index = *found;

  const Account& who = accounts_[*account];
  const bool adds = route.operation == Operation::kLease ||
                    route.operation == Operation::kConfigure ||
                    route.operation == Operation::kEnableForwarding;
  if (adds && !who.agreement_url.empty() && !who.agreement_accepted) {
    return Error(403, "An agreement must be accepted first", who.agreement_url);
  }

  switch (route.operation) {
    case Operation::kGetNumber:
      return GetNumber(*account, index);
    case Operation::kLease:
      return LeaseNumber(*account, index, body);
    case Operation::kGetLeased:
      return GetLeased(*account, index);
    case Operation::kTerminate:
      return Terminate(*account, index);
    default:
      break;
  }
  Lease* lease = FindLease(*account, index);
  if (lease == nullptr) return Error(400, "You do not lease this number");
  if (route.operation == Operation::kConfigure) return Configure(lease, index, body);
  return Forward(lease, index, route.operation, body);
}

Provider::Lease* Provider::FindLease(std::size_t account, std::size_t index) {
  const auto lease = leases_.find(index);
  return lease != leases_.end() && lease->second.account == account ? &lease->second : nullptr;
}

bool Provider::Entitled(std::size_t account, std::size_t index) const {
  const auto& entitlements = accounts_[account].entitlements;
  if (!entitlements) return true;
  for (const std::string_view word : RequirementsOf(numbers_[index])) {
    if (std::find(entitlements->begin(), entitlements->end(), word) == entitlements->end()) {
      return false;
    }
  }
  return true;
}

bool Provider::Leasable(std::size_t index) const {
  return !leases_.contains(index) && numbers_.IsOffered(index);
}

void Provider::AppendObject(std::size_t account, std::size_t index, std::string* out) const {
  const auto lease = leases_.find(index);
  std::string fields;
  if (lease != leases_.end() && lease->second.account == account) {
    fields = Cat(R"(,"lease_id":")", lease->second.id,
                 R"(","lease_status":"active","billing":{"method":")", lease->second.method,
                 R"(","period":{"start":)", lease->second.start, R"(,"end":null}})");
  }
  numbers_.Append(index, lease != leases_.end(), fields, out);
}

json::value Provider::Parsed(std::size_t account, std::size_t index) const {
  std::string text;
  AppendObject(account, index, &text);
  return json::parse(text);
}

void Provider::Record(std::string_view kind, const Lease& lease, std::size_t index,
                      std::int64_t micros) {
  const json::value number = Parsed(lease.account, index);
  const json::value* currency = Find(number, "pricing", "currency");
  Ledger::Entry entry;
  entry.time_ms = NowMs();
  entry.kind = kind;
  entry.number = numbers_[index].e164;
  entry.lease_id = lease.id;
  entry.account = accounts_[lease.account].name;
  if (currency != nullptr && currency->is_string()) entry.currency = View(currency->get_string());
  entry.micros = micros;
  ledger_.Add(std::move(entry));
}

ApiReply Provider::ListAvailable(std::size_t account) {
  const Entitlements& entitlements = accounts_[account].entitlements;
  auto data = available_.find(entitlements);
  if (data == available_.end()) {
    Listed made{AvailableData(account), "", NowMs() / 1'000};
    made.etag = EtagOf(made.data);
    data = available_.emplace(entitlements, std::move(made)).first;
  }
  const Listed& listed = data->second;
  if (listed.data.empty()) return Error(404, "No numbers available");
  ApiReply reply = Success(listed.data);
  reply.etag = listed.etag;
  reply.modified = listed.made;
  return reply;
}

std::string Provider::AvailableData(std::size_t account) const {
  std::string list;
  std::size_t count = 0;
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    if (!Leasable(i) || !Entitled(account, i)) continue;
    if (count++ > 0) list += ',';
    AppendObject(account, i, &list);
  }
  return count == 0 ? "" : Cat(R"({"available":)", count, R"(,"numbers":[)", list, "]}");
}

ApiReply Provider::ListLeased(std::size_t account) {
  std::string list;
  std::size_t count = 0;
  for (const auto& [index, lease] : leases_) {
    if (lease.account != account) continue;
    if (count++ > 0) list += ',';
    AppendObject(account, index, &list);
  }
  if (count == 0) return Error(404, "No leased numbers");
  ApiReply reply = Success(Cat(R"({"leased":)", count, R"(,"numbers":[)", list, "]}"));
  reply.etag = EtagOf(list);
  return reply;
}

ApiReply Provider::GetNumber(std::size_t account, std::size_t index) {
  std::string object;
  AppendObject(account, index, &object);
  return Success(object);
}

ApiReply Provider::GetLeased(std::size_t account, std::size_t index) {
  if (FindLease(account, index) == nullptr) return Error(404, "You do not lease this number");
  std::string object;
  AppendObject(account, index, &object);
  ApiReply reply;
  reply.body = Envelope("req_", "leased_number_details", object);
  return reply;
}

ApiReply Provider::LeaseNumber(std::size_t account, std::size_t index, std::string_view body) {
  std::string method = "monthly";
  if (!Strip(body).empty()) {
    const std::optional<json::object> request = ParseObject(body);
    if (!request) return Error(400, "The body must be a JSON object");
    if (const json::value* wanted = request->if_contains("billing_method")) {
      if (!wanted->is_string() || (*wanted != "monthly" && *wanted != "service_contract")) {
        return Error(400, "billing_method must be monthly or service_contract");
      }
      method = View(wanted->get_string());
    }
  }
  if (method == "service_contract" && !accounts_[account].contract) {
    return Error(400, "This account has no active service contract");
  }
  if (!Leasable(index)) return Error(400, "This number is not available for lease");
  if (!Entitled(account, index)) {
    return Error(403, "This account lacks an entitlement that the number requires");
  }

  Lease lease;
  lease.id = Cat("lsd_", next_lease_++);
  lease.account = account;
  lease.method = method;
  lease.start = NowMs() / 1000;
  const Lease& held = leases_.emplace(index, std::move(lease)).first->second;
  available_.clear();
  const json::value number = Parsed(account, index);
  Record("lease", held, index);
  // A contract is paid for by its own terms.
  if (method == "monthly") {
    Record("charge", held, index,
           Micros(Find(number, "pricing", "upfront_fee")) +
               Micros(Find(number, "pricing", "monthly_rate")));
  }
  const json::value* pricing = number.get_object().if_contains("pricing");
  return Success(Cat(R"({"lease_id":")", held.id, R"(","number":")", numbers_[index].e164,
                     R"(","status":"active","billing":{"method":")", held.method, R"(","price":)",
                     pricing != nullptr ? WriteJson(*pricing) : "null", R"(,"period":{"start":)",
                     held.start, R"(,"end":null}}})"));
}

ApiReply Provider::Terminate(std::size_t account, std::size_t index) {
  const Lease* lease = FindLease(account, index);
  if (lease == nullptr) return Error(400, "You do not lease this number");
  Record("terminate", *lease, index);
  const std::string id = lease->id;
  leases_.erase(index);
  available_.clear();
  return Success(Cat(R"({"lease_id":")", id, R"(","number_id":")", numbers_[index].e164,
                     R"(","status":"terminated","terminated_at":)", NowMs() / 1000, "}"));
}

ApiReply Provider::Configure(Lease* lease, std::size_t index, std::string_view body) {
  const std::string& number = numbers_[index].e164;
  const std::optional<json::object> request = ParseObject(body);
  if (!request) return Error(400, "The body must be a JSON object");
  if (const json::value* failover = request->if_contains("failover")) {
    const json::object* object = failover->if_object();
    if (object == nullptr) return Error(400, "failover must be an object");
    const json::value* enabled = object->if_contains("enabled");
    if (enabled == nullptr || !enabled->is_bool()) {
      return Error(400, "failover.enabled must be true or false");
    }
    std::string mode = "all";
    if (const json::value* wanted = object->if_contains("mode")) {
      if (!wanted->is_string() || (*wanted != "all" && *wanted != "selective")) {
        return Error(400, "failover.mode must be all or selective");
      }
      mode = View(wanted->get_string());
    }
    json::array numbers;
    if (const json::value* wanted = object->if_contains("numbers")) {
      if (!wanted->is_array()) return Error(400, "failover.numbers must be an array");
      numbers = wanted->get_array();
    }
    for (const json::value& each : numbers) {
      if (!each.is_string() || !IsE164(View(each.get_string()))) {
        return Error(400, "failover.numbers must hold numbers in E.164 format");
      }
      if (View(each.get_string()) == number) {
        return Error(400, "failover.numbers must not hold the number itself");
      }
    }
    if (mode == "all" && !numbers.empty()) {
      return Error(400, "failover.numbers needs failover.mode selective");
    }
    if (mode == "selective" && enabled->get_bool() && numbers.empty()) {
      return Error(400, "failover.mode selective needs failover.numbers");
    }
    lease->failover = Cat(R"({"enabled":)", enabled->get_bool() ? "true" : "false", R"(,"mode":")",
                          mode, R"(","numbers":)", WriteJson(numbers), "}");
    Record("failover", *lease, index);
  }
  return Success(Cat(R"({"number":")", number, R"(")",
                     lease->failover.empty() ? "" : Cat(R"(,"failover":)", lease->failover), "}"));
}

ApiReply Provider::Forward(Lease* lease, std::size_t index, Operation operation,
                           std::string_view body) {
  const std::string& number = numbers_[index].e164;
  const std::int64_t now = NowMs();
  if (operation == Operation::kEnableForwarding) {
    const std::optional<json::object> request = ParseObject(body);
    if (!request) return Error(400, "The body must be a JSON object");
    const json::value* to = request->if_contains("to");
    if (to == nullptr || !to->is_string() || !IsE164(View(to->get_string()))) {
      return Error(400, "to must be a number in E.164 format");
    }
    if (View(to->get_string()) == number) {
      return Error(400, "A number can't be forwarded to itself");
    }
    lease->forward_to = View(to->get_string());
    lease->forwarding_applied_at = now + kForwardingDelayMs;
    Record("forwarding", *lease, index);
  } else if (operation == Operation::kDisableForwarding && !lease->forward_to.empty()) {
    lease->forward_to.clear();
    lease->forwarding_applied_at = now + kForwardingDelayMs;
    Record("forwarding", *lease, index);
  }
  const bool queued = now < lease->forwarding_applied_at;
  const bool enabled = !lease->forward_to.empty();
  return Success(Cat(R"({"number":")", number, R"(","call_forwarding":{"enabled":)",
                     enabled ? "true" : "false", R"(,"to":)",
                     enabled ? Quote(lease->forward_to) : "null", R"(,"status":")",
                     queued ? "queued" : "active", R"(","estimated_completion":)",
                     queued ? std::to_string(lease->forwarding_applied_at) : "null", "}}"));
}

json::object Provider::AccountsJson() const {
  std::vector<std::int64_t> leases(accounts_.size());
  for (const auto& [index, lease] : leases_) ++leases[lease.account];
  return accounts_.ToJson(leases);
}

absl::Status Provider::SetAccount(const json::value& value) {
  absl::Status status = accounts_.Set(value);
  if (status.ok()) available_.clear();  // or it would grow with every new set of entitlements
  return status;
}

absl::StatusOr<json::value> Provider::PatchNumber(std::string_view number,
                                                  const json::value& patch) {
  const absl::StatusOr<std::size_t> index = numbers_.Patch(number, patch);
  if (!index.ok()) return index.status();
  available_.clear();
  const auto lease = leases_.find(*index);
  return Parsed(lease != leases_.end() ? lease->second.account : 0, *index);
}

absl::StatusOr<json::object> Provider::Churn(const json::value& value) {
  const absl::StatusOr<std::int64_t> count = sandbox::Churn::ReadCount(value);
  if (!count.ok()) return count.status();
  json::object done =
      numbers_.Change(*count, [this](std::size_t index) { return leases_.contains(index); });
  available_.clear();
  return done;
}

}  // namespace leasegateway::sandbox
