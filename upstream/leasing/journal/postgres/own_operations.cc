#include "upstream/leasing/journal/postgres/own_operations.h"

namespace leasegateway {

bool OwnOperations::Reserve(const std::string& account, const std::string& request_id) {
  const std::lock_guard lock(mutex_);
  return operations_.try_emplace(Key(account, request_id)).second;
}

void OwnOperations::Hold(const std::string& account, const std::string& request_id, Origin origin) {
  const std::lock_guard lock(mutex_);
  operations_[Key(account, request_id)].origin = std::move(origin);
}

void OwnOperations::Drop(const std::string& account, const std::string& request_id) {
  const std::lock_guard lock(mutex_);
  operations_.erase(Key(account, request_id));
}

bool OwnOperations::Holds(const std::string& account, const std::string& request_id) const {
  const std::lock_guard lock(mutex_);
  return operations_.contains(Key(account, request_id));
}

std::optional<OwnOperations::Origin> OwnOperations::Find(const std::string& account,
                                                         const std::string& request_id) const {
  const std::lock_guard lock(mutex_);
  const auto at = operations_.find(Key(account, request_id));
  if (at == operations_.end() || at->second.origin.fingerprint.empty()) return std::nullopt;
  return at->second.origin;
}

void OwnOperations::NoteLost(const std::string& account, const std::string& request_id,
                             std::int64_t attempt) {
  const std::lock_guard lock(mutex_);
  const auto at = operations_.find(Key(account, request_id));
  if (at != operations_.end()) at->second.lost.insert(attempt);
}

bool OwnOperations::IsLost(const std::string& account, const std::string& request_id,
                           std::int64_t attempt) const {
  const std::lock_guard lock(mutex_);
  const auto at = operations_.find(Key(account, request_id));
  return at != operations_.end() && at->second.lost.contains(attempt);
}

}  // namespace leasegateway
