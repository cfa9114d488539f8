#include "service/leasectl/watched_list.h"

#include <utility>

#include "google/protobuf/util/message_differencer.h"

namespace leasegateway {
namespace {

using Change = WatchedList::Change;

void Put(const v1::Number& number, std::map<std::string, v1::Number>& numbers,
         std::vector<Change>& changes) {
  const auto [place, is_new] = numbers.try_emplace(number.phone_number(), number);
  if (is_new) {
    changes.push_back({Change::Kind::kAdded, number});
  } else if (!google::protobuf::util::MessageDifferencer::Equals(place->second, number)) {
    place->second = number;
    changes.push_back({Change::Kind::kChanged, number});
  }
}

}  // namespace

WatchedList::Step WatchedList::Apply(const v1::WatchAvailabilityResponse& message) {
  Step step;
  if (message.reset()) {
    coming_.clear();
    is_coming_ = true;
  }
  std::vector<Change> unused;
  auto& numbers = is_coming_ ? coming_ : numbers_;
  auto& changes = is_coming_ ? unused : step.changes;
  for (const v1::Number& number : message.added()) Put(number, numbers, changes);
  for (const v1::Number& number : message.changed()) Put(number, numbers, changes);
  for (const std::string& removed : message.removed()) {
    auto node = numbers.extract(removed);
    if (!node.empty()) changes.push_back({Change::Kind::kRemoved, std::move(node.mapped())});
  }
  if (message.resume_token().empty()) return step;
  resume_token_ = message.resume_token();
  if (!is_coming_) return step;

  step.is_state = true;
  if (has_state_) {
    for (auto& [name, number] : numbers_) {
      if (coming_.count(name) == 0) {
        step.changes.push_back({Change::Kind::kRemoved, std::move(number)});
      }
    }
    for (const auto& [name, number] : coming_) Put(number, numbers_, step.changes);
  }
  numbers_ = std::move(coming_);
  coming_.clear();
  is_coming_ = false;
  has_state_ = true;
  return step;
}

void WatchedList::Interrupt() {
  coming_.clear();
  is_coming_ = false;
}

bool IsHeartbeat(const v1::WatchAvailabilityResponse& message) {
  return !message.reset() && message.added().empty() && message.changed().empty() &&
         message.removed().empty();
}

}  // namespace leasegateway
