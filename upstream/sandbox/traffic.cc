#include "upstream/sandbox/traffic.h"

#include <algorithm>
#include <utility>

namespace leasegateway::sandbox {

namespace json = boost::json;

Traffic::Counted::Counted(Gauge* gauge) : gauge_(gauge) {
  gauge_->most = std::max(gauge_->most, ++gauge_->now);
}

Traffic::Counted Traffic::CountConnection() {
  ++connections_;
  return Counted(&open_connections_);
}

Traffic::Counted Traffic::CountRequest(const std::string& route, std::string_view traceparent,
                                       std::string_view tracestate) {
  ++requests_;
  ++by_route_[route];
  traceparent_ = traceparent;
  tracestate_ = tracestate;
  return Counted(&in_flight_);
}

json::object Traffic::ToJson() const {
  json::object routes;
  for (const auto& [route, count] : by_route_) routes[route] = count;
  json::object object;
  object["total"] = requests_;
  object["routes"] = std::move(routes);
  object["connections"] = connections_;
  object["open_connections"] = open_connections_.now;
  object["max_open_connections"] = open_connections_.most;
  object["in_flight"] = in_flight_.now;
  object["max_in_flight"] = in_flight_.most;
  object["traceparent"] = traceparent_;
  object["tracestate"] = tracestate_;
  return object;
}

void Traffic::Reset() {
  requests_ = 0;
  connections_ = open_connections_.now;
  by_route_.clear();
  open_connections_.most = open_connections_.now;
  in_flight_.most = in_flight_.now;
}

}  // namespace leasegateway::sandbox
