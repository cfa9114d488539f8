#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {

enum class Operation {
  kListAvailable,
  kListLeased,
  kLease,
  kGetLeased,
  kTerminate,
  kConfigure,
  kGetForwarding,
  kEnableForwarding,
  kDisableForwarding,
  kGetNumber,
  kNoSuchPath,
  kNoSuchMethod,
};

struct Route {
  Operation operation = Operation::kNoSuchPath;
  std::string name = "other";  // "POST /lease/{number}"
  std::string number;          // decoded, not yet checked
};
Route MatchRoute(std::string_view method, std::string_view target);
bool IsRouteName(std::string_view name);
// A path is not a form: a plus sign is a plus sign. What can't be decoded stays as it is.
std::string PercentDecode(std::string_view text);

// "contiguity_sk_" and 1 to 200 letters, digits, '_' or '-'.
bool IsKey(std::string_view text);
std::string MakeKey(std::uint64_t seed);

struct ApiReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string retry_after;
};

// The provider's books: accounts, leases, the ledger. No network and no thread of its own. Not
// thread-safe.
class Provider {
 public:
  Provider(std::uint64_t seed, int numbers, const std::vector<std::string>& keys);

  ApiReply Handle(const Route& route, std::string_view authorization, std::string_view body);

  // An error as the provider says it; without the envelope it's {message, status}.
  ApiReply Error(int status, std::string_view message, std::string_view agreement_url = {},
                 bool envelope = true);
  // A success without anything in it, for faults that need some answer.
  ApiReply Empty();

  // The control routes.
  // The entries with a greater `seq` than `after`.
  boost::json::object LedgerJson(std::size_t after) const;
  boost::json::object AccountsJson() const;
  absl::Status SetAccount(const boost::json::value& value);
  // Merges `patch` (RFC 7396) into what is said of the number from now on. NOT_FOUND for a number
  // that isn't in the inventory.
  absl::Status PatchNumber(std::string_view number, const boost::json::value& patch,
                           boost::json::value* patched);
  // {"count": N}: as many changes, at random but the same for the same seed and history, to numbers
  // that nobody leases and that no patch describes. A third of them become unavailable, a third
  // come back of those that an earlier call made unavailable, a third get another price or
  // reputation; where there are none of one kind, the other two stand in. One call changes a number
  // once, so fewer change when there are fewer. `done` says how many of each kind.
  absl::Status Churn(const boost::json::value& value, boost::json::object* done);
  // Back to the state at the start.
  void Reset();

 private:
  // What an account may lease of the numbers with requirements. Nothing: all of them.
  using Entitlements = std::optional<std::vector<std::string>>;
  struct Account {
    std::string key;
    std::string name;
    bool contract = false;
    std::string agreement_url;  // empty: nothing to accept
    bool agreement_accepted = false;
    Entitlements entitlements;
  };
  struct Lease {
    std::string id;
    std::size_t account = 0;
    std::string method;
    std::int64_t start = 0;                  // seconds
    std::string failover;                    // JSON; empty: never configured
    std::string forward_to;                  // empty: disabled
    std::int64_t forwarding_applied_at = 0;  // milliseconds
  };
  struct Entry {
    std::int64_t time_ms = 0;
    std::string kind;
    std::string number;
    std::string lease_id;
    std::string account;
    std::string currency;
    std::int64_t micros = 0;
  };

  ApiReply Success(std::string_view data);
  ApiReply ListAvailable(std::size_t account);
  ApiReply ListLeased(std::size_t account);
  ApiReply GetNumber(std::size_t account, std::size_t index);
  ApiReply LeaseNumber(std::size_t account, std::size_t index, std::string_view body);
  ApiReply GetLeased(std::size_t account, std::size_t index);
  ApiReply Terminate(std::size_t account, std::size_t index);
  ApiReply Configure(Lease* lease, std::size_t index, std::string_view body);
  ApiReply Forward(Lease* lease, std::size_t index, Operation operation, std::string_view body);

  std::optional<std::size_t> FindAccount(std::string_view authorization) const;
  // Nothing: the account does not lease it.
  Lease* FindLease(std::size_t account, std::size_t index);
  bool Entitled(std::size_t account, std::size_t index) const;
  bool Leasable(std::size_t index) const;
  // Another monthly price, or else another reputation.
  void Reprice(std::size_t index, bool price);
  // The `data` of GET /leases; empty when there is no number.
  std::string AvailableData(std::size_t account) const;
  // The whole object as the account sees it, with its patches.
  void AppendObject(std::size_t account, std::size_t index, std::string* out) const;
  boost::json::value Parsed(std::size_t account, std::size_t index) const;
  void Record(std::string_view kind, const Lease& lease, std::size_t index,
              std::int64_t micros = 0);
  std::string Envelope(std::string_view prefix, std::string_view object, std::string_view data);

  const std::uint64_t seed_;
  const std::vector<std::string> keys_;
  std::vector<InventoryNumber> inventory_;
  std::unordered_map<std::string, std::size_t> index_;
  std::mt19937_64 random_;
  std::vector<Account> accounts_;
  std::map<std::size_t, Lease> leases_;
  std::unordered_map<std::size_t, boost::json::value> patches_;
  std::vector<Entry> ledger_;
  std::int64_t next_lease_ = 0;
  // Of its own, so that churn doesn't change the ids.
  std::mt19937_64 churn_random_;
  std::unordered_set<std::size_t> hidden_;                      // unavailable by churn
  std::unordered_map<std::size_t, InventoryNumber> unchanged_;  // as they were before churn
  // AvailableData by what it depends on beside the numbers. Emptied when any number changes.
  std::map<Entitlements, std::string> available_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_
