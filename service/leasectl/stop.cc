#include "service/leasectl/stop.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <iterator>
#include <system_error>

namespace leasegateway {

Stop::Stop(absl::Time end) : end_(end) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || wake_ < 0) {
    throw std::system_error(errno, std::generic_category(), "signals");
  }
  thread_ = std::thread([this] { Watch(); });
}

Stop::~Stop() {
  {
    const std::scoped_lock lock(mutex_);
    leave_ = true;
  }
  Wake();
  thread_.join();
  close(signals_);
  close(wake_);
}

void Stop::Attach(grpc::ClientContext& context, absl::Time deadline) {
  {
    const std::scoped_lock lock(mutex_);
    context_ = &context;
    deadline_ = deadline;
    past_deadline_ = false;
    if (stopped_) context.TryCancel();
  }
  Wake();
}

void Stop::LiftDeadline() {
  const std::scoped_lock lock(mutex_);
  deadline_ = absl::InfiniteFuture();
}

void Stop::Detach() {
  const std::scoped_lock lock(mutex_);
  context_ = nullptr;
  deadline_ = absl::InfiniteFuture();
}

void Stop::Sleep(absl::Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(duration), [this] { return stopped_; });
}

bool Stop::IsTime() {
  const std::scoped_lock lock(mutex_);
  return stopped_;
}

bool Stop::IsPastDeadline() {
  const std::scoped_lock lock(mutex_);
  return past_deadline_;
}

void Stop::Watch() {
  // Errors of an output that asks for no events: its reader has gone.
  pollfd files[] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
  for (;;) {
    absl::Duration wait;
    {
      const std::scoped_lock lock(mutex_);
      if (leave_ || stopped_) return;
      wait = std::min(end_, deadline_) - absl::Now();
    }
    // A millisecond more, so that it is time afterwards.
    const absl::Duration polled =
        std::clamp(wait + absl::Milliseconds(1), absl::ZeroDuration(), absl::Hours(1));
    for (pollfd& file : files) file.revents = 0;
    poll(files, std::size(files), static_cast<int>(absl::ToInt64Milliseconds(polled)));
    if (files[1].revents != 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t size = read(wake_, &count, sizeof(count));
    }
    if (files[2].revents & POLLNVAL) files[2].fd = -1;
    const bool unread = (files[2].revents & (POLLERR | POLLHUP)) != 0;
    const absl::Time now = absl::Now();
    const std::scoped_lock lock(mutex_);
    if (files[0].revents != 0 || unread || now >= end_) {
      stopped_ = true;
      changed_.notify_all();
    } else if (now >= deadline_) {
      past_deadline_ = true;
      deadline_ = absl::InfiniteFuture();
    } else {
      continue;
    }
    if (context_ != nullptr) context_->TryCancel();
  }
}

void Stop::Wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t size = write(wake_, &one, sizeof(one));
}

}  // namespace leasegateway
