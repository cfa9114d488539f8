#include "service/rpc/consistency.h"

#include <openssl/sha.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "service/rpc/token.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

// It keeps out what is garbled and what is another account's, not who would forge it: they could
// ask the provider as well.
std::uint64_t ChecksumOf(const WritesSeen& seen, std::string_view account) {
  std::string bytes = "consistency 1 ";
  AppendInteger(seen.origin, &bytes);
  AppendInteger(seen.count, &bytes);
  bytes += account;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

}  // namespace

std::string EncodeConsistency(const WritesSeen& seen, std::string_view account) {
  return EncodeToken({seen.origin, seen.count, ChecksumOf(seen, account)});
}

absl::StatusOr<WritesSeen> DecodeConsistency(std::string_view token, std::string_view account) {
  const auto values = DecodeToken(token, 3);
  WritesSeen seen;
  if (values) {
    seen.origin = (*values)[0];
    seen.count = (*values)[1];
  }
  if (!values || (*values)[2] != ChecksumOf(seen, account)) {
    return FieldViolation("consistency_token", reason::kInvalidConsistencyToken,
                          "is not of this account, or was changed on its way");
  }
  return seen;
}

absl::StatusOr<std::optional<WritesSeen>> ConsistencyOf(const grpc::ServerContextBase& context,
                                                        std::string_view field,
                                                        std::string_view account) {
  std::string_view token = field;
  if (token.empty()) {
    const auto& metadata = context.client_metadata();
    const auto found = metadata.find(kConsistencyMetadata);
    if (found != metadata.end()) token = {found->second.data(), found->second.size()};
  }
  if (token.empty()) return std::nullopt;
  auto seen = DecodeConsistency(token, account);
  if (!seen.ok()) return seen.status();
  return std::optional<WritesSeen>(*seen);
}

asio::awaitable<CallContext> Include(CachedAccount& account, WritesSeen seen, CallContext context) {
  auto catching_up = account.CatchUp(seen, context.deadline);
  if (!co_await std::move(catching_up)) context.max_staleness = std::chrono::milliseconds(0);
  co_return context;
}

}  // namespace leasegateway
