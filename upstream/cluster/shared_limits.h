#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_LIMITS_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_LIMITS_H_

#include <memory>
#include <string_view>

#include "upstream/cluster/news.h"
#include "upstream/cluster/replica.h"
#include "upstream/rate_share.h"

namespace leasegateway {

// How the replicas share an account's rate: by the number of those that are alive, and with news of
// each 429, topic "l/" and the account's TopicWord. The news says for how long calls stop, never
// until when: a hearer counts from when it hears. What this replica tells itself it doesn't hear.
// The functions keep `replica` and `news`.
RateShare MakeRateShare(std::shared_ptr<const Replica> replica, std::shared_ptr<News> news,
                        std::string_view account);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_LIMITS_H_
