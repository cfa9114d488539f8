#include "upstream/upstream_error.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/json_codec.h"

namespace leasegateway {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";
constexpr char kRetryAfterKey[] = "retry_after_ms";
constexpr auto kDefaultRetryDelay = std::chrono::milliseconds(1000);

template <typename Detail>
std::string TypeUrl() {
  return absl::StrCat(kTypePrefix, Detail::descriptor()->full_name());
}

template <typename Detail>
std::optional<Detail> GetDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl<Detail>());
  Detail detail;
  if (!payload || !detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

template <typename Detail>
void SetDetail(absl::Status& status, const Detail& detail) {
  status.SetPayload(TypeUrl<Detail>(), absl::Cord(detail.SerializeAsString()));
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       const ErrorMetadata& metadata) {
  absl::Status status(code, absl::string_view(message.data(), message.size()));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kErrorDomain));
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  SetDetail(status, info);
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetDetail<google::rpc::ErrorInfo>(status);
  return info ? info->reason() : std::string();
}

ErrorMetadata MetadataOf(const absl::Status& status) {
  const auto info = GetDetail<google::rpc::ErrorInfo>(status);
  if (!info) return {};
  return ErrorMetadata(info->metadata().begin(), info->metadata().end());
}

void AddMetadata(absl::Status& status, const std::string& key, const std::string& value) {
  auto info = GetDetail<google::rpc::ErrorInfo>(status).value_or(google::rpc::ErrorInfo());
  (*info.mutable_metadata())[key] = value;
  SetDetail(status, info);
}

void AppendToMessage(absl::Status& status, std::string_view text) {
  absl::Status longer(status.code(), absl::StrCat(status.message(), std::string(text)));
  status.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { longer.SetPayload(type, payload); });
  status = std::move(longer);
}

void AddPrecondition(absl::Status& status, std::string_view type, std::string_view subject,
                     std::string_view description) {
  google::rpc::PreconditionFailure failure;
  auto& violation = *failure.add_violations();
  violation.set_type(std::string(type));
  violation.set_subject(std::string(subject));
  violation.set_description(std::string(description));
  SetDetail(status, failure);
}

void AddHelp(absl::Status& status, std::string_view description, std::string_view url) {
  google::rpc::Help help;
  auto& link = *help.add_links();
  link.set_description(std::string(description));
  link.set_url(std::string(url));
  SetDetail(status, help);
}

void SetRetryDelay(absl::Status& status, std::chrono::milliseconds delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int>(delay.count() % 1000) * 1'000'000);
  SetDetail(status, info);
}

std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status) {
  const auto info = GetDetail<google::rpc::RetryInfo>(status);
  if (!info) return std::nullopt;
  return std::chrono::milliseconds(info->retry_delay().seconds() * 1000 +
                                   info->retry_delay().nanos() / 1'000'000);
}

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
    if (retry_after) AddMetadata(status, kRetryAfterKey, absl::StrCat(retry_after->count()));
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

std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status) {
  const auto metadata = MetadataOf(status);
  const auto found = metadata.find(kRetryAfterKey);
  std::int64_t value = 0;
  if (found == metadata.end() || !absl::SimpleAtoi(found->second, &value)) return std::nullopt;
  return std::chrono::milliseconds(value);
}

absl::Status FromTransport(std::string_view operation, std::string_view cause, std::string_view why,
                           RequestState state, bool is_write) {
  const ErrorMetadata metadata = {
      {"request_sent", state == RequestState::kNotSent ? "false" : "true"}};
  if (is_write && state != RequestState::kNotSent) {
    return MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                     absl::StrCat(std::string(operation), " got no answer: ", std::string(cause),
                                  " (whether it was done is not known: look before trying again)"),
                     metadata);
  }
  auto status =
      MakeError(absl::StatusCode::kUnavailable, why,
                absl::StrCat(std::string(operation), " failed: ", std::string(cause)), metadata);
  SetRetryDelay(status, kDefaultRetryDelay);
  return status;
}

}  // namespace leasegateway
