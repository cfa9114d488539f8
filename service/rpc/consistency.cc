#include "service/rpc/consistency.h"

#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "service/rpc/token.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

using std::chrono::milliseconds;

namespace {

// By which replicas' clocks may differ.
constexpr milliseconds kClockMargin{2'000};
// The last moment of a token, in milliseconds since 1970: nothing overflows.
constexpr std::uint64_t kLatest = std::uint64_t{1} << 42;

std::uint64_t MillisecondsOf(const Consistency& consistency) {
  const auto given = consistency.given.time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::floor<milliseconds>(given).count());
}

// It keeps out what is garbled and what is another account's, not who would forge it: they could
// ask the provider as well.
std::uint64_t ChecksumOf(const Consistency& consistency, std::string_view account) {
  std::string bytes = "consistency 2 ";
  AppendInteger(consistency.seen.origin, &bytes);
  AppendInteger(consistency.seen.count, &bytes);
  AppendInteger(MillisecondsOf(consistency), &bytes);
  bytes += account;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

}  // namespace

std::string EncodeConsistency(const Consistency& consistency, std::string_view account) {
  return EncodeToken({consistency.seen.origin, consistency.seen.count, MillisecondsOf(consistency),
                      ChecksumOf(consistency, account)});
}

absl::StatusOr<Consistency> DecodeConsistency(std::string_view token, std::string_view account) {
  const auto values = DecodeToken(token, 4);
  Consistency consistency;
  if (values) {
    consistency.seen.origin = (*values)[0];
    consistency.seen.count = (*values)[1];
    consistency.given = std::chrono::system_clock::time_point(
        milliseconds(std::min<std::uint64_t>((*values)[2], kLatest)));
  }
  if (!values || (*values)[3] != ChecksumOf(consistency, account)) {
    return FieldViolation("consistency_token", reason::kInvalidConsistencyToken,
                          "is not of this account, or was changed on its way");
  }
  return consistency;
}

absl::StatusOr<std::optional<Consistency>> ConsistencyOf(const grpc::ServerContextBase& context,
                                                         std::string_view field,
                                                         std::string_view account) {
  std::string_view token = field;
  if (token.empty()) {
    const auto& metadata = context.client_metadata();
    const auto found = metadata.find(kConsistencyMetadata);
    if (found != metadata.end()) token = {found->second.data(), found->second.size()};
  }
  if (token.empty()) return std::nullopt;
  auto consistency = DecodeConsistency(token, account);
  if (!consistency.ok()) return consistency.status();
  return std::optional<Consistency>(*consistency);
}

milliseconds StalenessSince(std::chrono::system_clock::time_point given,
                            std::chrono::system_clock::time_point now, milliseconds asked) {
  const auto since = std::chrono::floor<milliseconds>(now - given) - kClockMargin;
  return std::clamp(since, milliseconds(0), std::max(asked, milliseconds(0)));
}

asio::awaitable<Consistency> ConsistencyNow(
    CachedAccount& account, std::optional<std::chrono::system_clock::time_point> settled_at,
    std::chrono::steady_clock::time_point deadline) {
  Consistency consistency;
  if (settled_at && account.is_shared()) {
    consistency.given = *settled_at;
    co_return consistency;
  }
  auto seeing = account.SeenNow(deadline);
  consistency.seen = co_await std::move(seeing);
  consistency.given = std::chrono::system_clock::now();
  co_return consistency;
}

asio::awaitable<CallContext> Include(CachedAccount& account, Consistency consistency,
                                     CallContext context) {
  auto catching_up = account.CatchUp(consistency.seen, context.deadline);
  if (!co_await std::move(catching_up)) {
    context.max_staleness = StalenessSince(consistency.given, std::chrono::system_clock::now(),
                                           context.max_staleness.value_or(account.fresh()));
  }
  co_return context;
}

}  // namespace leasegateway
