#include "upstream/lease_api.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

absl::StatusOr<Reply<v1::Lease>> TakeLease(Reply<v1::Number> number) {
  if (!number.value.has_lease()) {
    return MakeError(absl::StatusCode::kNotFound, reason::kNotLeased,
                     absl::StrCat("the account does not lease ", number.value.phone_number()),
                     {{"upstream_request_id", number.metadata.upstream_request_id()}});
  }
  Reply<v1::Lease> lease;
  lease.metadata = std::move(number.metadata);
  lease.tolerated = std::move(number.tolerated);
  lease.value.Swap(number.value.mutable_lease());
  number.value.clear_lease();
  lease.value.mutable_number()->Swap(&number.value);
  return lease;
}

}  // namespace leasegateway
