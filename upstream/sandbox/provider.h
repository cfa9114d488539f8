#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/sandbox/accounts.h"
#include "upstream/sandbox/ledger.h"
#include "upstream/sandbox/numbers.h"
#include "upstream/sandbox/routes.h"

namespace leasegateway::sandbox {

// An answer, before HTTP frames it.
struct ApiReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string retry_after;
  std::string server = "lease-sandbox";
  std::string via{};
  // Of a list: equal as long as its `data` is, and since when that is as it is (seconds, 0: that is
  // not known).
  std::string etag = {};
  std::int64_t modified = 0;
  bool gzip = false;  // it goes out so
};

// What the provider does: its operations, and their marks in the books (accounts, numbers, leases,
// the ledger). No network and no thread of its own. Not thread-safe.
class Provider {
 public:
  // `numbers`: the size of the inventory. `keys`: those of the accounts at the start.
  Provider(std::uint64_t seed, int numbers, const std::vector<std::string>& keys);

  // A request of an account; `authorization` is the value of that header.
  ApiReply Handle(const Route& route, std::string_view authorization, std::string_view body);

  // An error as the provider says it; without the envelope it's {message, status}.
  ApiReply Error(int status, std::string_view message, std::string_view agreement_url = {},
                 bool envelope = true);
  // A success without anything in it, for faults that need some answer.
  ApiReply Empty();

  // For the control port. As Ledger::ToJson.
  boost::json::object LedgerJson(std::size_t after) const { return ledger_.ToJson(after); }
  boost::json::object AccountsJson() const;
  // As Accounts::Set.
  absl::Status SetAccount(const boost::json::value& value);
  // As Numbers::Patch; returns the number as it is then.
  absl::StatusOr<boost::json::value> PatchNumber(std::string_view number,
                                                 const boost::json::value& patch);
  // {"count": N}: as Numbers::Change.
  absl::StatusOr<boost::json::object> Churn(const boost::json::value& value);
  // Back to the state at the start.
  void Reset();

 private:
  struct Lease {
    std::string id;
    std::size_t account = 0;
    std::string method;
    std::int64_t start = 0;                  // seconds
    std::string failover;                    // JSON; empty: never configured
    std::string forward_to;                  // empty: disabled
    std::int64_t forwarding_applied_at = 0;  // milliseconds
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

  // Nothing: the account does not lease it.
  Lease* FindLease(std::size_t account, std::size_t index);
  bool Entitled(std::size_t account, std::size_t index) const;
  bool Leasable(std::size_t index) const;
  // The `data` of GET /leases; empty when there is no number.
  std::string AvailableData(std::size_t account) const;
  // The whole object as the account sees it, with its patches.
  void AppendObject(std::size_t account, std::size_t index, std::string* out) const;
  boost::json::value Parsed(std::size_t account, std::size_t index) const;
  void Record(std::string_view kind, const Lease& lease, std::size_t index,
              std::int64_t micros = 0);
  std::string Envelope(std::string_view prefix, std::string_view object, std::string_view data);

  const std::uint64_t seed_;
  std::mt19937_64 random_;  // of the ids
  Accounts accounts_;
  Numbers numbers_;
  std::map<std::size_t, Lease> leases_;  // by the number's index
  std::int64_t next_lease_ = 0;
  Ledger ledger_;
  struct Listed {
    std::string data;
    std::string etag;
    std::int64_t made = 0;  // seconds
  };
  // AvailableData by what it depends on beside the numbers. Emptied when any number changes.
  std::map<Entitlements, Listed> available_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_PROVIDER_H_
