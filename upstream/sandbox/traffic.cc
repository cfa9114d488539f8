#include "upstream/sandbox/traffic.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <utility>

namespace leasegateway::sandbox {

namespace json = boost::json;

namespace {

std::int64_t SteadyMicroseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Traffic::Counted::Counted(Gauge* gauge) : gauge_(gauge) {
  gauge_->most = std::max(gauge_->most, ++gauge_->now);
}

Traffic::UnderWay::UnderWay(std::shared_ptr<Write> write) : write_(std::move(write)) {}

Traffic::UnderWay::~UnderWay() {
  if (write_ != nullptr) write_->to_us = SteadyMicroseconds();
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

Traffic::UnderWay Traffic::NoteWrite(Write write) {
  write.from_us = SteadyMicroseconds();
  write.to_us = 0;
  writes_.push_back(std::make_shared<Write>(std::move(write)));
  return UnderWay(writes_.back());
}

void Traffic::CountAnswer(int status, std::size_t bytes) {
  sent_bytes_ += bytes;
  if (status == 304) ++not_modified_;
}

json::object Traffic::ToJson() const {
  json::object routes;
  for (const auto& [route, count] : by_route_) routes[route] = count;
  json::object object;
  object["total"] = requests_;
  object["routes"] = std::move(routes);
  object["connections"] = connections_;
  object["sent_bytes"] = sent_bytes_;
  object["not_modified"] = not_modified_;
  object["open_connections"] = open_connections_.now;
  object["max_open_connections"] = open_connections_.most;
  object["in_flight"] = in_flight_.now;
  object["max_in_flight"] = in_flight_.most;
  object["traceparent"] = traceparent_;
  object["tracestate"] = tracestate_;
  return object;
}

json::object Traffic::WritesToJson(std::size_t after) const {
  json::array writes;
  for (std::size_t i = after; i < writes_.size(); ++i) {
    const Write& write = *writes_[i];
    json::object object;
    object["seq"] = i + 1;
    object["route"] = write.route;
    object["number"] = write.number;
    object["port"] = write.port;
    object["traceparent"] = write.traceparent;
    object["from_us"] = write.from_us;
    object["to_us"] = write.to_us;
    writes.push_back(std::move(object));
  }
  json::object all;
  all["writes"] = std::move(writes);
  return all;
}

void Traffic::Reset() {
  requests_ = 0;
  sent_bytes_ = 0;
  not_modified_ = 0;
  connections_ = open_connections_.now;
  by_route_.clear();
  writes_.clear();
  open_connections_.most = open_connections_.now;
  in_flight_.most = in_flight_.now;
}

}  // namespace leasegateway::sandbox
