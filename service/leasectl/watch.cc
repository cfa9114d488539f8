#include "service/leasectl/watch.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/leasectl/print.h"
#include "service/leasectl/search_options.h"
#include "service/leasectl/stop.h"
#include "service/leasectl/table.h"
#include "service/leasectl/token_file.h"
#include "service/leasectl/watched_list.h"

namespace leasegateway {
namespace {

using Change = WatchedList::Change;

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(500);
constexpr absl::Duration kLongestBackoff = absl::Seconds(10);
// Longer than the least that gateways allow between pings.
constexpr absl::Duration kSilence = absl::Seconds(30);

std::string CheckCount(const std::string& value) {
  std::int64_t count = 0;
  if (absl::SimpleAtoi(value, &count) && count > 0) return "";
  return absl::StrCat("\"", value, "\" must be a whole number from 1");
}

std::string Padded(const std::string& text, int width) {
  const std::string harmless = Harmless(text.empty() ? "-" : text);
  const int missing = std::max(0, width - DisplayWidth(harmless));
  return harmless + std::string(static_cast<std::size_t>(missing), ' ');
}

// The words of a line; columns are as wide as nearly all values need, because those to come are not
// known yet.
std::string Line(const std::string& time, const std::string& word, Color color, bool colored,
                 const v1::Number& number) {
  const std::string price = Monthly(number.pricing());
  return absl::StrCat(time, "  ", Painted(Padded(word, 7), color, colored), "  ",
                      Padded(number.phone_number(), 16), "  ", Padded(Place(number.location()), 24),
                      "  ", price.empty() ? "-" : Harmless(price), "\n");
}

// One watch over all its connections.
class Watcher {
 public:
  Watcher(const GlobalOptions& global, const WatchOptions& options,
          const v1::AvailabilityFilter& filter)
      : global_(global), options_(options), colored_(IsColored(global)), token_(global.token_file) {
    request_.set_account(global.account);
    if (filter.ByteSizeLong() > 0) *request_.mutable_filter() = filter;
    if (options.count && !absl::SimpleAtoi(*options.count, &left_)) left_ = 0;
  }

  ExitCode Run() {
    Stop stop(options_.duration ? absl::Now() + ParsePositiveDuration(*options_.duration).value()
                                : absl::InfiniteFuture());
    const std::shared_ptr<grpc::Channel> channel = MakeChannel(global_, kSilence);
    if (channel == nullptr) return kLocalFailure;
    v1::LeaseService::Stub stub(channel);
    absl::Duration backoff = kFirstBackoff;
    for (;;) {
      bool got_message = false;
      const grpc::Status status = Attempt(stub, stop, got_message);
      if (end_) return *end_;
      if (stop.IsTime()) return kDone;
      list_.Interrupt();
      if (got_message) backoff = kFirstBackoff;
      CallFacts facts;
      facts.target = global_.target;
      facts.connected = got_message || channel->GetState(false) == GRPC_CHANNEL_READY;
      // A gateway that stops cancels the calls that arrive at that very moment.
      const bool gone = status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                        status.error_code() == grpc::StatusCode::CANCELLED;
      // Before the first state it is more likely that --target is wrong.
      if (!gone || list_.resume_token().empty()) {
        const Failure failure = Explain(status, facts);
        PrintError(failure.text);
        return failure.exit_code;
      }
      PrintError(absl::StrCat("leasectl: ", CodeName(status.error_code()),
                              status.error_message().empty() ? "" : ": ",
                              Harmless(status.error_message()), "; watching again in ",
                              absl::FormatDuration(backoff), "\n"));
      stop.Sleep(backoff);
      if (stop.IsTime()) return kDone;
      backoff = std::min(2 * backoff, kLongestBackoff);
    }
  }

