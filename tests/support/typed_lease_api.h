#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TYPED_LEASE_API_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TYPED_LEASE_API_H_

#include <boost/asio/awaitable.hpp>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// A LeaseApi for fakes that answer each operation in a function of its own.
class TypedLeaseApi : public LeaseApi {
 public:
  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) final {
    return std::visit(
        [&](auto& known) { return Erase(Answer(std::move(context), std::move(known))); },
        operation);
  }

  // A list is asked for, only if it is not as it was with these.
  virtual void AskedWith(const Validators& /*known*/) {}
  virtual LeaseApiResult<NumberList> ListAvailableNumbers(CallContext context) = 0;
  virtual LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string phone_number) = 0;
  virtual LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string phone_number,
                                                v1::BillingMethod method) = 0;
  virtual LeaseApiResult<LeaseList> ListLeases(CallContext context) = 0;
  virtual LeaseApiResult<v1::Lease> GetLease(CallContext context, std::string phone_number) = 0;
  virtual LeaseApiResult<v1::Termination> TerminateLease(CallContext context,
                                                         std::string phone_number) = 0;
  virtual LeaseApiResult<v1::Failover> ConfigureFailover(CallContext context,
                                                         std::string phone_number,
                                                         v1::Failover failover) = 0;
  virtual LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext context,
                                                               std::string phone_number) = 0;
  virtual LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext context,
                                                                  std::string phone_number,
                                                                  std::string forward_to) = 0;
  virtual LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext context,
                                                                   std::string phone_number) = 0;

 private:
  template <typename T>
  static boost::asio::awaitable<absl::StatusOr<AnyReply>> Erase(LeaseApiResult<T> calling) {
    auto reply = co_await std::move(calling);
    if (!reply.ok()) co_return reply.status();
    co_return AnyReply(*std::move(reply));
  }

  LeaseApiResult<NumberList> Answer(CallContext context, operation::ListAvailableNumbers list) {
    AskedWith(list.known);
    return ListAvailableNumbers(std::move(context));
  }
  LeaseApiResult<v1::Number> Answer(CallContext context, operation::GetNumber get) {
    return GetNumber(std::move(context), std::move(get.phone_number));
  }
  LeaseApiResult<v1::Lease> Answer(CallContext context, operation::CreateLease create) {
    return CreateLease(std::move(context), std::move(create.phone_number), create.method);
  }
  LeaseApiResult<LeaseList> Answer(CallContext context, operation::ListLeases list) {
    AskedWith(list.known);
    return ListLeases(std::move(context));
  }
  LeaseApiResult<v1::Lease> Answer(CallContext context, operation::GetLease get) {
    return GetLease(std::move(context), std::move(get.phone_number));
  }
  LeaseApiResult<v1::Termination> Answer(CallContext context, operation::TerminateLease end) {
    return TerminateLease(std::move(context), std::move(end.phone_number));
  }
  LeaseApiResult<v1::Failover> Answer(CallContext context, operation::ConfigureFailover set) {
    return ConfigureFailover(std::move(context), std::move(set.phone_number),
                             std::move(set.failover));
  }
  LeaseApiResult<v1::CallForwarding> Answer(CallContext context, operation::GetCallForwarding get) {
    return GetCallForwarding(std::move(context), std::move(get.phone_number));
  }
  LeaseApiResult<v1::CallForwarding> Answer(CallContext context,
                                            operation::EnableCallForwarding set) {
    return EnableCallForwarding(std::move(context), std::move(set.phone_number),
                                std::move(set.forward_to));
  }
  LeaseApiResult<v1::CallForwarding> Answer(CallContext context,
                                            operation::DisableCallForwarding set) {
    return DisableCallForwarding(std::move(context), std::move(set.phone_number));
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TYPED_LEASE_API_H_
