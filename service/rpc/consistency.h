#ifndef LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_
#define LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_

#include <grpcpp/server_context.h>

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/availability/cached_account.h"
#include "upstream/call_context.h"

namespace leasegateway {

// The metadata with which a read asks for a write, and with which a write's reply trails.
inline constexpr char kConsistencyMetadata[] = "consistency-token";

// What was written, as opaque text that names its account, and back. INVALID_ARGUMENT,
// INVALID_CONSISTENCY_TOKEN, for text that no gateway made or that is another account's.
std::string EncodeConsistency(const WritesSeen& seen, std::string_view account);
absl::StatusOr<WritesSeen> DecodeConsistency(std::string_view token, std::string_view account);

// What a read asks for, by the field of its request, or where that is empty by metadata.
absl::StatusOr<std::optional<WritesSeen>> ConsistencyOf(const grpc::ServerContextBase& context,
                                                        std::string_view field,
                                                        std::string_view account);

// Makes memory include what a read asks for, or the read ask the provider. On the call's strand.
boost::asio::awaitable<CallContext> Include(CachedAccount& account, WritesSeen seen,
                                            CallContext context);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_
