#include "upstream/provider/http_error.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "upstream/provider/error_body.h"
#include "upstream/provider/whose_answer.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr std::string_view kLookFirst =
    " (whether it was done is not known: look before trying again)";

// RetryInfo: as the header says, or else the gateway's own guess.
void SetRetryDelays(absl::Status& status, std::string_view header,
                    std::chrono::system_clock::time_point now) {
  const auto retry_after = ParseRetryAfter(header, now);
  SetRetryDelay(status, retry_after.value_or(kDefaultRetryDelay));
  if (retry_after) {
    AddMetadata(status, std::string(kRetryAfterKey), absl::StrCat(retry_after->count()));
  }
}

// A header that anybody may have written, for errors and logs.
std::string Harmless(std::string_view header) {
  constexpr std::size_t kLongest = 64;
  std::string text(header.substr(0, kLongest));
  for (char& c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

}  // namespace

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
  if (WhoseAnswer(failure.status, failure.body) == Author::kMiddleman) {
    return FromMiddleman(failure, now);
  }
  const UpstreamErrorBody body = DecodeError(failure.body);
  ErrorMetadata metadata = {{"http_status", absl::StrCat(failure.status)}};
  if (!body.id.empty()) metadata["upstream_error_id"] = body.id;
  const std::string message =
      absl::StrCat("the provider answered ", failure.status, " to ", failure.operation,
                   body.message.empty() ? "" : ": ", body.message);
  const auto make = [&](absl::StatusCode code, std::string_view reason,
                        std::string_view hint = "") {
    return MakeError(code, reason, absl::StrCat(message, std::string(hint)), metadata);
  };
  const auto failed = [&] {
    auto status = make(absl::StatusCode::kUnavailable, reason::kUpstreamFailed);
    SetRetryDelays(status, failure.retry_after, now);
    return status;
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
      SetRetryDelays(status, failure.retry_after, now);
      return status;
    }
    default:
      break;
  }
  if (failure.status >= 400 && failure.status < 500) {
    // Of a request that the gateway alone has made, nobody else can be at fault.
    if (!failure.is_write && !failure.has_arguments) return failed();
    return make(absl::StatusCode::kInvalidArgument, reason::kUpstreamRejected);
  }
  if (failure.status >= 500 && failure.status < 600) {
    if (failure.is_write) {
      return make(absl::StatusCode::kAborted, reason::kOutcomeUnknown, kLookFirst);
    }
    return failed();
  }
  return make(absl::StatusCode::kInternal, reason::kUpstreamMalformed);
}

absl::Status FromMiddleman(const HttpFailure& failure, std::chrono::system_clock::time_point now) {
  ErrorMetadata metadata = {{"http_status", absl::StrCat(failure.status)},
                            {std::string(kFromProviderKey), "false"}};
  std::string who;
  for (const auto& [key, word, header] :
       {std::tuple("server", "server", std::string_view(failure.server)),
        std::tuple("via", "via", std::string_view(failure.via)),
        std::tuple("content_type", "content type", std::string_view(failure.content_type))}) {
    if (header.empty()) continue;
    metadata[key] = Harmless(header);
    absl::StrAppend(&who, who.empty() ? "" : "; ", word, ": ", metadata[key]);
  }
  if (failure.body.size() == 0) {
    absl::StrAppend(&who, who.empty() ? "" : "; ",
                    failure.has_unread_body ? "its body comes in an encoding that was not asked for"
                                            : "no body");
  }
  const std::string message = absl::StrCat("the answer ", failure.status, " to ", failure.operation,
                                           " is not the provider's but of something in between",
                                           who.empty() ? "" : " (", who, who.empty() ? "" : ")",
                                           failure.status == 404 ? "; is upstream_url right?" : "");
  if (failure.is_write) {
    if (const auto retry_after = ParseRetryAfter(failure.retry_after, now)) {
      metadata[std::string(kRetryAfterKey)] = absl::StrCat(retry_after->count());
    }
    return MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                     absl::StrCat(message, std::string(kLookFirst)), metadata);
  }
  auto status =
      MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamIntermediary, message, metadata);
  SetRetryDelays(status, failure.retry_after, now);
  return status;
}

}  // namespace leasegateway
