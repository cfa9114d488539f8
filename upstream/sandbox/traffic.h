#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_

#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

  // A request that is no GET: by when it came in and when it was answered, by the steady clock. One
  // that is carried out although its sender has gone is under way until that is done.
  struct Write {
    std::string route;
    std::string number;
    std::string traceparent;
    std::uint16_t port = 0;  // by which it came in: what tells apart senders that are alike
    std::int64_t from_us = 0;
    std::int64_t to_us = 0;  // 0: it is under way
  };
  // A write is under way for as long as this lives.
  class UnderWay {
   public:
    explicit UnderWay(std::shared_ptr<Write> write);
    ~UnderWay();
    UnderWay(UnderWay&&) = default;
    UnderWay& operator=(UnderWay&&) = delete;

   private:
    std::shared_ptr<Write> write_;
  };

  [[nodiscard]] Counted CountConnection();
  // `traceparent` and `tracestate` as they came.
  [[nodiscard]] Counted CountRequest(const std::string& route, std::string_view traceparent,
                                     std::string_view tracestate);
  // `from_us` and `to_us` are set here.
  [[nodiscard]] UnderWay NoteWrite(Write write);
  // Of HTTP, header and body, as they went out; in TLS they are some more.
  void CountAnswer(int status, std::size_t bytes);
  boost::json::object ToJson() const;
  // The writes with a greater `seq` than `after`; that of the first is 1.
  boost::json::object WritesToJson(std::size_t after) const;
  // Forgets all but what is there now.
  void Reset();

 private:
  std::int64_t requests_ = 0;
  std::int64_t connections_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::int64_t not_modified_ = 0;
  std::map<std::string, std::int64_t> by_route_;
  Gauge open_connections_;
  Gauge in_flight_;
  std::string traceparent_;  // of the latest request
  std::string tracestate_;
  std::vector<std::shared_ptr<Write>> writes_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_TRAFFIC_H_
