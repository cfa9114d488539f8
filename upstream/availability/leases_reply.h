#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LEASES_REPLY_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LEASES_REPLY_H_

#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/shared_bytes.h"

namespace leasegateway {

// A serialised ListLeasesResponse, without parsing its leases.

v1::ResponseMetadata MetadataOfLeases(const ReplyBytes& reply);

// The same leases with other metadata; shares them with it.
ReplyBytes RenewedLeases(const ReplyBytes& reply, v1::ResponseMetadata metadata,
                         const PinBytes& pin);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LEASES_REPLY_H_
