#include "service/leasectl/print.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "google/protobuf/util/json_util.h"
#include "service/leasectl/errors.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

constexpr Table::Align kRight = Table::Align::kRight;

// "NUMBER_STATUS_G_AVAILABLE" as "g_available"; the provider's word for what has no name here.
std::string Word(const std::string& name, const std::string& prefix, int value,
                 const std::string& providers) {
  if (value == 0 || name.empty()) return providers;
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

Cell StatusCell(const v1::Number& number) {
  Color color = Color::kNone;
  switch (number.status()) {
    case v1::NUMBER_STATUS_AVAILABLE:
    case v1::NUMBER_STATUS_G_AVAILABLE:
      color = Color::kGreen;
      break;
    case v1::NUMBER_STATUS_LEASED:
      color = Color::kCyan;
      break;
    case v1::NUMBER_STATUS_UNAVAILABLE:
      color = Color::kRed;
      break;
    default:
      break;
  }
  return {Word(v1::NumberStatus_Name(number.status()), "NUMBER_STATUS_", number.status(),
               number.provider_status()),
          color};
}

Cell StatusCell(v1::LeaseStatus status, const std::string& providers) {
  Color color = Color::kNone;
  switch (status) {
    case v1::LEASE_STATUS_ACTIVE:
      color = Color::kGreen;
      break;
    case v1::LEASE_STATUS_PAUSED:
    case v1::LEASE_STATUS_PENDING:
      color = Color::kYellow;
      break;
    case v1::LEASE_STATUS_EXPIRED:
    case v1::LEASE_STATUS_TERMINATED:
      color = Color::kRed;
      break;
    default:
      break;
  }
  return {Word(v1::LeaseStatus_Name(status), "LEASE_STATUS_", status, providers), color};
}

Cell StatusCell(const v1::CallForwarding& forwarding) {
  const bool queued = forwarding.status() == v1::CALL_FORWARDING_STATUS_QUEUED;
  const bool active = forwarding.status() == v1::CALL_FORWARDING_STATUS_ACTIVE;
  return {Word(v1::CallForwardingStatus_Name(forwarding.status()), "CALL_FORWARDING_STATUS_",
               forwarding.status(), forwarding.provider_status()),
          queued ? Color::kYellow : (active ? Color::kGreen : Color::kNone)};
}

std::string BillingWord(const v1::Billing& billing) {
  return Word(v1::BillingMethod_Name(billing.method()), "BILLING_METHOD_", billing.method(),
              billing.provider_method());
}

Cell StateCell(v1::OperationState state) {
  Color color = Color::kYellow;
  if (state == v1::OPERATION_STATE_SUCCEEDED) color = Color::kGreen;
  if (state == v1::OPERATION_STATE_FAILED) color = Color::kRed;
  return {Word(v1::OperationState_Name(state), "OPERATION_STATE_", state, ""), color};
}

std::string KindWord(const v1::Operation& operation) {
  return Word(v1::OperationKind_Name(operation.kind()), "OPERATION_KIND_", operation.kind(), "");
}

std::string SettlementWord(const v1::Operation& operation) {
  return Word(v1::OperationSettlement_Name(operation.settlement()), "OPERATION_SETTLEMENT_",
              operation.settlement(), "");
}

std::string YesNo(bool value) { return value ? "yes" : "no"; }

std::string Reputation(const v1::Health& health) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.2f", health.reputation());
  return buffer;
}

std::string Upfront(const v1::Pricing& pricing) {
  return pricing.has_upfront_fee() ? FormatMoney(pricing.upfront_fee()) : "";
}

// Lists do not have the lease's own price.
const v1::Pricing& PricingOf(const v1::Lease& lease) {
  return lease.billing().has_price() ? lease.billing().price() : lease.number().pricing();
}

const std::string& PhoneNumberOf(const v1::Lease& lease) {
  return lease.phone_number().empty() ? lease.number().phone_number() : lease.phone_number();
}

std::string Count(int shown, int total, const std::string& noun) {
  return absl::StrCat(shown, total > shown ? absl::StrCat(" of ", total) : "", " ", noun,
                      std::max(shown, total) == 1 ? "" : "s", "\n");
}

std::vector<Table::Column> NumberColumns() {
  return {{"NUMBER"},         {"STATUS"},          {"LOCATION"},
          {"CARRIER"},        {"CHANNELS"},        {"REPUTATION", kRight},
          {"OWNERS", kRight}, {"UPFRONT", kRight}, {"MONTHLY", kRight},
          {"REQUIREMENTS"}};
}

