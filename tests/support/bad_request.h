#ifndef LEASE_GATEWAY_TESTS_SUPPORT_BAD_REQUEST_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_BAD_REQUEST_H_

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace leasegateway {

// The violations of an INVALID_ARGUMENT, at least one.
inline google::rpc::BadRequest ViolationsOf(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  google::rpc::BadRequest bad_request;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  EXPECT_TRUE(payload && bad_request.ParseFromString(std::string(*payload)));
  if (bad_request.field_violations().empty()) bad_request.add_field_violations();  // for the caller
  return bad_request;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_BAD_REQUEST_H_
