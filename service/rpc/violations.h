#ifndef LEASE_GATEWAY_SERVICE_RPC_VIOLATIONS_H_
#define LEASE_GATEWAY_SERVICE_RPC_VIOLATIONS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/type/money.pb.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// What is wrong with the fields of one request: each check adds what it finds. One thread.
class Violations {
 public:
  // `reason` is one of upstream_error.h; that of the first violation is that of the error.
  void Add(const std::string& field, std::string_view reason, const std::string& description);

  // May be empty.
  void CheckAccount(std::string_view value);
  void CheckPhoneNumber(const std::string& field, const std::string& value,
                        std::string_view reason = reason::kInvalidPhoneNumber);
  // May be empty.
  void CheckRequestId(const std::string& value);
  void CheckBillingMethod(v1::BillingMethod value);
  // An amount, 0 or more, with its currency.
  void CheckMoney(const std::string& field, const google::type::Money& money,
                  std::string_view reason);
  void CheckOrderBy(const std::string& value);
  void CheckPageSize(int value);
  void CheckMaxStaleness(bool is_set, const google::protobuf::Duration& value);
  // Whether the fields of a moment are those of one; `field` is its name.
  void CheckTime(const std::string& field, const google::protobuf::Timestamp& value);

  // INVALID_ARGUMENT with a BadRequest that has as many violations as a client takes; OK: none.
  absl::Status status() const;

 private:
  std::string reason_;  // of the first violation
  google::rpc::BadRequest bad_request_;
  std::size_t bytes_ = 0;
  std::size_t left_out_ = 0;
};

// INVALID_ARGUMENT with a BadRequest of one violation.
absl::Status FieldViolation(const std::string& field, std::string_view reason,
                            const std::string& description);

// A value for an error: short and printable, whatever a caller sends.
std::string QuoteValue(std::string_view value);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_VIOLATIONS_H_
