#include "upstream/sandbox/provider.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "upstream/sandbox/faults.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

constexpr std::string_view kApiVersion = "v2026.10.1";
constexpr std::string_view kBasePath = "/numbers/";
constexpr std::string_view kKeyPrefix = "contiguity_sk_";
constexpr std::int64_t kForwardingDelayMs = 2000;
constexpr std::int64_t kMostChanges = 100'000;

struct RouteRow {
  std::string_view method;
  std::string_view path;
  Operation operation;
};
// Literal segments come before {number}.
constexpr RouteRow kRoutes[] = {
    {"GET", "leases", Operation::kListAvailable},
    {"GET", "leased", Operation::kListLeased},
    {"POST", "lease/{number}", Operation::kLease},
    {"GET", "leased/{number}", Operation::kGetLeased},
    {"DELETE", "leased/{number}", Operation::kTerminate},
    {"GET", "lease/{number}/call_forwarding", Operation::kGetForwarding},
    {"POST", "lease/{number}/call_forwarding/enable", Operation::kEnableForwarding},
    {"POST", "lease/{number}/call_forwarding/disable", Operation::kDisableForwarding},
    {"POST", "{number}/configure", Operation::kConfigure},
    {"GET", "{number}", Operation::kGetNumber},
};

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string_view View(const json::string& text) { return {text.data(), text.size()}; }

std::string Quote(std::string_view text) {
  return json::serialize(json::string_view(text.data(), text.size()));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  for (;;) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Strip(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool MatchPath(std::string_view pattern, std::string_view path, std::string* number) {
  const std::vector<std::string_view> want = Segments(pattern);
  const std::vector<std::string_view> have = Segments(path);
  if (want.size() != have.size()) return false;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "{number}") {
      *number = PercentDecode(have[i]);
    } else if (want[i] != have[i]) {
      return false;
    }
  }
  return true;
}

// RFC 7396. With `keep_null`, `target` is a patch itself and goes on deleting what it deletes.
void MergePatch(const json::value& patch, bool keep_null, json::value* target) {
  if (!patch.is_object()) {
    *target = patch;
    return;
  }
  if (!target->is_object()) target->emplace_object();
  json::object& object = target->get_object();
  for (const auto& member : patch.get_object()) {
    if (member.value().is_null() && !keep_null) {
      object.erase(member.key());
    } else {
      MergePatch(member.value(), keep_null, &object[member.key()]);
    }
  }
}

// Millionths: exact for any price with at most six places, whatever the double made of it.
std::int64_t Micros(const json::value* price) {
  if (price == nullptr || !price->is_number()) return 0;
  const double amount = price->to_number<double>();
  return std::abs(amount) < 1e9 ? std::llround(amount * 1e6) : 0;
}

std::string Decimal(std::int64_t micros) {
  std::string text = std::to_string(micros < 0 ? -micros : micros);
  if (text.size() < 7) text.insert(0, 7 - text.size(), '0');
  text.insert(text.size() - 6, ".");
  while (text.back() == '0' && text[text.size() - 3] != '.') text.pop_back();
  return micros < 0 ? Cat("-", text) : text;
}

const json::value* Find(const json::value& value, std::string_view outer, std::string_view inner) {
  const json::object* object = value.if_object();
  const json::value* found = object != nullptr ? object->if_contains(outer) : nullptr;
  object = found != nullptr ? found->if_object() : nullptr;
  return object != nullptr ? object->if_contains(inner) : nullptr;
}

// A value of [low, low + range) that is not `old`, if `old` is one of them.
std::uint64_t DrawOther(std::mt19937_64& random, std::uint64_t old, std::uint64_t low,
                        std::uint64_t range) {
  const std::uint64_t offset = old >= low && old < low + range ? old - low : 0;
  return low + (offset + 1 + Draw(random, range - 1)) % range;
}

// Takes a random element out.
std::size_t DrawFrom(std::mt19937_64& random, std::vector<std::size_t>& indexes) {
  std::swap(indexes[Draw(random, indexes.size())], indexes.back());
  const std::size_t index = indexes.back();
  indexes.pop_back();
  return index;
}

// What the text of a JSON body holds; nothing when it isn't an object.
std::optional<json::object> ParseObject(std::string_view body) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(body.data(), body.size()), error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

}  // namespace

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

Route MatchRoute(std::string_view method, std::string_view target) {
  Route route;
  std::string_view path = target.substr(0, target.find('?'));
  if (!path.starts_with(kBasePath)) return route;
  path.remove_prefix(kBasePath.size());
  for (const RouteRow& row : kRoutes) {
    std::string number;
    if (!MatchPath(row.path, path, &number)) continue;
    if (row.method != method) {
      route.operation = Operation::kNoSuchMethod;
      continue;
    }
    route.operation = row.operation;
    route.name = Cat(row.method, " /", row.path);
    route.number = std::move(number);
    return route;
  }
  return route;
}

