#include "upstream/upstream_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"

namespace leasegateway {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";

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

void AddQuotaViolation(absl::Status& status, std::string_view subject,
                       std::string_view description) {
  google::rpc::QuotaFailure failure;
  auto& violation = *failure.add_violations();
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

std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status) {
  const auto metadata = MetadataOf(status);
  const auto found = metadata.find(std::string(kRetryAfterKey));
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

absl::Status DeadlineError(std::string_view doing) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                   absl::StrCat("the deadline passed while ", std::string(doing)));
}

absl::Status CancelledError(std::string_view doing) {
  return MakeError(absl::StatusCode::kCancelled, reason::kCancelled,
                   absl::StrCat("the caller went away while ", std::string(doing)));
}

}  // namespace leasegateway