std::vector<Cell> NumberRow(const v1::Number& number) {
  const bool known = number.has_health();
  return {number.phone_number(),
          StatusCell(number),
          Place(number.location()),
          number.carrier(),
          absl::StrJoin(number.capabilities().channels(), ","),
          known ? Reputation(number.health()) : "",
          known ? absl::StrCat(number.health().previous_owners()) : "",
          Upfront(number.pricing()),
          Monthly(number.pricing()),
          absl::StrJoin(number.requirements(), ",")};
}

// A name and a value a line.
class Details {
 public:
  void Add(const std::string& name, Cell value) {
    table_.Add({Cell(name, Color::kBold), std::move(value)});
  }
  // Leaves out what the provider does not say.
  void AddIfAny(const std::string& name, const std::string& value) {
    if (!value.empty()) Add(name, value);
  }
  void AddTime(const std::string& name, bool present, const google::protobuf::Timestamp& time) {
    if (present) Add(name, FormatTimestamp(time));
  }
  void AddOther(const std::string& name, const google::protobuf::Struct& other) {
    std::string json;
    if (other.fields().empty()) return;
    if (google::protobuf::util::MessageToJsonString(other, &json).ok()) Add(name, json);
  }
  void Add(const v1::Pricing& pricing) {
    AddIfAny("Upfront fee", Upfront(pricing));
    AddIfAny("Monthly rate", Monthly(pricing));
  }
  void Add(const v1::ResponseMetadata& metadata) {
    AddIfAny("Provider's id", metadata.upstream_request_id());
  }
  std::string Format(bool colored) const { return table_.Format(colored); }

 private:
  Table table_{std::vector<Table::Column>(2)};
};

void AddLease(const v1::Lease& lease, Details& details) {
  details.Add("Lease", lease.lease_id());
  details.Add("Lease status", StatusCell(lease.status(), lease.provider_status()));
  const v1::Billing& billing = lease.billing();
  details.AddIfAny("Billing", BillingWord(billing));
  details.AddTime("Start", billing.has_start_time(), billing.start_time());
  details.AddTime("End", billing.has_end_time(), billing.end_time());
}

void AddNumber(const v1::Number& number, Details& details) {
  details.AddIfAny("Formatted", number.formatted());
  details.Add("Status", StatusCell(number));
  details.AddIfAny("Location", Place(number.location()));
  details.AddIfAny("Carrier", number.carrier());
  details.AddIfAny("Channels", absl::StrJoin(number.capabilities().channels(), ", "));
  if (number.capabilities().has_intl_sms()) {
    details.Add("SMS abroad", YesNo(number.capabilities().intl_sms()));
  }
  if (number.has_health()) {
    details.Add("Reputation", Reputation(number.health()));
    details.Add("Previous owners", absl::StrCat(number.health().previous_owners()));
  }
  details.AddIfAny("Requirements", absl::StrJoin(number.requirements(), ", "));
  if (number.has_e911_capable()) details.Add("Emergency calls", YesNo(number.e911_capable()));
  details.AddTime("Provisioned", number.has_create_time(), number.create_time());
  details.AddOther("Other data", number.additional_data());
  details.AddOther("Other fields", number.additional_fields());
}

// Without an id it is one that would be made.
template <class Reply>
std::string PrintPurchase(const Reply& reply, bool colored) {
  Details details;
  details.Add("Number", PhoneNumberOf(reply.lease()));
  if (reply.lease().lease_id().empty()) {
    details.Add("Lease", "none: nothing was spent");
    details.AddIfAny("Billing", BillingWord(reply.lease().billing()));
  } else {
    AddLease(reply.lease(), details);
  }
  details.Add(PricingOf(reply.lease()));
  details.Add("Request id", reply.request_id());
  details.Add(reply.metadata());
  return details.Format(colored);
}

template <class Reply>
std::string PrintForwarding(const Reply& reply, bool colored) {
  const v1::CallForwarding& forwarding = reply.call_forwarding();
  Details details;
  details.Add("Number", reply.phone_number());
  details.Add("Forwarding", YesNo(forwarding.enabled()));
  details.AddIfAny("To", forwarding.forward_to());
  details.Add("Status", StatusCell(forwarding));
  details.AddTime("In force by", forwarding.has_estimated_completion_time(),
                  forwarding.estimated_completion_time());
  details.Add(reply.metadata());
  return details.Format(colored);
}

}  // namespace

