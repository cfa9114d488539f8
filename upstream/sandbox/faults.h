#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_FAULTS_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_FAULTS_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace leasegateway::sandbox {

struct Fault {
  enum class Kind {
    kStatus,
    kDelay,
    kClose,
    kReset,
    kTruncate,
    kGarbage,
    kHtml,
    kDrip,
    kHang,
    kRewrite
  };

  std::string route = "*";
  std::string number;  // of the request's path; empty: any, or none
  Kind kind = Kind::kStatus;
  std::optional<std::int64_t> count;  // how many requests are left to it
  std::optional<double> fraction;     // of the requests, for as long as it is there
  int status = 500;
  bool envelope = true;
  std::string message;
  std::string agreement_url;
  std::string retry_after;
  std::string server;  // for kHtml, as are the next two
  std::string via;
  std::string content_type;
  std::chrono::milliseconds delay{0};  // for kDrip, between two bytes
  bool after = false;                  // the request takes effect before the fault strikes
  std::optional<std::string> body;
  std::string find;     // in the true answer's body, once
  std::string replace;  // what comes in its place
  std::int64_t hits = 0;
};

// The faults that are waiting to strike. Not thread-safe.
class Faults {
 public:
  explicit Faults(std::uint64_t seed) : seed_(seed), random_(seed) {}

  // Adds an object or an array of them; all or none.
  absl::Status Add(const boost::json::value& value);
  // The first that strikes a request on `route` for `number`, and uses it up by one.
  std::optional<Fault> Next(std::string_view route, std::string_view number);
  boost::json::object ToJson() const;
  void Clear() { faults_.clear(); }
  // Those of the number only.
  void Clear(std::string_view number);
  // Back to the state at the start.
  void Reset();

 private:
  const std::uint64_t seed_;
  std::mt19937_64 random_;
  std::list<Fault> faults_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_FAULTS_H_
