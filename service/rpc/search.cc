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

}  // namespace

std::uint64_t AvailabilitySearch::Sign(std::uint64_t id, std::uint64_t fingerprint,
                                       std::uint64_t offset) const {
  std::string bytes;
  for (const std::uint64_t value : {id, fingerprint, offset}) AppendInteger(value, &bytes);
  unsigned char digest[EVP_MAX_MD_SIZE];
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest, nullptr);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

AvailabilitySearch::AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now,
                                       After after, std::size_t history_bytes)
    : key_(RandomKey()),
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
  query.fingerprint = Fingerprint(request.filter(), request.order_by());
  query.filter.Swap(request.mutable_filter());
  if (request.page_token().empty()) return query;

  const auto values = DecodeToken(request.page_token(), 4);
  if (!values) return TokenError(reason::kInvalidPageToken, "is not a page token");
  const std::uint64_t id = (*values)[0], fingerprint = (*values)[1], offset = (*values)[2];
  const std::uint64_t signature = Sign(id, fingerprint, offset);
  if (CRYPTO_memcmp(&signature, &(*values)[3], sizeof(signature)) != 0) {
    return TokenError(reason::kInvalidPageToken,
                      "is not of this gateway, or of one that was stopped since");
  }
  if (fingerprint != query.fingerprint) {
    return TokenError(reason::kInvalidPageToken,
                      "belongs to another filter or order_by; both must stay the same");
  }
  query.offset = offset;
  if (auto numbers = walks_->Use(id)) {
    query.numbers = std::move(numbers);
    query.id = id;
    return query;
  }
  return TokenError(reason::kPageTokenExpired,
                    "is too old: the list as it was is gone; begin again without a token");
}

std::string AvailabilitySearch::Answer(const Query& query,
                                       const std::shared_ptr<const Availability>& numbers) {
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
    rest.set_next_page_token(
        EncodeToken({id, query.fingerprint, next, Sign(id, query.fingerprint, next)}));
  }
  rest.AppendToString(&bytes);
  return bytes;
}

}  // namespace leasegateway
