#include "upstream/resilience/explaining_lease_api.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

boost::asio::awaitable<absl::Status> ExplainingLeaseApi::Explain(CallContext context,
                                                                 std::string phone_number,
                                                                 absl::Status status) {
  if (ReasonOf(status) != reason::kUpstreamRejected) co_return status;
  const auto number = co_await inner_->GetNumber(std::move(context), phone_number);
  if (!number.ok() || number->value.has_lease()) co_return status;
  auto explained =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kNotLeased,
                absl::StrCat("the account does not lease ", phone_number), MetadataOf(status));
  AddPrecondition(explained, ReasonOf(explained), phone_number, std::string(explained.message()));
  co_return explained;
}

LeaseApiResult<NumberList> ExplainingLeaseApi::ListAvailableNumbers(CallContext context) {
  return inner_->ListAvailableNumbers(std::move(context));
}

LeaseApiResult<v1::Number> ExplainingLeaseApi::GetNumber(CallContext context,
                                                         std::string phone_number) {
  return inner_->GetNumber(std::move(context), std::move(phone_number));
}

LeaseApiResult<v1::Lease> ExplainingLeaseApi::CreateLease(CallContext context,
                                                          std::string phone_number,
                                                          v1::BillingMethod method) {
  return inner_->CreateLease(std::move(context), std::move(phone_number), method);
}

LeaseApiResult<LeaseList> ExplainingLeaseApi::ListLeases(CallContext context) {
  return inner_->ListLeases(std::move(context));
}

LeaseApiResult<v1::Lease> ExplainingLeaseApi::GetLease(CallContext context,
                                                       std::string phone_number) {
  return inner_->GetLease(std::move(context), std::move(phone_number));
}

LeaseApiResult<v1::Termination> ExplainingLeaseApi::TerminateLease(CallContext context,
                                                                   std::string phone_number) {
  return inner_->TerminateLease(std::move(context), std::move(phone_number));
}

LeaseApiResult<v1::Failover> ExplainingLeaseApi::ConfigureFailover(CallContext context,
                                                                   std::string phone_number,
                                                                   v1::Failover failover) {
  auto reply = co_await inner_->ConfigureFailover(context, phone_number, std::move(failover));
  if (reply.ok()) co_return reply;
  co_return co_await Explain(std::move(context), std::move(phone_number), reply.status());
}

LeaseApiResult<v1::CallForwarding> ExplainingLeaseApi::GetCallForwarding(CallContext context,
                                                                         std::string phone_number) {
  auto reply = co_await inner_->GetCallForwarding(context, phone_number);
  if (reply.ok()) co_return reply;
  co_return co_await Explain(std::move(context), std::move(phone_number), reply.status());
}

LeaseApiResult<v1::CallForwarding> ExplainingLeaseApi::EnableCallForwarding(
    CallContext context, std::string phone_number, std::string forward_to) {
  auto reply = co_await inner_->EnableCallForwarding(context, phone_number, std::move(forward_to));
  if (reply.ok()) co_return reply;
  co_return co_await Explain(std::move(context), std::move(phone_number), reply.status());
}

LeaseApiResult<v1::CallForwarding> ExplainingLeaseApi::DisableCallForwarding(
    CallContext context, std::string phone_number) {
  auto reply = co_await inner_->DisableCallForwarding(context, phone_number);
  if (reply.ok()) co_return reply;
  co_return co_await Explain(std::move(context), std::move(phone_number), reply.status());
}

}  // namespace leasegateway
