#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_SEARCH_OPTIONS_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_SEARCH_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/type/money.pb.h"
#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// An exact amount, 0 or more, with its currency (ISO 4217): "5.00 USD", "5.00USD" or "5 usd". At
// most 9 decimals and 2^63-1 units. The error is the rule, without the value.
absl::StatusOr<google::type::Money> ParseMoney(absl::string_view text);

// "0s", "500ms" or "1m30s", of at most 10,000 years, as google.protobuf.Duration allows. The error
// is the rule, without the value.
absl::StatusOr<google::protobuf::Duration> ParseStaleness(absl::string_view text);

// "500ms", "10s" or "1m30s": more than 0 and finite. The error is the rule, without the value.
absl::StatusOr<absl::Duration> ParsePositiveDuration(absl::string_view text);

// For CLI11: what is wrong with a value, or nothing.
std::string CheckNotEmpty(const std::string& value);
std::string CheckMoney(const std::string& value);
std::string CheckPositiveDuration(const std::string& value);

// Which numbers a search is for: an option for every field of AvailabilityFilter. Values are
// checked when they are read, so that an error can name the option.
class SearchOptions {
 public:
  // Whether the highest prices must be given.
  enum class Prices { kOptional, kRequired };

  // `command` keeps pointers into this. Several commands may share it: one of them runs.
  void AddTo(CLI::App& command, Prices prices = Prices::kOptional);

  // What was asked for.
  v1::AvailabilityFilter Filter() const;

 private:
  std::vector<std::string> countries_, regions_, cities_, carriers_, channels_, statuses_;
  std::optional<std::string> intl_sms_, e911_;
  std::optional<double> min_reputation_;
  std::optional<std::int32_t> max_previous_owners_;
  std::optional<std::string> max_monthly_, max_upfront_;
  std::vector<std::string> requirements_;
  bool no_requirements_ = false;
  std::string prefix_, suffix_, contains_, pattern_;
};

// How old an answer may be at most.
class StalenessOption {
 public:
  // As for SearchOptions.
  void AddTo(CLI::App& command);

  // Sets the field of a request, if the option was given.
  template <class Request>
  void ApplyTo(Request& request) const {
    if (text_) *request.mutable_max_staleness() = ParseStaleness(*text_).value();
  }

 private:
  std::optional<std::string> text_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_SEARCH_OPTIONS_H_
