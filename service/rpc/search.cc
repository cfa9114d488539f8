#include "service/rpc/search.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "service/rpc/token.h"
#include "service/rpc/violations.h"
#include "upstream/availability/order_by.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

std::string RandomKey() {
  std::string key(32, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size()));
  return key;
}

absl::Status TokenError(std::string_view why_reason, std::string_view rule) {
  return FieldViolation("page_token", why_reason, std::string(rule));
}

std::uint64_t Sign(std::string_view key, const std::vector<std::uint64_t>& values) {
  std::string bytes;
  for (const std::uint64_t value : values) AppendInteger(value, &bytes);
  unsigned char digest[EVP_MAX_MD_SIZE];
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest, nullptr);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

// Values and their signature, as text.
std::string EncodeSigned(std::string_view key, std::vector<std::uint64_t> values) {
  values.push_back(Sign(key, values));
  return EncodeToken(values);
}

bool IsSigned(std::string_view key, std::vector<std::uint64_t> values) {
  const std::uint64_t claimed = values.back();
  values.pop_back();
  const std::uint64_t signature = Sign(key, values);
  return CRYPTO_memcmp(&signature, &claimed, sizeof(signature)) == 0;
}

}  // namespace

AvailabilitySearch::AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now,
                                       After after, std::size_t history_bytes, std::string account,
                                       std::function<std::string()> shared_key)
    : account_(std::move(account)),
      key_(RandomKey()),
      shared_key_(std::move(shared_key)),
      walks_(std::make_shared<WalkedSnapshots>(std::move(now), std::move(after), history_bytes)) {}

AvailabilitySearch::~AvailabilitySearch() { walks_->Close(); }

AvailabilitySearch::Stats AvailabilitySearch::stats() const { return walks_->stats(); }

absl::StatusOr<AvailabilitySearch::Query> AvailabilitySearch::Prepare(
    v1::ListAvailableNumbersRequest request) {
  auto order = ParseOrderBy(request.order_by());
  if (!order.ok()) return order.status();
  Query query;
  query.order = *std::move(order);
  query.page_size = static_cast<std::size_t>(std::min(request.page_size(), kMaxPageSize));
  query.fingerprint = Fingerprint(request.filter(), request.order_by(), account_);
  query.filter.Swap(request.mutable_filter());
  if (request.page_token().empty()) return query;
  absl::Status status = ReadToken(request.page_token(), &query);
  if (!status.ok()) return status;
  return query;
}

absl::Status AvailabilitySearch::ReadToken(std::string_view token, Query* query) {
  // An entry of the log: its id, its number, the fingerprint, the offset; or a snapshot's id and
  // the latter two.
  auto values = DecodeToken(token, 5);
  const bool is_shared = values && shared_key_;
  if (!is_shared) values = DecodeToken(token, 4);
  if (!values) return TokenError(reason::kInvalidPageToken, "is not a page token");
  const std::string shared_key = is_shared ? shared_key_() : std::string();
  if (is_shared && shared_key.empty()) return Expired();
  if (!IsSigned(is_shared ? shared_key : key_, *values)) {
    return TokenError(reason::kInvalidPageToken,
                      "is not of this gateway, or of one that was stopped since");
  }
  const std::size_t rest = is_shared ? 2 : 1;
  if ((*values)[rest] != query->fingerprint) {
    return TokenError(reason::kInvalidPageToken,
                      "belongs to another account, filter or order_by; all must stay the same");
  }
  query->offset = (*values)[rest + 1];
  if (is_shared) {
    LoggedState entry;
    entry.log = (*values)[0];
    entry.sequence = (*values)[1];
    query->entry = entry;
    query->id = walks_->Find(entry.log, entry.sequence);
  } else {
    query->id = (*values)[0];
  }
  query->numbers = walks_->Use(query->id);
  return query->numbers || query->entry ? absl::OkStatus() : Expired();
}

absl::Status AvailabilitySearch::Expired() {
  return TokenError(reason::kPageTokenExpired,
                    "is too old: the list as it was is gone; begin again without a token");
}

void AvailabilitySearch::Continue(Query* query,
                                  const std::shared_ptr<const Availability>& numbers) {
  query->numbers = numbers;
  query->id = walks_->Keep(numbers);
  walks_->Name(query->id, query->entry->log, query->entry->sequence);
}

std::string AvailabilitySearch::Answer(const Query& query,
                                       const std::shared_ptr<const Availability>& numbers,
                                       std::optional<LoggedState> entry) {
  const std::size_t limit = query.page_size == 0 ? numbers->size() : query.page_size;
  const Availability::Page page = numbers->Search(query.filter, query.order, query.offset, limit);
  std::string bytes;
  numbers->AppendNumbers(page.rows, &bytes);
  // What follows the numbers; a message may be put together from parts.
  v1::ListAvailableNumbersResponse rest;
  rest.set_total_size(static_cast<int>(page.total));
  *rest.mutable_metadata() = numbers->metadata();
  const std::uint64_t next = query.offset + page.rows.size();
  if (next < page.total) {
    const std::uint64_t id = query.numbers ? query.id : walks_->Keep(numbers);
    const std::string shared_key = entry && shared_key_ ? shared_key_() : std::string();
    if (shared_key.empty()) {
      rest.set_next_page_token(EncodeSigned(key_, {id, query.fingerprint, next}));
    } else {
      if (!query.numbers) walks_->Name(id, entry->log, entry->sequence);
      rest.set_next_page_token(
          EncodeSigned(shared_key, {entry->log, entry->sequence, query.fingerprint, next}));
    }
  }
  rest.AppendToString(&bytes);
  return bytes;
}

}  // namespace leasegateway