bool IsRouteName(std::string_view name) {
  return std::any_of(std::begin(kRoutes), std::end(kRoutes), [name](const RouteRow& row) {
    return name == Cat(row.method, " /", row.path);
  });
}

Provider::Provider(std::uint64_t seed, int numbers, const std::vector<std::string>& keys)
    : seed_(seed), keys_(keys), inventory_(MakeInventory(seed, numbers)) {
  index_.reserve(inventory_.size());
  for (std::size_t i = 0; i < inventory_.size(); ++i) index_.emplace(inventory_[i].e164, i);
  Reset();
}

void Provider::Reset() {
  random_.seed(seed_ ^ 0x9e3779b97f4a7c15U);
  accounts_.clear();
  for (const std::string& key : keys_) {
    Account account;
    account.key = key;
    account.name = Cat("account-", accounts_.size() + 1);
    accounts_.push_back(std::move(account));
  }
  leases_.clear();
  patches_.clear();
  ledger_.clear();
  next_lease_ = 1'000'000'001;
  churn_random_.seed(seed_ ^ 0x165667b19e3779f9U);
  hidden_.clear();
  for (auto& [index, number] : unchanged_) inventory_[index] = std::move(number);
  unchanged_.clear();
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
  const std::optional<std::size_t> account = FindAccount(authorization);
  if (!account) return Error(401, "Unauthorized");
  if (route.operation == Operation::kNoSuchPath) return Error(404, "Not Found");
  if (route.operation == Operation::kNoSuchMethod) return Error(405, "Method Not Allowed");
  if (route.operation == Operation::kListAvailable) return ListAvailable(*account);
  if (route.operation == Operation::kListLeased) return ListLeased(*account);

  if (!IsE164(route.number)) return Error(400, "The number is not in E.164 format");
  const auto found = index_.find(route.number);
  if (found == index_.end()) return Error(404, "Number not found");
  const std::size_t index = found->second;

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

std::optional<std::size_t> Provider::FindAccount(std::string_view authorization) const {
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = authorization.substr(0, space);
  if (!EqualsIgnoreCase(scheme, "Bearer") && !EqualsIgnoreCase(scheme, "Token")) {
    return std::nullopt;
  }
  const std::string_view key = Strip(authorization.substr(space));
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    if (accounts_[i].key == key) return i;
  }
  return std::nullopt;
}

Provider::Lease* Provider::FindLease(std::size_t account, std::size_t index) {
  const auto lease = leases_.find(index);
  return lease != leases_.end() && lease->second.account == account ? &lease->second : nullptr;
}

bool Provider::Entitled(std::size_t account, std::size_t index) const {
  const auto& entitlements = accounts_[account].entitlements;
  if (!entitlements) return true;
  for (const std::string_view word : RequirementsOf(inventory_[index])) {
    if (std::find(entitlements->begin(), entitlements->end(), word) == entitlements->end()) {
      return false;
    }
  }
  return true;
}

bool Provider::Leasable(std::size_t index) const {
  if (leases_.contains(index)) return false;
  if (hidden_.contains(index)) return false;
  const auto patch = patches_.find(index);
  if (patch == patches_.end()) return true;
  const json::value* status = patch->second.get_object().if_contains("status");
  return status == nullptr || (*status != "leased" && *status != "unavailable");
}

void Provider::AppendObject(std::size_t account, std::size_t index, std::string* out) const {
  const auto patch = patches_.find(index);
  std::string plain;
  std::string* target = patch == patches_.end() ? out : &plain;
  const auto lease = leases_.find(index);
  const InventoryNumber& number = inventory_[index];
  std::string_view status = number.g_available ? "g-available" : "available";
  if (hidden_.contains(index)) status = "unavailable";
  if (lease != leases_.end()) status = "leased";
  AppendNumber(number, status, target);
  if (lease != leases_.end() && lease->second.account == account) {
    *target += Cat(R"(,"lease_id":")", lease->second.id,
                   R"(","lease_status":"active","billing":{"method":")", lease->second.method,
                   R"(","period":{"start":)", lease->second.start, R"(,"end":null}})");
  }
  *target += '}';
  if (patch == patches_.end()) return;
  json::value value = json::parse(plain);
  MergePatch(patch->second, false, &value);
  *out += WriteJson(value);
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
  Entry entry;
  entry.time_ms = NowMs();
  entry.kind = kind;
  entry.number = inventory_[index].e164;
  entry.lease_id = lease.id;
  entry.account = accounts_[lease.account].name;
  if (currency != nullptr && currency->is_string()) entry.currency = View(currency->get_string());
  entry.micros = micros;
  ledger_.push_back(std::move(entry));
}

