#ifndef LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_
#define LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_

#include <grpcpp/server_context.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/availability/cached_account.h"
#include "upstream/call_context.h"

namespace leasegateway {

// The metadata with which a read asks for a write, and with which a write's reply trails.
inline constexpr char kConsistencyMetadata[] = "consistency-token";

// What was written, and when that was said, by the wall clock of whoever said it, or done.
struct Consistency {
  WritesSeen seen;
  std::chrono::system_clock::time_point given;  // whole milliseconds
};

// As opaque text that names its account, and back. INVALID_ARGUMENT, INVALID_CONSISTENCY_TOKEN, for
// text that no gateway made or that is another account's.
std::string EncodeConsistency(const Consistency& consistency, std::string_view account);
absl::StatusOr<Consistency> DecodeConsistency(std::string_view token, std::string_view account);

// What a read asks for, by the field of its request, or where that is empty by metadata.
absl::StatusOr<std::optional<Consistency>> ConsistencyOf(const grpc::ServerContextBase& context,
                                                         std::string_view field,
                                                         std::string_view account);

// How old an answer of the provider may be that shows all that was written when the token was
// given, whoever knows of it: `asked`, or less. Replicas' clocks differ by less than 2 s.
std::chrono::milliseconds StalenessSince(std::chrono::system_clock::time_point given,
                                         std::chrono::system_clock::time_point now,
                                         std::chrono::milliseconds asked);

// What shows a write that has returned here, or that was only told again and was done at
// `settled_at`: whoever did it may not have said so to the other replicas yet. Waits by the
// deadline at most for a place in the log that they share.
boost::asio::awaitable<Consistency> ConsistencyNow(
    CachedAccount& account, std::optional<std::chrono::system_clock::time_point> settled_at,
    std::chrono::steady_clock::time_point deadline);

// Makes memory include what a read asks for, or the read want an answer that the provider gave
// since. On the call's strand.
boost::asio::awaitable<CallContext> Include(CachedAccount& account, Consistency consistency,
                                            CallContext context);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CONSISTENCY_H_
