#include "service/rpc/search.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/violations.h"
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
                                       After after, std::size_t history_bytes)
    : key_(RandomKey()), state_(std::make_shared<State>()) {
  state_->now = std::move(now);
  state_->after = std::move(after);
  state_->history_bytes = history_bytes;
}

AvailabilitySearch::~AvailabilitySearch() {
  Snapshots gone;  // freed without the lock
  const std::lock_guard lock(state_->mutex);
  gone.swap(state_->snapshots);
  state_->by_id.clear();
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
  if (const Walked* const snapshot = state_->Use(id)) {
    query.numbers = snapshot->numbers;
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
    const std::uint64_t id = query.numbers ? query.id : Keep(numbers);
    rest.set_next_page_token(
        EncodeToken({id, query.fingerprint, next, Sign(id, query.fingerprint, next)}));
  }
  rest.AppendToString(&bytes);
  return bytes;
}

// Null when it isn't there, or was not used for too long. Under the lock.
AvailabilitySearch::Walked* AvailabilitySearch::State::Use(std::uint64_t id) {
  const auto found = by_id.find(id);
  const auto time = now();
  if (found == by_id.end() || time - found->second->used >= kLifetime) return nullptr;
  snapshots.splice(snapshots.begin(), snapshots, found->second);
  snapshots.front().used = time;
  return &snapshots.front();
}

// Under the lock; `gone` is freed without it.
void AvailabilitySearch::State::Drop(Snapshots::iterator snapshot, Snapshots& gone) {
  by_id.erase(snapshot->id);
  gone.splice(gone.begin(), snapshots, snapshot);
}

std::uint64_t AvailabilitySearch::Keep(const std::shared_ptr<const Availability>& numbers) {
  State& state = *state_;
  bool sweep = false, pack = false;
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(state.mutex);
    const auto newest = state.by_id.find(state.newest);
    if (newest != state.by_id.end() && newest->second->numbers == numbers) {
      state.snapshots.splice(state.snapshots.begin(), state.snapshots, newest->second);
      state.snapshots.front().used = state.now();
    } else {
      if (newest != state.by_id.end()) {
        state.replaced.push_back(state.newest);
        pack = !std::exchange(state.packing, true);
      }
      state.snapshots.push_front({++state.newest, numbers, state.now()});
      state.by_id.emplace(state.newest, state.snapshots.begin());
    }
    id = state.newest;
    sweep = !std::exchange(state.sweeping, true);
  }
  if (sweep) ScheduleSweep(state_);
  if (pack) {
    state.after(std::chrono::milliseconds(0), [weak = std::weak_ptr<State>(state_)] {
      if (const auto alive = weak.lock()) Pack(*alive);
    });
  }
  return id;
}

void AvailabilitySearch::Pack(State& state) {
  for (;;) {
    PackReplaced(state);
    Evict(state);
    const std::lock_guard lock(state.mutex);
    state.packing = !state.replaced.empty();
    if (!state.packing) return;
  }
}

void AvailabilitySearch::PackReplaced(State& state) {
  const auto next = [&]() -> std::shared_ptr<const Availability> {
    const std::lock_guard lock(state.mutex);
    for (; !state.replaced.empty(); state.replaced.pop_front()) {
      const auto found = state.by_id.find(state.replaced.front());
      if (found != state.by_id.end()) return found->second->numbers;
    }
    return nullptr;
  };
  while (const auto numbers = next()) {
    std::shared_ptr<const Availability> packed = state.history.Add(*numbers);
    const std::lock_guard lock(state.mutex);
    const auto found = state.by_id.find(state.replaced.front());
    if (found != state.by_id.end()) found->second->numbers.swap(packed);
    state.replaced.pop_front();
  }
}

// One at a time, as what it frees depends on what it shares with others.
void AvailabilitySearch::Evict(State& state) {
  while (state.history.MemoryBytes() > state.history_bytes) {
    Snapshots gone;  // freed without the lock
    const std::lock_guard lock(state.mutex);
    // What the history does not have yet would free nothing there; it comes first.
    if (!state.replaced.empty() || state.snapshots.empty()) return;
    auto last = std::prev(state.snapshots.end());
    if (last->id == state.newest) {
      if (last == state.snapshots.begin()) return;
      --last;
    }
    if (state.now() - last->used < kLifetime) ++state.evicted;
    state.Drop(last, gone);
  }
}

AvailabilitySearch::Stats AvailabilitySearch::stats() const {
  Stats stats;
  stats.bytes = state_->history.MemoryBytes();
  const std::lock_guard lock(state_->mutex);
  stats.snapshots = state_->snapshots.size();
  stats.evicted = state_->evicted;
  for (const std::uint64_t id : state_->replaced) {
    const auto found = state_->by_id.find(id);
    if (found != state_->by_id.end()) stats.bytes += found->second->numbers->MemoryBytes();
  }
  return stats;
}

void AvailabilitySearch::ScheduleSweep(const std::shared_ptr<State>& state) {
  state->after(kLifetime, [weak = std::weak_ptr<State>(state)] {
    if (const auto alive = weak.lock()) Sweep(alive);
  });
}

void AvailabilitySearch::Sweep(const std::shared_ptr<State>& state) {
  Snapshots gone;
  {
    const std::lock_guard lock(state->mutex);
    auto& snapshots = state->snapshots;
    while (!snapshots.empty() && state->now() - snapshots.back().used >= kLifetime) {
      state->Drop(std::prev(snapshots.end()), gone);
    }
    state->sweeping = !snapshots.empty();
    if (!state->sweeping) return;
  }
  ScheduleSweep(state);
}

}  // namespace leasegateway
