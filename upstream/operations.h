#ifndef LEASE_GATEWAY_UPSTREAM_OPERATIONS_H_
#define LEASE_GATEWAY_UPSTREAM_OPERATIONS_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "leasegateway/v1/resources.pb.h"
#include "upstream/validators.h"

namespace leasegateway {

// The operations of the provider's lease API. Every layer wraps any of them in one function, and
// decides by what stands here; only upstream/provider/ knows how each goes over the wire.

using NumberList = google::protobuf::RepeatedPtrField<v1::Number>;
using LeaseList = google::protobuf::RepeatedPtrField<v1::Lease>;

// What trying an operation again could do.
enum class OperationKind {
  kRead,      // nothing
  kSpend,     // buy twice: CreateLease
  kEnd,       // end a newer lease: TerminateLease
  kConfigure  // undo what somebody else has set since
};

// The index of each in Operation.
enum class UpstreamOperation {
  kListAvailableNumbers,
  kGetNumber,
  kCreateLease,
  kListLeases,
  kGetLease,
  kTerminateLease,
  kConfigureFailover,
  kGetCallForwarding,
  kEnableCallForwarding,
  kDisableCallForwarding,
};

// A struct each: its arguments; Value, the type of its reply; kName, in metrics and errors; kKind;
// kOnLease, that a rejection may mean that the account does not lease the number, and that nobody
// else finds out whether it does. Numbers are in E.164 format. They have constructors because GCC
// 12 destroys the temporary of an aggregate twice in a co_await expression.
namespace operation {

// Of a list that the caller has already, as of these validators: then the reply may have
// `is_unchanged` instead of a value. Empty: it has none.
struct ConditionalList {
  ConditionalList() = default;
  explicit ConditionalList(Validators validators) : known(std::move(validators)) {}
  Validators known;
};

// GET /leases. No numbers: an empty list, although the provider answers 404.
struct ListAvailableNumbers : ConditionalList {
  using Value = NumberList;
  static constexpr std::string_view kName = "list_available_numbers";
  static constexpr OperationKind kKind = OperationKind::kRead;
  static constexpr bool kOnLease = false;
  ListAvailableNumbers() = default;
  using ConditionalList::ConditionalList;
};

// GET /{number}. `lease` is set when the account leases the number. NOT_FOUND, NUMBER_NOT_FOUND.
struct GetNumber {
  using Value = v1::Number;
  static constexpr std::string_view kName = "get_number";
  static constexpr OperationKind kKind = OperationKind::kRead;
  static constexpr bool kOnLease = false;
  explicit GetNumber(std::string number) : phone_number(std::move(number)) {}
  std::string phone_number;
};

// POST /lease/{number}. Spends money. `method` UNSPECIFIED leaves the choice to the provider.
struct CreateLease {
  using Value = v1::Lease;
  static constexpr std::string_view kName = "create_lease";
  static constexpr OperationKind kKind = OperationKind::kSpend;
  static constexpr bool kOnLease = false;
  CreateLease(std::string number, v1::BillingMethod billing_method)
      : phone_number(std::move(number)), method(billing_method) {}
  std::string phone_number;
  v1::BillingMethod method;
};

// GET /leased. No leases: an empty list. Each lease has its `number`.
struct ListLeases : ConditionalList {
  using Value = LeaseList;
  static constexpr std::string_view kName = "list_leases";
  static constexpr OperationKind kKind = OperationKind::kRead;
  static constexpr bool kOnLease = false;
  ListLeases() = default;
  using ConditionalList::ConditionalList;
};

// GET /{number}, and of it the lease, with its `number`. NOT_FOUND with NOT_LEASED without one.
struct GetLease {
  using Value = v1::Lease;
  static constexpr std::string_view kName = "get_lease";
  static constexpr OperationKind kKind = OperationKind::kRead;
  static constexpr bool kOnLease = false;
  explicit GetLease(std::string number) : phone_number(std::move(number)) {}
  std::string phone_number;
};

// DELETE /leased/{number}. Whoever ends a lease looks after a rejection himself.
struct TerminateLease {
  using Value = v1::Termination;
  static constexpr std::string_view kName = "terminate_lease";
  static constexpr OperationKind kKind = OperationKind::kEnd;
  static constexpr bool kOnLease = false;
  explicit TerminateLease(std::string number) : phone_number(std::move(number)) {}
  std::string phone_number;
};

// POST /{number}/configure. The reply's value is empty when the provider does not echo it.
struct ConfigureFailover {
  using Value = v1::Failover;
  static constexpr std::string_view kName = "configure_failover";
  static constexpr OperationKind kKind = OperationKind::kConfigure;
  static constexpr bool kOnLease = true;
  ConfigureFailover(std::string number, v1::Failover wanted)
      : phone_number(std::move(number)), failover(std::move(wanted)) {}
  std::string phone_number;
  v1::Failover failover;
};

// GET /lease/{number}/call_forwarding.
struct GetCallForwarding {
  using Value = v1::CallForwarding;
  static constexpr std::string_view kName = "get_call_forwarding";
  static constexpr OperationKind kKind = OperationKind::kRead;
  static constexpr bool kOnLease = true;
  explicit GetCallForwarding(std::string number) : phone_number(std::move(number)) {}
  std::string phone_number;
};

// POST /lease/{number}/call_forwarding/enable.
struct EnableCallForwarding {
  using Value = v1::CallForwarding;
  static constexpr std::string_view kName = "enable_call_forwarding";
  static constexpr OperationKind kKind = OperationKind::kConfigure;
  static constexpr bool kOnLease = true;
  EnableCallForwarding(std::string number, std::string to)
      : phone_number(std::move(number)), forward_to(std::move(to)) {}
  std::string phone_number;
  std::string forward_to;
};

// POST /lease/{number}/call_forwarding/disable.
struct DisableCallForwarding {
  using Value = v1::CallForwarding;
  static constexpr std::string_view kName = "disable_call_forwarding";
  static constexpr OperationKind kKind = OperationKind::kConfigure;
  static constexpr bool kOnLease = true;
  explicit DisableCallForwarding(std::string number) : phone_number(std::move(number)) {}
  std::string phone_number;
};

}  // namespace operation

using Operation =
    std::variant<operation::ListAvailableNumbers, operation::GetNumber, operation::CreateLease,
                 operation::ListLeases, operation::GetLease, operation::TerminateLease,
                 operation::ConfigureFailover, operation::GetCallForwarding,
                 operation::EnableCallForwarding, operation::DisableCallForwarding>;
static_assert(std::variant_size_v<Operation> ==
              static_cast<std::size_t>(UpstreamOperation::kDisableCallForwarding) + 1);

template <typename... Operations>
constexpr std::array<std::string_view, sizeof...(Operations)> NamesOf(
    const std::variant<Operations...>* /*type*/) {
  return {Operations::kName...};
}
// By UpstreamOperation.
inline constexpr auto kUpstreamOperationNames = NamesOf(static_cast<const Operation*>(nullptr));

inline UpstreamOperation IdOf(const Operation& operation) {
  return static_cast<UpstreamOperation>(operation.index());
}
inline OperationKind KindOf(const Operation& operation) {
  return std::visit([](const auto& any) { return any.kKind; }, operation);
}
inline bool IsOnLease(const Operation& operation) {
  return std::visit([](const auto& any) { return any.kOnLease; }, operation);
}
// Empty: it is about a list.
inline std::string PhoneNumberOf(const Operation& operation) {
  return std::visit(
      [](const auto& any) -> std::string {
        if constexpr (requires { any.phone_number; }) {
          return any.phone_number;
        } else {
          return {};
        }
      },
      operation);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_OPERATIONS_H_