ApiReply Provider::ListAvailable(std::size_t account) {
  const Entitlements& entitlements = accounts_[account].entitlements;
  auto data = available_.find(entitlements);
  if (data == available_.end()) {
    data = available_.emplace(entitlements, AvailableData(account)).first;
  }
  return data->second.empty() ? Error(404, "No numbers available") : Success(data->second);
}

std::string Provider::AvailableData(std::size_t account) const {
  std::string list;
  std::size_t count = 0;
  for (std::size_t i = 0; i < inventory_.size(); ++i) {
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
  return Success(Cat(R"({"leased":)", count, R"(,"numbers":[)", list, "]}"));
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
  return Success(Cat(R"({"lease_id":")", held.id, R"(","number":")", inventory_[index].e164,
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
  return Success(Cat(R"({"lease_id":")", id, R"(","number_id":")", inventory_[index].e164,
                     R"(","status":"terminated","terminated_at":)", NowMs() / 1000, "}"));
}

ApiReply Provider::Configure(Lease* lease, std::size_t index, std::string_view body) {
  const std::string& number = inventory_[index].e164;
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
  const std::string& number = inventory_[index].e164;
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

json::object Provider::LedgerJson(std::size_t after) const {
  json::array entries;
  for (std::size_t i = after; i < ledger_.size(); ++i) {
    const Entry& entry = ledger_[i];
    json::object object;
    object["seq"] = i + 1;
    object["time_ms"] = entry.time_ms;
    object["kind"] = entry.kind;
    object["number"] = entry.number;
    object["lease_id"] = entry.lease_id;
    object["account"] = entry.account;
    object["currency"] = entry.currency;
    object["amount"] = Decimal(entry.micros);
    entries.push_back(std::move(object));
  }
  json::object ledger;
  ledger["entries"] = std::move(entries);
  return ledger;
}

json::object Provider::AccountsJson() const {
  json::array list;
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    const Account& account = accounts_[i];
    json::object object;
    object["account"] = account.name;  // never the key
    object["contract"] = account.contract;
    if (account.agreement_url.empty()) {
      object["agreement_url"] = nullptr;
    } else {
      object["agreement_url"] = account.agreement_url;
    }
    object["agreement_accepted"] = account.agreement_accepted;
    if (account.entitlements) {
      json::array words;
      for (const std::string& word : *account.entitlements) words.emplace_back(word);
      object["entitlements"] = std::move(words);
    } else {
      object["entitlements"] = nullptr;
    }
    object["leases"] = std::count_if(leases_.begin(), leases_.end(),
                                     [i](const auto& lease) { return lease.second.account == i; });
    list.push_back(std::move(object));
  }
  json::object all;
  all["accounts"] = std::move(list);
  return all;
}

absl::Status Provider::SetAccount(const json::value& value) {
  if (!value.is_object()) return BadField("body", value, "must be an object");
  const json::object& object = value.get_object();
  // Checked as a whole before any of it is done.
  Account changed;
  std::size_t index = 0;
  if (const json::value* key = object.if_contains("key")) {
    const std::string_view text = key->is_string() ? View(key->get_string()) : "";
    if (!IsKey(text)) {
      return BadField("key", "(not shown)",
                      Cat("must be ", kKeyPrefix, " and 1 to 200 letters, digits, _ or -"));
    }
    index = static_cast<std::size_t>(
        std::find_if(accounts_.begin(), accounts_.end(),
                     [text](const Account& account) { return account.key == text; }) -
        accounts_.begin());
    changed.key = text;
  }
  if (index < accounts_.size()) {
    changed = accounts_[index];
  } else {
    changed.name = Cat("account-", index + 1);
  }
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    const json::value& field = member.value();
    if (key == "key") continue;
    if (key == "contract" || key == "agreement_accepted") {
      if (!field.is_bool()) return BadField(key, field, "must be true or false");
      (key == "contract" ? changed.contract : changed.agreement_accepted) = field.get_bool();
    } else if (key == "agreement_url") {
      if (!field.is_null() && !field.is_string()) {
        return BadField(key, field, "must be a string, or null for no agreement");
      }
      changed.agreement_url = field.is_null() ? "" : View(field.get_string());
      // A new agreement is not accepted yet, unless the same request says so.
      if (!object.contains("agreement_accepted")) changed.agreement_accepted = false;
    } else if (key == "entitlements") {
      if (field.is_null()) {
        changed.entitlements.reset();
        continue;
      }
      if (!field.is_array()) return BadField(key, field, "must be an array, or null for all");
      changed.entitlements.emplace();
      for (const json::value& word : field.get_array()) {
        if (!word.is_string() || !IsRequirement(View(word.get_string()))) {
          return BadField(key, word,
                          "must hold words of imessage_entitlement_required, "
                          "whatsapp_entitlement_required, enterprise_plan_required");
        }
        changed.entitlements->emplace_back(View(word.get_string()));
      }
    } else {
      return BadField(key, field,
                      "is not a key of an account; there are key contract agreement_url "
                      "agreement_accepted entitlements");
    }
  }
  available_.clear();  // or it would grow with every new set of entitlements
  if (index < accounts_.size()) {
    accounts_[index] = std::move(changed);
  } else {
    accounts_.push_back(std::move(changed));
  }
  return absl::OkStatus();
}

