#include "service/search.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/validation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

void AppendInteger(std::uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

std::uint64_t ReadInteger(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string RandomKey() {
  std::string key(32, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size()));
  return key;
}

absl::Status TokenError(std::string_view why_reason, std::string_view rule) {
  return FieldViolation("page_token", why_reason, std::string(rule));
}

}  // namespace

std::uint64_t Fingerprint(const v1::AvailabilityFilter& filter, std::string_view order_by) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    filter.SerializeToCodedStream(&coded);
  }
  AppendInteger(bytes.size(), &bytes);
  bytes += order_by;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

std::string EncodeToken(const std::vector<std::uint64_t>& values) {
  std::string bytes;
  for (const std::uint64_t value : values) AppendInteger(value, &bytes);
  std::string text;
  absl::WebSafeBase64Escape(bytes, &text);
  return text;
}

std::optional<std::vector<std::uint64_t>> DecodeToken(std::string_view text, std::size_t count) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes) ||
      bytes.size() != count * 8) {
    return std::nullopt;
  }
  std::vector<std::uint64_t> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(ReadInteger(std::string_view(bytes).substr(i * 8, 8)));
  }
  // Base64 is lenient: white space, padding, and bits beyond the last byte.
  if (EncodeToken(values) != text) return std::nullopt;
  return values;
}

AvailabilitySearch::AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now,
                                       After after)
    : key_(RandomKey()), state_(std::make_shared<State>()) {
  state_->now = std::move(now);
  state_->after = std::move(after);
}

AvailabilitySearch::~AvailabilitySearch() {
  std::list<Walk> gone;  // freed without the lock
  const std::lock_guard lock(state_->mutex);
  gone.swap(state_->walks);
}

std::uint64_t AvailabilitySearch::Sign(std::uint64_t id, std::uint64_t fingerprint,
                                       std::uint64_t offset) const {
  std::string bytes;
  for (const std::uint64_t value : {id, fingerprint, offset}) AppendInteger(value, &bytes);
  unsigned char digest[EVP_MAX_MD_SIZE];
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest, nullptr);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

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
  const std::lock_guard lock(state_->mutex);
  for (auto walk = state_->walks.begin(); walk != state_->walks.end(); ++walk) {
    if (walk->id != id || state_->now() - walk->used >= kLifetime) continue;
    walk->used = state_->now();
    query.numbers = walk->numbers;
    state_->walks.splice(state_->walks.begin(), state_->walks, walk);
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
    const std::uint64_t id = Keep(numbers);
    rest.set_next_page_token(
        EncodeToken({id, query.fingerprint, next, Sign(id, query.fingerprint, next)}));
  }
  rest.AppendToString(&bytes);
  return bytes;
}

std::uint64_t AvailabilitySearch::Keep(const std::shared_ptr<const Availability>& numbers) {
  bool sweep = false;
  std::uint64_t id = 0;
  std::list<Walk> gone;  // freed without the lock
  {
    const std::lock_guard lock(state_->mutex);
    auto& walks = state_->walks;
    const auto known = std::find_if(walks.begin(), walks.end(),
                                    [&](const Walk& walk) { return walk.numbers == numbers; });
    if (known != walks.end()) {
      walks.splice(walks.begin(), walks, known);
      walks.front().used = state_->now();
    } else {
      walks.push_front({state_->next_id++, numbers, state_->now()});
      if (walks.size() > kMaxWalks) gone.splice(gone.begin(), walks, std::prev(walks.end()));
    }
    id = walks.front().id;
    sweep = !std::exchange(state_->sweeping, true);
  }
  if (sweep) ScheduleSweep(state_);
  return id;
}

void AvailabilitySearch::ScheduleSweep(const std::shared_ptr<State>& state) {
  state->after(kLifetime, [weak = std::weak_ptr<State>(state)] {
    if (const auto alive = weak.lock()) Sweep(alive);
  });
}

void AvailabilitySearch::Sweep(const std::shared_ptr<State>& state) {
  std::list<Walk> gone;
  {
    const std::lock_guard lock(state->mutex);
    while (!state->walks.empty() && state->now() - state->walks.back().used >= kLifetime) {
      gone.splice(gone.begin(), state->walks, std::prev(state->walks.end()));
    }
    state->sweeping = !state->walks.empty();
    if (!state->sweeping) return;
  }
  ScheduleSweep(state);
}

}  // namespace leasegateway
