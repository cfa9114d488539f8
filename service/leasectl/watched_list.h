#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_WATCHED_LIST_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_WATCHED_LIST_H_

#include <map>
#include <string>
#include <vector>

#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {

// What a watcher knows from the messages so far.
class WatchedList {
 public:
  struct Change {
    enum class Kind { kAdded, kChanged, kRemoved };
    Kind kind;
    v1::Number number;  // as it is now; of a removed one as it was
  };
  struct Step {
    bool is_state = false;  // a state is complete now
    // What is different from before. Empty for the first state; what is told again is left out.
    std::vector<Change> changes;
  };

  Step Apply(const v1::WatchAvailabilityResponse& message);

  // Forgets a state that broke off. What was complete stays.
  void Interrupt();

  // The complete state, by number.
  const std::map<std::string, v1::Number>& numbers() const { return numbers_; }
  // The latest; empty before the first complete state.
  const std::string& resume_token() const { return resume_token_; }

 private:
  std::map<std::string, v1::Number> numbers_;
  std::map<std::string, v1::Number> coming_;  // a state that is not complete
  bool is_coming_ = false;
  bool has_state_ = false;
  std::string resume_token_;
};

// Nothing but a resume token, and where the state came from: the list is still the same.
bool IsHeartbeat(const v1::WatchAvailabilityResponse& message);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_WATCHED_LIST_H_
