#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LIST_DELTA_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LIST_DELTA_H_

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/availability/write_overlay.h"

namespace leasegateway {

// Lists as bytes: each entry is a serialised field with number 1 of the reply that the list is.

// The entries at the beginning of a reply, up to its first other field. Nothing when that is cut.
std::optional<std::vector<std::string_view>> EntriesOf(std::string_view reply);

// A message with its maps in a fixed order, so that equal ones have equal bytes.
std::string SerializeInOrder(const google::protobuf::MessageLite& message);

// What makes `after` out of `before`, a serialised ListDelta. Entries that `before` has cost next
// to nothing, wherever they stand.
std::string EncodeDelta(const std::vector<std::string_view>& before,
                        const std::vector<std::string_view>& after);
// The entries of the list after, one behind the other. Nothing when the delta can't be read, is not
// one to `before`, or makes more than 512 MiB of it.
std::optional<std::string> ApplyDelta(const std::vector<std::string_view>& before,
                                      std::string_view delta);

// A write as a serialised LoggedWrite, and back; nothing when it can't be read. Numbers and times
// are this process's own and stay out.
std::string EncodeWrite(const Write& write);
std::optional<Write> DecodeWrite(std::string_view bytes);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LIST_DELTA_H_
