#ifndef LEASE_GATEWAY_SERVICE_PROCESS_SIGNALS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_SIGNALS_H_

#include <signal.h>

namespace leasegateway {

// The signals that people and the platform send: SIGTERM and SIGINT to stop, SIGUSR1 and SIGUSR2
// for a log level more and less. Made before the first thread starts, so that every thread inherits
// that they are blocked.
class Signals {
 public:
  // Ignores SIGPIPE besides.
  Signals();

  // Handles signals until one asks to stop, which is logged.
  void WaitForStop() const;

 private:
  sigset_t signals_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_SIGNALS_H_
