#ifndef LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_
#define LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/rpc/admission.h"
#include "service/rpc/call_runtime.h"
#include "service/rpc/consistency.h"
#include "service/rpc/search.h"
#include "service/rpc/unary_call.h"
#include "service/rpc/watch_hub.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

// All methods in raw form: nothing is serialised for a hit, and a request that can't be read gets
// an error with a reason like any other, where gRPC would say UNIMPLEMENTED.
template <template <typename> class... Each>
struct RawMethods {
  using Service = v1::LeaseService::Service;
};
template <template <typename> class First, template <typename> class... Rest>
struct RawMethods<First, Rest...> {
  using Service = First<typename RawMethods<Rest...>::Service>;
};
using RawMethodsOfLeaseService =
    RawMethods<v1::LeaseService::WithRawCallbackMethod_ListAvailableNumbers,
               v1::LeaseService::WithRawCallbackMethod_WatchAvailability,
               v1::LeaseService::WithRawCallbackMethod_GetNumber,
               v1::LeaseService::WithRawCallbackMethod_BatchGetNumbers,
               v1::LeaseService::WithRawCallbackMethod_CreateLease,
               v1::LeaseService::WithRawCallbackMethod_LeaseAnyNumber,
               v1::LeaseService::WithRawCallbackMethod_GetOperation,
               v1::LeaseService::WithRawCallbackMethod_ListOperations,
               v1::LeaseService::WithRawCallbackMethod_ListLeases,
               v1::LeaseService::WithRawCallbackMethod_GetLease,
               v1::LeaseService::WithRawCallbackMethod_TerminateLease,
               v1::LeaseService::WithRawCallbackMethod_ConfigureFailover,
               v1::LeaseService::WithRawCallbackMethod_GetCallForwarding,
               v1::LeaseService::WithRawCallbackMethod_EnableCallForwarding,
               v1::LeaseService::WithRawCallbackMethod_DisableCallForwarding,
               v1::LeaseService::WithRawCallbackMethod_WhoAmI>::Service;

// A function an RPC: lets the caller in, validates, answers from memory on gRPC's thread where that
// is possible, and asks the account's `api` otherwise, or `recorded` for what spends and gives
// back. `api` pins bytes with PinSlice. All arguments must outlive it. Called by gRPC, on any of
// its threads.
class LeaseService final : public RawMethodsOfLeaseService {
  using ByteBuffer = grpc::ByteBuffer;
  using CallbackServerContext = grpc::CallbackServerContext;
  using ServerUnaryReactor = grpc::ServerUnaryReactor;

 public:
  LeaseService(const CallRuntime& runtime, Admission& admission)
      : runtime_(runtime), admission_(admission) {}

  ServerUnaryReactor* ListAvailableNumbers(CallbackServerContext* context, const ByteBuffer* bytes,
                                           ByteBuffer* response) override;
  ServerUnaryReactor* GetNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                ByteBuffer* response) override;
  ServerUnaryReactor* ListLeases(CallbackServerContext* context, const ByteBuffer* bytes,
                                 ByteBuffer* response) override;
  grpc::ServerWriteReactor<ByteBuffer>* WatchAvailability(CallbackServerContext* context,
                                                          const ByteBuffer* bytes) override;
  ServerUnaryReactor* BatchGetNumbers(CallbackServerContext* context, const ByteBuffer* bytes,
                                      ByteBuffer* response) override;
  ServerUnaryReactor* CreateLease(CallbackServerContext* context, const ByteBuffer* bytes,
                                  ByteBuffer* response) override;
  ServerUnaryReactor* LeaseAnyNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override;
  ServerUnaryReactor* GetOperation(CallbackServerContext* context, const ByteBuffer* bytes,
                                   ByteBuffer* response) override;
  ServerUnaryReactor* ListOperations(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override;
  ServerUnaryReactor* GetLease(CallbackServerContext* context, const ByteBuffer* bytes,
                               ByteBuffer* response) override;
  ServerUnaryReactor* TerminateLease(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override;
  ServerUnaryReactor* ConfigureFailover(CallbackServerContext* context, const ByteBuffer* bytes,
                                        ByteBuffer* response) override;
  ServerUnaryReactor* GetCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                        ByteBuffer* response) override;
  ServerUnaryReactor* EnableCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                           ByteBuffer* response) override;
  ServerUnaryReactor* DisableCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                            ByteBuffer* response) override;
  ServerUnaryReactor* WhoAmI(CallbackServerContext* context, const ByteBuffer* bytes,
                             ByteBuffer* response) override;

 private:
  using Missing = std::optional<Consistency>;
  template <typename Request, typename Response>
  struct Messages {
    Request request;
    Response response;
  };

  // A call that memory can't answer.
  template <typename Request, typename Response>
  ServerUnaryReactor* Start(CallbackServerContext* context, Method method, const ByteBuffer* bytes,
                            ByteBuffer* response);
  // `missing`: what memory has to include first. `context`: of a write, which gets a token.
  template <typename Request, typename Response>
  boost::asio::awaitable<absl::Status> Answer(const AccountStack& account, CallContext call,
                                              Missing missing,
                                              Messages<Request, Response>& messages,
                                              CallbackServerContext* context, ByteBuffer* response);
  // What the read asks for and memory does not include; nothing, for most. INVALID_ARGUMENT for a
  // token that is none.
  template <typename Request>
  absl::StatusOr<Missing> MissingOf(const AccountStack& account,
                                    const CallbackServerContext& context, const Request& request);
  boost::asio::awaitable<CallContext> Included(const AccountStack& account, CallContext call,
                                               Missing missing);

  // Reads the request and lets its caller in.
  template <typename Request>
  Admission::Verdict Admit(const CallbackServerContext& context, Method method,
                           const ByteBuffer& bytes, Request* request);

  // Ends a call at once: answered from memory; with an error.
  ServerUnaryReactor* Hit(CallbackServerContext* context, Method method, const CallCaller& caller,
                          const BytesAnswer& hit, std::chrono::steady_clock::time_point started,
                          ByteBuffer* response);
  ServerUnaryReactor* Fail(CallbackServerContext* context, Method method, CallCaller caller,
                           absl::Status status);

  boost::asio::awaitable<absl::Status> FindNumbers(const AccountStack& account, CallContext call,
                                                   Missing missing, bool plain,
                                                   const AvailabilitySearch::Query& query,
                                                   ByteBuffer* response);
  // One more page of a walk whose snapshot has to be made anew.
  boost::asio::awaitable<absl::Status> FindPage(const AccountStack& account, CallContext call,
                                                AvailabilitySearch::Query query,
                                                ByteBuffer* response);
  boost::asio::awaitable<absl::Status> FindNumber(const AccountStack& account, CallContext call,
                                                  Missing missing, std::string phone_number,
                                                  ByteBuffer* response);
  boost::asio::awaitable<absl::Status> FindLeases(const AccountStack& account, CallContext call,
                                                  Missing missing, ByteBuffer* response);
  boost::asio::awaitable<absl::Status> Tell(CallContext call, CallCaller caller,
                                            std::string account, ByteBuffer* response);
  // The numbers in memory as an answer; the entry of a shared log is for its token.
  ByteBuffer Searched(const AccountStack& account, const AvailabilitySearch::Query& query,
                      const AvailabilityAnswer& answer);

  const CallRuntime& runtime_;
  Admission& admission_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_
