#include "upstream/postgres/cancel.h"

#include <libpq-fe.h>

#include <array>
#include <atomic>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace leasegateway::postgres {
namespace {

constexpr int kMaxCancels = 8;
std::atomic<int> cancels_running{0};

struct FreeCancel {
  void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};

}  // namespace

void CancelInBackground(pg_conn* connection) {
  std::unique_ptr<PGcancel, FreeCancel> cancel(PQgetCancel(connection));
  if (!cancel) return;
  if (++cancels_running > kMaxCancels) {
    --cancels_running;
    return;
  }
  try {
    std::thread([cancel = std::move(cancel)] {
      std::array<char, 256> message{};
      PQcancel(cancel.get(), message.data(), static_cast<int>(message.size()));
      --cancels_running;
    }).detach();
  } catch (const std::system_error&) {  // no more threads
    --cancels_running;
  }
}

}  // namespace leasegateway::postgres
