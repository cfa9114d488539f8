#include "service/callers/token_memory.h"

#include <openssl/evp.h>

#include <exception>
#include <utility>

namespace leasegateway {

TokenMemory::Digest TokenMemory::DigestOf(absl::string_view token) {
  Digest digest;
  // Fails for want of memory only.
  if (EVP_Digest(token.data(), token.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    std::terminate();
  }
  return digest;
}

std::shared_ptr<const KnownToken> TokenMemory::Find(
    const Digest& digest, std::chrono::steady_clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  const auto found = tokens_.find(digest);
  return found == tokens_.end() || now >= found->second.until ? nullptr : found->second.token;
}

void TokenMemory::Add(const Digest& digest, KnownToken token, std::uint64_t generation,
                      std::chrono::steady_clock::time_point now) {
  auto shared = std::make_shared<const KnownToken>(std::move(token));
  const std::lock_guard lock(mutex_);
  if (generation != generation_) return;
  while (!by_age_.empty() && now >= tokens_.at(by_age_.front()).until) ForgetOldest();
  if (tokens_.count(digest) != 0) return;
  if (by_age_.size() == kMaxTokens) ForgetOldest();
  tokens_.emplace(digest, Entry{std::move(shared), now + kLongest});
  by_age_.push_back(digest);
}

void TokenMemory::Clear(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  generation_ = generation;
  tokens_.clear();
  by_age_.clear();
}

std::size_t TokenMemory::size() const {
  const std::lock_guard lock(mutex_);
  return tokens_.size();
}

void TokenMemory::ForgetOldest() {
  tokens_.erase(by_age_.front());
  by_age_.pop_front();
}

}  // namespace leasegateway