absl::Status Provider::PatchNumber(std::string_view number, const json::value& patch,
                                   json::value* patched) {
  const std::string e164 = PercentDecode(number);
  if (!IsE164(e164)) return BadField("number", json::value(e164), "must be in E.164 format");
  const auto found = index_.find(e164);
  if (found == index_.end()) {
    return absl::NotFoundError(Cat("number: ", e164, " is not in the inventory"));
  }
  if (!patch.is_object()) return BadField("body", patch, "must be an object");
  json::value& all = patches_.try_emplace(found->second, json::object_kind).first->second;
  MergePatch(patch, true, &all);
  // From here on the patch says it.
  if (patch.get_object().contains("status")) hidden_.erase(found->second);
  available_.clear();
  const auto lease = leases_.find(found->second);
  *patched = Parsed(lease != leases_.end() ? lease->second.account : 0, found->second);
  return absl::OkStatus();
}

void Provider::Reprice(std::size_t index, bool price) {
  InventoryNumber& number = inventory_[index];
  unchanged_.try_emplace(index, number);
  if (price) {
    number.monthly_cents = static_cast<std::int32_t>(
        DrawOther(churn_random_, static_cast<std::uint64_t>(number.monthly_cents), 100, 2900));
  } else {
    number.reputation =
        static_cast<std::uint8_t>(DrawOther(churn_random_, number.reputation, 50, 50));
  }
}

absl::Status Provider::Churn(const json::value& value, json::object* done) {
  if (!value.is_object()) return BadField("body", value, "must be an object");
  for (const auto& member : value.get_object()) {
    if (member.key() == "count") continue;
    return BadField({member.key().data(), member.key().size()}, member.value(),
                    "is not a key of churn; there is count");
  }
  const json::value* count = value.get_object().if_contains("count");
  if (count == nullptr || !count->is_int64() || count->get_int64() < 1 ||
      count->get_int64() > kMostChanges) {
    return BadField("count", count != nullptr ? *count : json::value(),
                    Cat("must be an integer from 1 to ", kMostChanges));
  }

  std::vector<std::size_t> shown;
  std::vector<std::size_t> hidden;
  for (std::size_t i = 0; i < inventory_.size(); ++i) {
    if (patches_.contains(i)) continue;
    if (hidden_.contains(i)) {
      hidden.push_back(i);
    } else if (Leasable(i)) {
      shown.push_back(i);
    }
  }
  std::int64_t gone = 0;
  std::int64_t back = 0;
  std::int64_t prices = 0;
  std::int64_t reputations = 0;
  for (std::int64_t i = 0; i < count->get_int64() && !(shown.empty() && hidden.empty()); ++i) {
    std::uint64_t kind = shown.empty() ? 1 : Draw(churn_random_, 3);
    if (kind == 1 && hidden.empty()) kind = Draw(churn_random_, 2) * 2;
    const std::size_t index = DrawFrom(churn_random_, kind == 1 ? hidden : shown);
    if (kind == 0) {
      hidden_.insert(index);
      ++gone;
    } else if (kind == 1) {
      hidden_.erase(index);
      ++back;
    } else {
      const bool price = Draw(churn_random_, 2) == 0;
      Reprice(index, price);
      ++(price ? prices : reputations);
    }
  }
  available_.clear();
  (*done)["became_unavailable"] = gone;
  (*done)["came_back"] = back;
  (*done)["changed_price"] = prices;
  (*done)["changed_reputation"] = reputations;
  return absl::OkStatus();
}

bool IsKey(std::string_view text) {
  return text.starts_with(kKeyPrefix) && text.size() > kKeyPrefix.size() &&
         text.size() <= kKeyPrefix.size() + 200 &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '_' || c == '-';
         });
}

std::string MakeKey(std::uint64_t seed) {
  std::mt19937_64 random(seed ^ 0xc2b2ae3d27d4eb4fU);
  std::string key(kKeyPrefix);
  key += DrawHex(random);
  key += DrawHex(random);
  return key;
}

}  // namespace leasegateway::sandbox
