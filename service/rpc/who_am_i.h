#ifndef LEASE_GATEWAY_SERVICE_RPC_WHO_AM_I_H_
#define LEASE_GATEWAY_SERVICE_RPC_WHO_AM_I_H_

#include <boost/asio/awaitable.hpp>
#include <string>

#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/admission.h"
#include "service/rpc/call_caller.h"
#include "upstream/call_context.h"

namespace leasegateway {

// What WhoAmI answers of a caller that has been let in. `account`: only this one; empty: all on
// which the caller has a right. Says nothing of what is spent while the journal does not answer.
// Awaited on the call's strand.
boost::asio::awaitable<v1::WhoAmIResponse> TellWho(const Admission& admission, CallContext call,
                                                   CallCaller caller, std::string account);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_WHO_AM_I_H_
