#include "upstream/postgres/resolve.h"

#include <netdb.h>

#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/wakeup.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;
using Addresses = absl::StatusOr<std::vector<std::string>>;

// Threads that look up; one that hangs stays.
constexpr int kMaxLookUps = 8;
std::atomic<int> look_ups_running{0};

// What the thread and the coroutine share. The coroutine's frame may go first, with its io_context;
// from then on the thread must not post to it.
struct SharedLookUp {
  std::mutex mutex;  // guards all below
  std::shared_ptr<Wakeup> waiter;
  std::optional<Addresses> found;

  bool has_found() {
    const std::lock_guard lock(mutex);
    return found.has_value();
  }
};

class LookUpGuard {
 public:
  explicit LookUpGuard(std::shared_ptr<SharedLookUp> shared) : shared_(std::move(shared)) {}
  ~LookUpGuard() {
    const std::lock_guard lock(shared_->mutex);
    shared_->waiter.reset();
  }
  LookUpGuard(const LookUpGuard&) = delete;
  LookUpGuard& operator=(const LookUpGuard&) = delete;

 private:
  std::shared_ptr<SharedLookUp> shared_;
};

void RunLookUp(const std::shared_ptr<SharedLookUp>& shared, const std::string& host,
               const LookUp& look_up) {
  auto found = look_up(host);
  {
    const std::lock_guard lock(shared->mutex);
    shared->found = std::move(found);
    if (shared->waiter) Wakeup::Wake(std::move(shared->waiter));
  }
  --look_ups_running;
}

absl::Status StartLookUp(std::shared_ptr<SharedLookUp> shared, std::string host, LookUp look_up) {
  if (++look_ups_running > kMaxLookUps) {
    --look_ups_running;
    return absl::UnavailableError("the resolver answers nothing");
  }
  try {
    std::thread([shared = std::move(shared), host = std::move(host), look_up = std::move(look_up)] {
      RunLookUp(shared, host, look_up);
    }).detach();
  } catch (const std::system_error& error) {
    --look_ups_running;
    return absl::UnavailableError(absl::StrCat("no thread: ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

Addresses LookUpWithSystem(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return absl::UnavailableError(gai_strerror(error));
  }
  std::vector<std::string> addresses;
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (one->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), one->ai_addr, one->ai_addrlen);
    endpoint.resize(one->ai_addrlen);
    addresses.push_back(endpoint.address().to_string());
  }
  freeaddrinfo(found);
  return addresses;
}

asio::awaitable<Addresses> Resolve(std::string host, std::chrono::steady_clock::time_point deadline,
                                   LookUp look_up, std::shared_ptr<Haste> haste) {
  boost::system::error_code no_address;
  asio::ip::make_address(host, no_address);
  if (!no_address) co_return std::vector<std::string>{host};
  const auto executor = co_await asio::this_coro::executor;
  auto shared = std::make_shared<SharedLookUp>();
  auto waiter = std::make_shared<Wakeup>(executor);
  shared->waiter = waiter;
  const LookUpGuard guard(shared);
  if (auto status = StartLookUp(shared, host, std::move(look_up)); !status.ok()) co_return status;
  const Haste::Waiter hastened(haste, waiter);
  const auto begun = std::chrono::steady_clock::now();
  while (!shared->has_found() && std::chrono::steady_clock::now() < haste->Limit(begun, deadline)) {
    co_await waiter->WaitUntil(haste->Limit(begun, deadline));
  }
  const std::lock_guard lock(shared->mutex);
  if (!shared->found) {
    co_return absl::UnavailableError(absl::StrCat("looking up ", host, " takes too long"));
  }
  if (!shared->found->ok()) {
    co_return absl::UnavailableError(
        absl::StrCat("looking up ", host, ": ", shared->found->status().message()));
  }
  co_return *std::move(shared->found);
}

}  // namespace leasegateway::postgres
