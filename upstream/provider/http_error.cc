#include "upstream/provider/http_error.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "upstream/provider/error_body.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

std::optional<std::chrono::milliseconds> ParseRetryAfter(
    std::string_view value, std::chrono::system_clock::time_point now) {
  constexpr std::int64_t kMaxSeconds = 3600;
  const absl::string_view text(value.data(), value.size());
  if (!text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos) {
    std::int64_t seconds = 0;
    if (!absl::SimpleAtoi(text, &seconds)) seconds = kMaxSeconds;  // more digits than fit
    return std::chrono::seconds(std::min(seconds, kMaxSeconds));
  }
  absl::Time time;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, &time, nullptr)) return std::nullopt;
  const absl::Duration wait = time - absl::FromChrono(now);
  return absl::ToChronoMilliseconds(
      std::clamp(wait, absl::ZeroDuration(), absl::Seconds(kMaxSeconds)));
}

// Long, because it is a table.
absl::Status FromHttp(const HttpFailure& failure, std::chrono::system_clock::time_point now) {
  const UpstreamErrorBody body = DecodeError(failure.body);
  ErrorMetadata metadata = {{"http_status", absl::StrCat(failure.status)}};
  if (!body.id.empty()) metadata["upstream_error_id"] = body.id;
  if (!body.recognized) metadata[std::string(kFromProviderKey)] = "false";
  const std::string message =
      absl::StrCat("the provider answered ", failure.status, " to ", failure.operation,
                   body.message.empty() ? "" : ": ", body.message);
  const auto make = [&](absl::StatusCode code, std::string_view reason,
                        std::string_view hint = "") {
    return MakeError(code, reason, absl::StrCat(message, std::string(hint)), metadata);
  };
  const auto set_retry_delay = [&](absl::Status& status) {
    const auto retry_after = ParseRetryAfter(failure.retry_after, now);
    SetRetryDelay(status, retry_after.value_or(kDefaultRetryDelay));
    if (retry_after)
      AddMetadata(status, std::string(kRetryAfterKey), absl::StrCat(retry_after->count()));
  };

  switch (failure.status) {
    case 401: {
      auto status =
          make(absl::StatusCode::kFailedPrecondition, reason::kUpstreamCredentialsRejected,
               " (the gateway's own API key was refused)");
      AddPrecondition(status, "UPSTREAM_CREDENTIALS", "api key",
                      "The operator of the gateway must give it a valid API key.");
      return status;
    }
    case 403: {
      if (body.agreement_url.empty()) {
        return make(absl::StatusCode::kPermissionDenied, reason::kUpstreamForbidden);
      }
      auto status = make(absl::StatusCode::kFailedPrecondition, reason::kAgreementRequired);
      AddPrecondition(status, "AGREEMENT", "account",
                      "The account must accept an agreement with the provider first.");
      AddHelp(status, "The agreement to accept", body.agreement_url);
      return status;
    }
    case 404:
      return make(absl::StatusCode::kNotFound, reason::kNumberNotFound);
    case 429: {
      auto status = make(absl::StatusCode::kResourceExhausted, reason::kUpstreamRateLimited);
      set_retry_delay(status);
      return status;
    }
    default:
      break;
  }
  if (failure.status >= 400 && failure.status < 500) {
    return make(absl::StatusCode::kInvalidArgument, reason::kUpstreamRejected);
  }
  if (failure.status >= 500 && failure.status < 600) {
    if (failure.is_write) {
      return make(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                  " (whether it was done is not known: look before trying again)");
    }
    auto status = make(absl::StatusCode::kUnavailable, reason::kUpstreamFailed);
    set_retry_delay(status);
    return status;
  }
  return make(absl::StatusCode::kInternal, reason::kUpstreamMalformed);
}

}  // namespace leasegateway
