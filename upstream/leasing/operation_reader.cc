#include "upstream/leasing/operation_reader.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kListDigestBytes = 9;
constexpr std::size_t kListDigestChars = kListDigestBytes / 3 * 4;

bool MaySee(const CallContext& context, const v1::Operation& operation) {
  return context.sees_all_operations || operation.caller() == context.caller;
}

// In ns since 1970, as far as that goes: a journal has no other times.
std::int64_t Clamped(const google::protobuf::Timestamp& time) {
  constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max() / 1'000'000'000 - 1;
  if (time.seconds() < 0) return 0;
  if (time.seconds() > kLast) return std::numeric_limits<std::int64_t>::max();
  return ToNanos(time);
}

// Tells what is listed from what is not, at the beginning of a token.
std::string DigestOf(const OperationJournal::Query& query) {
  std::string text;
  for (const std::string& part : {query.account, query.phone_number, query.caller.value_or("")}) {
    absl::StrAppend(&text, part.size(), ":", part);
  }
  absl::StrAppend(&text, query.caller.has_value(), ":", query.state ? int{*query.state} : -1, ":",
                  query.kind ? int{*query.kind} : -1, ":", query.start_time, ":", query.end_time);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::WebSafeBase64Escape(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), kListDigestBytes));
}

absl::Status PageTokenError() {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                   "page_token: belongs to a list of another account or with other filters, or is "
                   "none that was given out");
}

}  // namespace

OperationReader::OperationReader(std::shared_ptr<OperationJournal> journal, std::string account)
    : journal_(std::move(journal)), account_(std::move(account)) {}

asio::awaitable<absl::StatusOr<v1::Operation>> OperationReader::Get(CallContext context,
                                                                    std::string request_id) const {
  auto finding = journal_->Find(account_, request_id);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found && MaySee(context, (*found)->entry.operation)) {
    co_return std::move((*found)->entry.operation);
  }
  co_return MakeError(absl::StatusCode::kNotFound, reason::kOperationNotFound,
                      absl::StrCat("request_id: \"", request_id,
                                   "\": the journal has no such "
                                   "purchase or termination"));
}

asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> OperationReader::List(
    CallContext context, v1::ListOperationsRequest request) const {
  v1::ListOperationsResponse response;
  OperationJournal::Query query;
  query.account = account_;
  query.phone_number = request.phone_number();
  if (request.state() != v1::OPERATION_STATE_UNSPECIFIED) query.state = request.state();
  if (request.kind() != v1::OPERATION_KIND_UNSPECIFIED) query.kind = request.kind();
  if (request.has_start_time()) query.start_time = Clamped(request.start_time());
  if (request.has_end_time()) query.end_time = Clamped(request.end_time());
  if (!request.caller().empty()) query.caller = request.caller();
  if (!context.sees_all_operations) {
    // Of another caller's there are none.
    if (query.caller && *query.caller != context.caller) co_return response;
    query.caller = context.caller;
  }
  if (request.page_size() > 0) query.limit = std::min(request.page_size(), 1'000);
  const std::string digest = DigestOf(query);
  if (!request.page_token().empty()) {
    const std::string& token = request.page_token();
    if (!token.starts_with(digest) || token.size() == kListDigestChars) co_return PageTokenError();
    query.after = token.substr(kListDigestChars);
  }
  auto listing = journal_->List(std::move(query));
  auto page = co_await std::move(listing);
  if (!page.ok()) co_return page.status();
  for (auto& operation : page->operations) *response.add_operations() = std::move(operation);
  if (!page->next.empty()) response.set_next_page_token(digest + page->next);
  co_return response;
}

asio::awaitable<absl::Status> OperationReader::CheckUnused(CallContext context,
                                                           std::string fingerprint) const {
  auto finding = journal_->Find(account_, context.request_id);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found &&
      ((*found)->entry.fingerprint != fingerprint || !MaySee(context, (*found)->entry.operation))) {
    co_return RequestIdReusedError(context.request_id);
  }
  co_return absl::OkStatus();
}

}  // namespace leasegateway
