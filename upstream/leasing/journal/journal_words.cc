#include "upstream/leasing/journal/journal_words.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace {

constexpr int kMaxPage = 1'000;

}  // namespace

bool IsSettled(v1::OperationState state) {
  return state == v1::OPERATION_STATE_SUCCEEDED || state == v1::OPERATION_STATE_FAILED;
}

std::int64_t ToNanos(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000'000 + time.nanos();
}

std::int64_t ToNanos(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::chrono::system_clock::time_point FromNanos(std::int64_t nanos) {
  using Time = std::chrono::system_clock::time_point;
  return Time(std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds(nanos)));
}

void SetNanos(std::int64_t nanos, google::protobuf::Timestamp& time) {
  const std::int64_t part = ((nanos % 1'000'000'000) + 1'000'000'000) % 1'000'000'000;
  time.set_nanos(static_cast<int>(part));
  time.set_seconds((nanos - part) / 1'000'000'000);
}

std::string EncodePosition(const ListPosition& position) {
  return absl::WebSafeBase64Escape(absl::StrCat(position.create_time, ":", position.request_id));
}

absl::StatusOr<ListPosition> DecodePosition(const std::string& text) {
  ListPosition position;
  if (text.empty()) return position;
  std::string plain;
  if (absl::WebSafeBase64Unescape(text, &plain)) {
    const auto colon = plain.find(':');
    if (colon != std::string::npos && colon + 1 < plain.size() &&
        absl::SimpleAtoi(plain.substr(0, colon), &position.create_time)) {
      position.request_id = plain.substr(colon + 1);
      if (EncodePosition(position) == text) return position;
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                   "the position in the list of operations is none that the journal gave out");
}

absl::StatusOr<ListPosition> StartOf(const OperationJournal::Query& query) {
  auto position = DecodePosition(query.after);
  if (!position.ok() || position->create_time < query.end_time) return position;
  if (query.end_time == std::numeric_limits<std::int64_t>::max()) return position;
  return ListPosition{query.end_time, ""};
}

int PageLimit(int asked) { return std::clamp(asked, 1, kMaxPage); }

absl::Status JournalError(std::string_view message, std::string_view advice) {
  auto status =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, message);
  AddPrecondition(status, "JOURNAL", "operation journal", advice);
  return status;
}

absl::Status NoSuchOperation() {
  return MakeError(absl::StatusCode::kNotFound, reason::kInternal,
                   "the operation journal has no such operation");
}

}  // namespace leasegateway
