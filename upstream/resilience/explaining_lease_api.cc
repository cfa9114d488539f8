#include "upstream/resilience/explaining_lease_api.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

boost::asio::awaitable<absl::Status> ExplainingLeaseApi::Explain(CallContext context,
                                                                 std::string phone_number,
                                                                 absl::Status status) {
  if (ReasonOf(status) != reason::kUpstreamRejected) co_return status;
  const auto number =
      co_await inner_->Perform(std::move(context), operation::GetNumber{phone_number});
  if (!number.ok() || number->value.has_lease()) co_return status;
  auto explained =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kNotLeased,
                absl::StrCat("the account does not lease ", phone_number), MetadataOf(status));
  AddPrecondition(explained, ReasonOf(explained), phone_number, std::string(explained.message()));
  co_return explained;
}

boost::asio::awaitable<absl::StatusOr<AnyReply>> ExplainingLeaseApi::Call(CallContext context,
                                                                          Operation operation) {
  if (!IsOnLease(operation)) {
    auto passing = inner_->Call(std::move(context), std::move(operation));
    co_return co_await std::move(passing);
  }
  std::string phone_number = PhoneNumberOf(operation);
  auto calling = inner_->Call(context, std::move(operation));
  auto reply = co_await std::move(calling);
  if (reply.ok()) co_return reply;
  co_return co_await Explain(std::move(context), std::move(phone_number), reply.status());
}

}  // namespace leasegateway
