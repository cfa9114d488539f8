#include "service/lease_service.h"

#include <string>
#include <type_traits>
#include <utility>

#include "service/validation.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// One coroutine an RPC: awaits the provider, moves its answer into the response.

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::ListAvailableNumbersRequest*,
                                 v1::ListAvailableNumbersResponse* response) {
  auto reply = co_await api.ListAvailableNumbers(std::move(context));
  if (!reply.ok()) co_return reply.status();
  response->mutable_numbers()->Swap(&reply->value);
  response->set_total_size(response->numbers_size());
  response->mutable_metadata()->Swap(&reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::GetNumberRequest* request,
                                 v1::GetNumberResponse* response) {
  auto reply = co_await api.GetNumber(std::move(context), request->phone_number());
  if (!reply.ok()) co_return reply.status();
  *response->mutable_number() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::CreateLeaseRequest* request,
                                 v1::CreateLeaseResponse* response) {
  auto reply = co_await api.CreateLease(std::move(context), request->phone_number(),
                                        request->billing_method());
  if (!reply.ok()) co_return reply.status();
  *response->mutable_lease() = std::move(reply->value);
  response->set_request_id(request->request_id());
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context, const v1::ListLeasesRequest*,
                                 v1::ListLeasesResponse* response) {
  auto reply = co_await api.ListLeases(std::move(context));
  if (!reply.ok()) co_return reply.status();
  response->mutable_leases()->Swap(&reply->value);
  response->set_total_size(response->leases_size());
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::GetLeaseRequest* request,
                                 v1::GetLeaseResponse* response) {
  auto reply = co_await api.GetLease(std::move(context), request->phone_number());
  if (!reply.ok()) co_return reply.status();
  *response->mutable_lease() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::TerminateLeaseRequest* request,
                                 v1::TerminateLeaseResponse* response) {
  auto reply = co_await api.TerminateLease(std::move(context), request->phone_number());
  if (!reply.ok()) co_return reply.status();
  *response->mutable_termination() = std::move(reply->value);
  response->set_request_id(request->request_id());
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::ConfigureFailoverRequest* request,
                                 v1::ConfigureFailoverResponse* response) {
  auto reply = co_await api.ConfigureFailover(std::move(context), request->phone_number(),
                                              request->failover());
  if (!reply.ok()) co_return reply.status();
  response->set_phone_number(request->phone_number());
  if (reply->value.ByteSizeLong() > 0) {
    *response->mutable_failover() = std::move(reply->value);
  }
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

template <typename Response>
absl::Status TakeCallForwarding(const std::string& phone_number,
                                absl::StatusOr<Reply<v1::CallForwarding>> reply,
                                Response* response) {
  if (!reply.ok()) return reply.status();
  response->set_phone_number(phone_number);
  *response->mutable_call_forwarding() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::GetCallForwardingRequest* request,
                                 v1::GetCallForwardingResponse* response) {
  auto reply = co_await api.GetCallForwarding(std::move(context), request->phone_number());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::EnableCallForwardingRequest* request,
                                 v1::EnableCallForwardingResponse* response) {
  auto reply = co_await api.EnableCallForwarding(std::move(context), request->phone_number(),
                                                 request->forward_to());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(LeaseApi& api, CallContext context,
                                 const v1::DisableCallForwardingRequest* request,
                                 v1::DisableCallForwardingResponse* response) {
  auto reply = co_await api.DisableCallForwarding(std::move(context), request->phone_number());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

template <typename Request>
std::string RequestIdOf(const Request& request) {
  if constexpr (requires { request.request_id(); }) {
    return request.request_id();
  } else {
    return "";
  }
}

class LeaseServiceImpl final : public v1::LeaseService::CallbackService {
 public:
  LeaseServiceImpl(const CallRuntime& runtime, LeaseApi& api) : runtime_(runtime), api_(api) {}

  ServerUnaryReactor* ListAvailableNumbers(CallbackServerContext* context,
                                           const v1::ListAvailableNumbersRequest* request,
                                           v1::ListAvailableNumbersResponse* response) override {
    return Start(context, "ListAvailableNumbers", request, response);
  }
  ServerUnaryReactor* GetNumber(CallbackServerContext* context, const v1::GetNumberRequest* request,
                                v1::GetNumberResponse* response) override {
    return Start(context, "GetNumber", request, response);
  }
  ServerUnaryReactor* CreateLease(CallbackServerContext* context,
                                  const v1::CreateLeaseRequest* request,
                                  v1::CreateLeaseResponse* response) override {
    return Start(context, "CreateLease", request, response);
  }
  ServerUnaryReactor* ListLeases(CallbackServerContext* context,
                                 const v1::ListLeasesRequest* request,
                                 v1::ListLeasesResponse* response) override {
    return Start(context, "ListLeases", request, response);
  }
  ServerUnaryReactor* GetLease(CallbackServerContext* context, const v1::GetLeaseRequest* request,
                               v1::GetLeaseResponse* response) override {
    return Start(context, "GetLease", request, response);
  }
  ServerUnaryReactor* TerminateLease(CallbackServerContext* context,
                                     const v1::TerminateLeaseRequest* request,
                                     v1::TerminateLeaseResponse* response) override {
    return Start(context, "TerminateLease", request, response);
  }
  ServerUnaryReactor* ConfigureFailover(CallbackServerContext* context,
                                        const v1::ConfigureFailoverRequest* request,
                                        v1::ConfigureFailoverResponse* response) override {
    return Start(context, "ConfigureFailover", request, response);
  }
  ServerUnaryReactor* GetCallForwarding(CallbackServerContext* context,
                                        const v1::GetCallForwardingRequest* request,
                                        v1::GetCallForwardingResponse* response) override {
    return Start(context, "GetCallForwarding", request, response);
  }
  ServerUnaryReactor* EnableCallForwarding(CallbackServerContext* context,
                                           const v1::EnableCallForwardingRequest* request,
                                           v1::EnableCallForwardingResponse* response) override {
    return Start(context, "EnableCallForwarding", request, response);
  }
  ServerUnaryReactor* DisableCallForwarding(CallbackServerContext* context,
                                            const v1::DisableCallForwardingRequest* request,
                                            v1::DisableCallForwardingResponse* response) override {
    return Start(context, "DisableCallForwarding", request, response);
  }

 private:
  template <typename Request, typename Response>
  ServerUnaryReactor* Start(CallbackServerContext* context, const char* method,
                            const Request* request, Response* response) {
    UnaryCall::Description description;
    description.method = method;
    description.request_id = RequestIdOf(*request);
    description.valid = Validate(*request);
    description.upstream_request_id = [response] {
      return response->metadata().upstream_request_id();
    };
    return UnaryCall::Start(runtime_, context, std::move(description),
                            [this, request, response](CallContext call) {
                              return Do(api_, std::move(call), request, response);
                            });
  }

  const CallRuntime& runtime_;
  LeaseApi& api_;
};

}  // namespace

std::unique_ptr<v1::LeaseService::CallbackService> MakeLeaseService(const CallRuntime& runtime,
                                                                    LeaseApi& api) {
  return std::make_unique<LeaseServiceImpl>(runtime, api);
}

}  // namespace leasegateway