std::string FormatMoney(const google::type::Money& money) {
  // Magnitudes are unsigned, so that the smallest int64 has one too.
  const bool negative = money.units() < 0 || money.nanos() < 0;
  const auto units = static_cast<std::uint64_t>(money.units());
  const std::int64_t nanos = money.nanos();
  std::string decimals = absl::StrCat(nanos < 0 ? -nanos : nanos);
  if (decimals.size() < 9) decimals.insert(0, 9 - decimals.size(), '0');
  while (decimals.size() > 2 && decimals.back() == '0') decimals.pop_back();
  return absl::StrCat(negative ? "-" : "", money.units() < 0 ? 0 - units : units, ".", decimals,
                      money.currency_code().empty() ? "" : " ", money.currency_code());
}

std::string FormatTimestamp(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", TimeOf(time), absl::UTCTimeZone());
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string Place(const v1::Location& location) {
  std::vector<std::string> parts;
  for (const std::string* part : {&location.city(), &location.region(), &location.country()}) {
    if (!part->empty()) parts.push_back(*part);
  }
  return absl::StrJoin(parts, ", ");
}

std::string Monthly(const v1::Pricing& pricing) {
  return pricing.has_monthly_rate() ? FormatMoney(pricing.monthly_rate()) : "";
}

std::string IdentityWord(v1::IdentityKind kind) {
  return Word(v1::IdentityKind_Name(kind), "IDENTITY_KIND_", kind, "");
}

std::string Print(const v1::ListAvailableNumbersResponse& reply, bool colored) {
  Table table(NumberColumns());
  for (const v1::Number& number : reply.numbers()) table.Add(NumberRow(number));
  return absl::StrCat(reply.numbers().empty() ? "" : table.Format(colored),
                      Count(reply.numbers_size(), reply.total_size(), "number"));
}

std::string Print(const v1::BatchGetNumbersResponse& reply, bool colored) {
  int failed = 0;
  for (const v1::BatchGetNumbersResult& result : reply.results()) failed += result.has_error();
  std::vector<Table::Column> columns = NumberColumns();
  if (failed > 0) columns.push_back({"ERROR"});
  Table table(columns);
  for (const v1::BatchGetNumbersResult& result : reply.results()) {
    std::vector<Cell> row = NumberRow(result.number());
    // As it was asked for.
    row.front() = Cell(result.phone_number());
    if (failed > 0) {
      row.push_back(result.has_error() ? Cell(Summary(result.error()), Color::kRed) : Cell(""));
    }
    table.Add(std::move(row));
  }
  const int size = reply.results_size();
  return absl::StrCat(size == 0 ? "" : table.Format(colored), size,
                      size == 1 ? " number" : " numbers",
                      failed > 0 ? absl::StrCat(", ", failed, " failed") : "", "\n");
}

std::string Print(const v1::GetNumberResponse& reply, bool colored) {
  Details details;
  details.Add("Number", reply.number().phone_number());
  AddNumber(reply.number(), details);
  details.Add(reply.number().pricing());
  if (reply.number().has_lease()) AddLease(reply.number().lease(), details);
  details.Add(reply.metadata());
  return details.Format(colored);
}

std::string Print(const v1::CreateLeaseResponse& reply, bool colored) {
  return PrintPurchase(reply, colored);
}

std::string Print(const v1::LeaseAnyNumberResponse& reply, bool colored) {
  return PrintPurchase(reply, colored);
}

std::string Print(const v1::ListLeasesResponse& reply, bool colored) {
  Table table({{"NUMBER"},
               {"LEASE"},
               {"STATUS"},
               {"BILLING"},
               {"MONTHLY", kRight},
               {"START"},
               {"END"},
               {"LOCATION"},
               {"CARRIER"}});
  for (const v1::Lease& lease : reply.leases()) {
    const v1::Billing& billing = lease.billing();
    table.Add({PhoneNumberOf(lease), lease.lease_id(),
               StatusCell(lease.status(), lease.provider_status()), BillingWord(billing),
               Monthly(PricingOf(lease)),
               billing.has_start_time() ? FormatTimestamp(billing.start_time()) : "",
               billing.has_end_time() ? FormatTimestamp(billing.end_time()) : "",
               Place(lease.number().location()), lease.number().carrier()});
  }
  return absl::StrCat(reply.leases().empty() ? "" : table.Format(colored),
                      Count(reply.leases_size(), reply.total_size(), "lease"));
}

std::string Print(const v1::GetLeaseResponse& reply, bool colored) {
  Details details;
  details.Add("Number", PhoneNumberOf(reply.lease()));
  AddLease(reply.lease(), details);
  details.Add(PricingOf(reply.lease()));
  if (reply.lease().has_number()) AddNumber(reply.lease().number(), details);
  details.Add(reply.metadata());
  return details.Format(colored);
}

std::string Print(const v1::TerminateLeaseResponse& reply, bool colored) {
  const v1::Termination& termination = reply.termination();
  Details details;
  details.Add("Number", termination.phone_number());
  details.Add("Lease", termination.lease_id());
  details.Add("Lease status", StatusCell(termination.status(), termination.provider_status()));
  details.AddTime("Terminated", termination.has_terminate_time(), termination.terminate_time());
  details.Add("Request id", reply.request_id());
  details.Add(reply.metadata());
  return details.Format(colored);
}

std::string Print(const v1::ListOperationsResponse& reply, bool colored) {
  Table table({{"TIME"},
               {"REQUEST ID"},
               {"KIND"},
               {"STATE"},
               {"NUMBER"},
               {"LEASE"},
               {"PRICE", kRight},
               {"SETTLED"},
               {"CALLER"},
               {"ERROR"}});
  for (const v1::Operation& operation : reply.operations()) {
    table.Add({absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", TimeOf(operation.create_time()),
                                absl::UTCTimeZone()),
               operation.request_id(), KindWord(operation), StateCell(operation.state()),
               operation.phone_number(), operation.lease_id(), Monthly(operation.price()),
               SettlementWord(operation), operation.caller(),
               operation.has_error() ? Cell(Summary(operation.error()), Color::kRed) : Cell("")});
  }
  const int size = reply.operations_size();
  return absl::StrCat(size == 0 ? "" : table.Format(colored), Count(size, size, "operation"));
}

