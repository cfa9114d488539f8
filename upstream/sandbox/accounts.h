#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_ACCOUNTS_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_ACCOUNTS_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace leasegateway::sandbox {

// "contiguity_sk_" and 1 to 200 letters, digits, '_' or '-'.
bool IsKey(std::string_view text);
std::string MakeKey(std::uint64_t seed);

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

// Who may call, by API key. An account is named by its index, which it keeps until Reset. Not
// thread-safe.
class Accounts {
 public:
  // One for each of `keys`.
  explicit Accounts(const std::vector<std::string>& keys);

  // By the value of an Authorization header; nothing: it has the key of none.
  std::optional<std::size_t> Find(std::string_view authorization) const;
  const Account& operator[](std::size_t index) const { return accounts_[index]; }
  std::size_t size() const { return accounts_.size(); }

  // Changes the account of `value`'s key, or else the first; a new key is a new account. All or
  // nothing of it is done.
  absl::Status Set(const boost::json::value& value);
  // `leases`: how many each has, by index.
  boost::json::object ToJson(const std::vector<std::int64_t>& leases) const;
  // Back to the state at the start.
  void Reset();

 private:
  const std::vector<std::string> keys_;
  std::vector<Account> accounts_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_ACCOUNTS_H_
