#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace leasegateway::sandbox {

// What came in over HTTPS, as the control port tells it. Not thread-safe.
class Traffic {
 private:
  struct Gauge {
    std::int64_t now = 0;
    std::int64_t most = 0;
  };

 public:
  // Something that is there for as long as this lives. The Traffic outlives it.
  class Counted {
   public:
    explicit Counted(Gauge* gauge);
    ~Counted() { --gauge_->now; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    Gauge* gauge_;
  };

  [[nodiscard]] Counted CountConnection();
  // `traceparent` and `tracestate` as they came.
  [[nodiscard]] Counted CountRequest(const std::string& route, std::string_view traceparent,
                                     std::string_view tracestate);
  boost::json::object ToJson() const;
  // Forgets all but what is there now.
  void Reset();

 private:
  std::int64_t requests_ = 0;
  std::int64_t connections_ = 0;
  std::map<std::string, std::int64_t> by_route_;
  Gauge open_connections_;
  Gauge in_flight_;
  std::string traceparent_;  // of the latest request
  std::string tracestate_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_