std::string Print(const v1::GetOperationResponse& reply, bool colored) {
  const v1::Operation& operation = reply.operation();
  Details details;
  details.Add("Request id", operation.request_id());
  details.Add("Kind", KindWord(operation));
  details.Add("State", StateCell(operation.state()));
  details.AddIfAny("Settled", SettlementWord(operation));
  details.AddIfAny("Number", operation.phone_number());
  details.AddIfAny("Lease", operation.lease_id());
  if (operation.has_lease()) {
    details.Add("Lease status",
                StatusCell(operation.lease().status(), operation.lease().provider_status()));
  }
  if (operation.has_termination()) {
    const v1::Termination& termination = operation.termination();
    details.Add("Lease status", StatusCell(termination.status(), termination.provider_status()));
    details.AddTime("Terminated", termination.has_terminate_time(), termination.terminate_time());
  }
  details.AddIfAny("Billing", Word(v1::BillingMethod_Name(operation.billing_method()),
                                   "BILLING_METHOD_", operation.billing_method(), ""));
  details.Add(operation.price());
  if (operation.has_error()) details.Add("Error", Cell(Summary(operation.error()), Color::kRed));
  details.AddIfAny("Caller", operation.caller());
  details.AddIfAny("Identity kind", IdentityWord(operation.identity_kind()));
  details.AddIfAny("Account", operation.account());
  details.AddTime("Begun", operation.has_create_time(), operation.create_time());
  details.AddTime("Changed", operation.has_update_time(), operation.update_time());
  details.AddIfAny("Provider's id", operation.upstream_request_id());
  return details.Format(colored);
}

std::string Print(const v1::ConfigureFailoverResponse& reply, bool colored) {
  Details details;
  details.Add("Number", reply.phone_number());
  if (reply.has_failover()) {
    const v1::Failover& failover = reply.failover();
    details.Add("Failover", YesNo(failover.enabled()));
    details.AddIfAny("Mode", Word(v1::FailoverMode_Name(failover.mode()), "FAILOVER_MODE_",
                                  failover.mode(), failover.provider_mode()));
    details.AddIfAny("Covers", absl::StrJoin(failover.phone_numbers(), ", "));
  } else {
    details.Add("Failover", "accepted; the provider does not say what is configured now");
  }
  details.Add(reply.metadata());
  return details.Format(colored);
}

std::string Print(const v1::GetCallForwardingResponse& reply, bool colored) {
  return PrintForwarding(reply, colored);
}

std::string Print(const v1::EnableCallForwardingResponse& reply, bool colored) {
  return PrintForwarding(reply, colored);
}

std::string Print(const v1::DisableCallForwardingResponse& reply, bool colored) {
  return PrintForwarding(reply, colored);
}

}  // namespace leasegateway
