#include "upstream/availability/leases_reply.h"

#include <cstddef>
#include <string_view>
#include <utility>

#include "upstream/availability/list_delta.h"

namespace leasegateway {
namespace {

// How many of the bytes are leases, which stand before all else.
std::size_t LeasesSize(std::string_view bytes) {
  const auto entries = EntriesOf(bytes);
  if (!entries || entries->empty()) return 0;
  return static_cast<std::size_t>(entries->back().data() + entries->back().size() - bytes.data());
}

// All but the leases.
v1::ListLeasesResponse RestOf(const ReplyBytes& reply) {
  auto message = ParseBytes<v1::ListLeasesResponse>(reply.view().substr(LeasesSize(reply.view())));
  if (reply.end) message.MergeFrom(ParseBytes<v1::ListLeasesResponse>(reply.end->view()));
  return message;
}

}  // namespace

v1::ResponseMetadata MetadataOfLeases(const ReplyBytes& reply) {
  return std::move(*RestOf(reply).mutable_metadata());
}

ReplyBytes RenewedLeases(const ReplyBytes& reply, v1::ResponseMetadata metadata,
                         const PinBytes& pin) {
  v1::ListLeasesResponse rest = RestOf(reply);
  *rest.mutable_metadata() = std::move(metadata);
  ReplyBytes renewed = reply;
  renewed.range.size = LeasesSize(reply.view());
  renewed.end = pin(rest.SerializeAsString());
  return renewed;
}

}  // namespace leasegateway
