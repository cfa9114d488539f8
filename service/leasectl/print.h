#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_PRINT_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_PRINT_H_

#include <string>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/type/money.pb.h"
#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {

// The exact amount, at least two decimals: "19.99 USD".
std::string FormatMoney(const google::type::Money& money);
// RFC 3339, UTC.
std::string FormatTimestamp(const google::protobuf::Timestamp& time);

absl::Time TimeOf(const google::protobuf::Timestamp& time);

// "Miami, FL, US", as far as it is known.
std::string Place(const v1::Location& location);
// The price a month; empty when it is not known.
std::string Monthly(const v1::Pricing& pricing);

// "spiffe_id" and the like; empty: not known.
std::string IdentityWord(v1::IdentityKind kind);

// Replies for people to read.
std::string Print(const v1::ListAvailableNumbersResponse& reply, bool colored);
std::string Print(const v1::GetNumberResponse& reply, bool colored);
std::string Print(const v1::BatchGetNumbersResponse& reply, bool colored);
std::string Print(const v1::CreateLeaseResponse& reply, bool colored);
std::string Print(const v1::LeaseAnyNumberResponse& reply, bool colored);
std::string Print(const v1::ListLeasesResponse& reply, bool colored);
std::string Print(const v1::GetLeaseResponse& reply, bool colored);
std::string Print(const v1::TerminateLeaseResponse& reply, bool colored);
std::string Print(const v1::GetOperationResponse& reply, bool colored);
std::string Print(const v1::ListOperationsResponse& reply, bool colored);
std::string Print(const v1::ConfigureFailoverResponse& reply, bool colored);
std::string Print(const v1::GetCallForwardingResponse& reply, bool colored);
std::string Print(const v1::EnableCallForwardingResponse& reply, bool colored);
std::string Print(const v1::DisableCallForwardingResponse& reply, bool colored);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_PRINT_H_