 private:
  // Watches until the call ends; `end_` is set when that is the end of all.
  grpc::Status Attempt(v1::LeaseService::Stub& stub, Stop& stop, bool& got_message) {
    grpc::ClientContext context;
    context.set_wait_for_ready(false);
    end_ = AddToken(token_, context);
    if (end_) return grpc::Status::CANCELLED;
    // Only the first state comes without delay: after it the next message may be a heartbeat.
    const bool first = list_.resume_token().empty();
    stop.Attach(context, first ? absl::Now() + Timeout(global_) : absl::InfiniteFuture());
    request_.set_resume_token(list_.resume_token());
    const auto reader = stub.WatchAvailability(&context, request_);
    v1::WatchAvailabilityResponse message;
    while (reader->Read(&message)) {
      if (!got_message) {
        got_message = true;
        stop.LiftDeadline();
        PrintCacheStatus(global_, context);
      }
      end_ = Handle(message);
      if (end_) {
        context.TryCancel();
        break;
      }
    }
    const grpc::Status status = reader->Finish();
    stop.Detach();
    if (stop.IsPastDeadline()) {
      return {grpc::StatusCode::DEADLINE_EXCEEDED, "no state within --timeout"};
    }
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the gateway ended the watch")
                       : status;
  }

  // Prints a message. An exit code is the end.
  std::optional<ExitCode> Handle(const v1::WatchAvailabilityResponse& message) {
    const WatchedList::Step step = list_.Apply(message);
    std::string output;
    if (IsHeartbeat(message) && !step.is_state) {
      if (global_.verbose) PrintError("heartbeat\n");
      if (global_.json && global_.verbose) output = OneLine(message);
    } else if (global_.json) {
      output = OneLine(message);
    } else {
      output = Lines(message, step);
    }
    PrintAge(global_, message.metadata());
    left_ -= std::min(left_, static_cast<std::int64_t>(step.changes.size()));
    if (!output.empty()) {
      const ExitCode printed = PrintOutput(output);
      // Also when nobody reads any more, which is no failure.
      if (printed != kDone || std::ferror(stdout)) return printed;
    }
    if (failed_) return kOther;
    return left_ == 0 ? std::optional<ExitCode>(kDone) : std::nullopt;
  }

  std::string OneLine(const v1::WatchAvailabilityResponse& message) {
    const std::optional<std::string> json = ToJson(message, JsonLayout::kOneLine);
    failed_ = !json;
    return json ? *json + "\n" : "";
  }

  std::string Lines(const v1::WatchAvailabilityResponse& message, const WatchedList::Step& step) {
    const absl::Time time =
        message.metadata().has_fetch_time() ? TimeOf(message.metadata().fetch_time()) : absl::Now();
    const std::string when = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
    std::string lines;
    if (step.is_state) {
      const std::size_t size = list_.numbers().size();
      absl::StrAppend(&lines, when, "  ", Padded("state", 7), "  ", size,
                      size == 1 ? " number" : " numbers", "\n");
      if (options_.state) {
        for (const auto& [name, number] : list_.numbers()) {
          lines += Line(when, "state", Color::kNone, colored_, number);
        }
      }
    }
    std::int64_t left = left_;
    for (const Change& change : step.changes) {
      if (left-- == 0) break;
      switch (change.kind) {
        case Change::Kind::kAdded:
          lines += Line(when, "added", Color::kGreen, colored_, change.number);
          break;
        case Change::Kind::kChanged:
          lines += Line(when, "changed", Color::kYellow, colored_, change.number);
          break;
        case Change::Kind::kRemoved:
          lines += Line(when, "removed", Color::kRed, colored_, change.number);
          break;
      }
    }
    return lines;
  }

  const GlobalOptions& global_;
  const WatchOptions& options_;
  const bool colored_;
  TokenFile token_;
  v1::WatchAvailabilityRequest request_;
  WatchedList list_;
  std::int64_t left_ = std::numeric_limits<std::int64_t>::max();  // changes
  bool failed_ = false;
  std::optional<ExitCode> end_;
};

}  // namespace

void WatchOptions::AddTo(CLI::App& command) {
  command.add_flag("--state", state, "Print every number of the state, not only how many");
  command.add_option("--count", count, "End after so many changes")
      ->type_name("COUNT")
      ->check(CheckCount, "");
  command.add_option("--for", duration, "End after that time")
      ->type_name("DURATION")
      ->check(CheckPositiveDuration, "");
}

ExitCode Watch(const GlobalOptions& global, const WatchOptions& options,
               const v1::AvailabilityFilter& filter) {
  return Watcher(global, options, filter).Run();
}

}  // namespace leasegateway
