#include "upstream/resilience/circuit_breaker.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include "upstream/resilience/second.h"

namespace leasegateway {
namespace {

// While the probes are out, their answers decide; nobody knows when.
constexpr auto kProbeWait = std::chrono::milliseconds(100);

}  // namespace

void CircuitBreaker::Tally::Add(const Tally& other) {
  successes += other.successes;
  failures += other.failures;
  unreachable += other.unreachable;
  asked |= other.asked;
  failed |= other.failed;
}

CircuitBreaker::State CircuitBreaker::Circuit::state(TimePoint now) const {
  if (closed) return State::kClosed;
  return now < opened + open_for ? State::kOpen : State::kHalfOpen;
}

CircuitBreaker::State CircuitBreaker::provider(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return provider_.state(now);
}

CircuitBreaker::State CircuitBreaker::operation(UpstreamOperation operation, TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return operations_[static_cast<std::size_t>(operation)].state(now);
}

std::optional<CircuitBreaker::Refusal> CircuitBreaker::FindOpen(UpstreamOperation operation,
                                                                TimePoint now) const {
  const std::lock_guard lock(mutex_);
  for (const Circuit* circuit : {&provider_, &operations_[static_cast<std::size_t>(operation)]}) {
    if (circuit->state(now) == State::kOpen) {
      return Refusal{circuit == &provider_, circuit->opened + circuit->open_for - now};
    }
  }
  return std::nullopt;
}

std::optional<CircuitBreaker::Duration> CircuitBreaker::WaitOf(const Circuit& circuit,
                                                               std::size_t resource,
                                                               TimePoint now) const {
  switch (circuit.state(now)) {
    case State::kClosed:
      break;
    case State::kOpen:
      return circuit.opened + circuit.open_for - now;
    case State::kHalfOpen:
      // One number that hangs must not hold every place.
      if (std::ssize(circuit.probing) >= options_.probes ||
          std::find(circuit.probing.begin(), circuit.probing.end(), resource) !=
              circuit.probing.end()) {
        return kProbeWait;
      }
      break;
  }
  return std::nullopt;
}

CircuitBreaker::Permit CircuitBreaker::Ask(UpstreamOperation operation,
                                           std::string_view phone_number, TimePoint now) {
  const auto index = static_cast<std::size_t>(operation);
  const std::string_view name =
      phone_number.empty() ? kUpstreamOperationNames[index] : phone_number;
  const std::size_t resource = std::hash<std::string_view>()(name) % Resources().size();
  const std::lock_guard lock(mutex_);
  Circuit& own = operations_[index];
  for (const Circuit* circuit : {&provider_, &own}) {
    if (const auto wait = WaitOf(*circuit, resource, now)) {
      return {.refusal = Refusal{circuit == &provider_, *wait}};
    }
  }
  for (Circuit* circuit : {&provider_, &own}) {
    if (!circuit->closed) circuit->probing.push_back(resource);
  }
  return {std::nullopt, operation, resource, provider_.period, own.period};
}

void CircuitBreaker::Record(const Permit& permit, Outcome outcome, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const auto index = static_cast<std::size_t>(permit.operation);
  Circuit& own = operations_[index];
  const bool concerns_provider = permit.provider_period == provider_.period;
  const bool concerns_own = permit.operation_period == own.period;
  if (!concerns_provider) outcome = Outcome::kUnknown;
  if (concerns_own) Count(windows_[index], permit.resource, outcome, now);
  const bool bad = outcome == Outcome::kFailure || outcome == Outcome::kUnreachable;
  if (concerns_own) {
    if (!own.closed) {
      EndProbe(own, permit, outcome, now);
    } else if (bad && OperationFails(index, now)) {
      Open(own, now);
    }
  }
  if (concerns_provider) {
    if (!provider_.closed) {
      EndProbe(provider_, permit, outcome, now);
    } else if (bad && ProviderFails(now)) {
      Open(provider_, now);
    }
  }
}

void CircuitBreaker::Count(Window& window, std::size_t resource, Outcome outcome, TimePoint now) {
  if (outcome == Outcome::kUnknown) return;
  const auto second = SecondOf(now);
  Tally& tally = window[static_cast<std::size_t>(second % kSlots)];
  if (tally.second != second) {
    tally = Tally();
    tally.second = second;
  }
  if (outcome == Outcome::kUnreachable) {
    ++tally.unreachable;
    return;
  }
  tally.asked.set(resource);
  if (outcome == Outcome::kSuccess) {
    ++tally.successes;
  } else {
    ++tally.failures;
    tally.failed.set(resource);
  }
}

CircuitBreaker::Tally CircuitBreaker::Sum(const Window& window, TimePoint now) {
  const auto second = SecondOf(now);
  Tally sum;
  for (const Tally& each : window) {
    if (each.second > second - kSlots && each.second <= second) sum.Add(each);
  }
  return sum;
}

bool CircuitBreaker::IsFailing(const Tally& tally) const {
  const std::int64_t all = tally.successes + tally.failures;
  return tally.failures > 0 && tally.failures * 100LL >= all * options_.failure_percent;
}

bool CircuitBreaker::OperationFails(std::size_t operation, TimePoint now) const {
  const Tally sum = Sum(windows_[operation], now);
  const auto failed = sum.failed.count();
  return sum.successes + sum.failures >= options_.min_volume && IsFailing(sum) &&
         failed >= static_cast<std::size_t>(options_.distinct_resources) &&
         failed * 100 >= sum.asked.count() * static_cast<std::size_t>(options_.failure_percent);
}

bool CircuitBreaker::ProviderFails(TimePoint now) const {
  Tally all;
  int failing = 0;
  bool one_works = false;
  for (const Window& window : windows_) {
    const Tally sum = Sum(window, now);
    all.Add(sum);
    if (IsFailing(sum)) {
      ++failing;
    } else if (sum.successes > 0) {
      one_works = true;
    }
  }
  const std::int64_t attempts = all.successes + all.failures + all.unreachable;
  if (attempts < options_.min_volume) return false;
  if (all.unreachable * 100LL >= attempts * options_.failure_percent) return true;
  return failing >= 2 && !one_works &&
         all.failed.count() >= static_cast<std::size_t>(options_.distinct_resources);
}

void CircuitBreaker::EndProbe(Circuit& circuit, const Permit& permit, Outcome outcome,
                              TimePoint now) {
  circuit.probing.erase(std::find(circuit.probing.begin(), circuit.probing.end(), permit.resource));
  switch (outcome) {
    case Outcome::kSuccess:
      ++circuit.succeeded;
      if (circuit.succeeded >= options_.successes || now - circuit.opened >= options_.settled) {
        Close(circuit);
      }
      break;
    case Outcome::kFailure:
      circuit.failed.set(permit.resource);
      if (circuit.failed.count() >= static_cast<std::size_t>(options_.distinct_resources)) {
        Open(circuit, now);
      }
      break;
    case Outcome::kUnreachable:
      if (&circuit == &provider_) Open(circuit, now);
      break;
    case Outcome::kUnknown:
      break;
  }
}

void CircuitBreaker::Open(Circuit& circuit, TimePoint now) {
  circuit.closed = false;
  ++circuit.period;
  circuit.opened = now;
  circuit.open_for = circuit.open_for == Duration(0)
                         ? options_.first_open
                         : std::min<Duration>(circuit.open_for * 2, options_.max_open);
  circuit.probing.clear();
  circuit.succeeded = 0;
  circuit.failed.reset();
}

void CircuitBreaker::Close(Circuit& circuit) {
  circuit.closed = true;
  ++circuit.period;
  circuit.open_for = Duration(0);
  if (&circuit == &provider_) {
    windows_ = {};
  } else {
    windows_[static_cast<std::size_t>(&circuit - operations_.data())] = {};
  }
}

}  // namespace leasegateway
