#include "service/process/signals.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include "service/process/logging.h"

namespace leasegateway {

Signals::Signals() {
  sigemptyset(&signals_);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void Signals::WaitForStop() const {
  for (;;) {
    int signal = 0;
    if (sigwait(&signals_, &signal) != 0) continue;
    switch (signal) {
      case SIGUSR1:
        MoreVerbose();
        break;
      case SIGUSR2:
        LessVerbose();
        break;
      default:
        spdlog::info("stopping on signal {}", signal);
        return;
    }
  }
}

}  // namespace leasegateway
