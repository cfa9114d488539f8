#include "upstream/availability/write_overlay.h"

#include <algorithm>
#include <utility>

namespace leasegateway {
namespace {

using Effect = Write::Effect;

// Whether a write that failed so may have been done all the same.
bool MayBeDone(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<Write> WriteOf(const Operation& operation, const absl::StatusOr<AnyReply>& reply) {
  const OperationKind kind = KindOf(operation);
  if (kind == OperationKind::kRead || (!reply.ok() && !MayBeDone(reply.status()))) {
    return std::nullopt;
  }
  Write write;
  write.phone_number = PhoneNumberOf(operation);
  if (!reply.ok()) return write;
  switch (kind) {
    case OperationKind::kRead:
      break;
    case OperationKind::kSpend:
      write.effect = Effect::kLeased;
      write.lease = std::get<Reply<v1::Lease>>(*reply).value;
      break;
    case OperationKind::kEnd:
      write.effect = Effect::kEnded;
      write.lease.set_lease_id(std::get<Reply<v1::Termination>>(*reply).value.lease_id());
      break;
    case OperationKind::kConfigure:
      write.effect = Effect::kConfigured;
      break;
  }
  return write;
}

void ApplyTo(v1::ListLeasesResponse& list, const Write& write) {
  auto& leases = *list.mutable_leases();
  if (write.effect == Effect::kLeased) {
    for (const v1::Lease& lease : leases) {
      if (lease.lease_id() == write.lease.lease_id()) return;
    }
    *leases.Add() = write.lease;
  } else {
    for (int i = leases.size() - 1; i >= 0; --i) {
      const v1::Lease& lease = leases.Get(i);
      const bool same_lease =
          write.lease.lease_id().empty() || lease.lease_id() == write.lease.lease_id();
      if (lease.phone_number() == write.phone_number && same_lease) leases.DeleteSubrange(i, 1);
    }
  }
  list.set_total_size(leases.size());
}

const Write& WriteOverlay::Add(Write write, TimePoint now, TimePoint::duration kept_for) {
  while (!recent_.empty() && now - recent_.front().time > kept_for) recent_.pop_front();
  write.sequence = ++count_;
  write.time = now;
  return recent_.emplace_back(std::move(write));
}

std::vector<Write> WriteOverlay::After(std::uint64_t sequence) const {
  std::vector<Write> after;
  for (const Write& write : recent_) {
    if (write.sequence > sequence) after.push_back(write);
  }
  return after;
}

void WriteOverlay::SetLogged(std::uint64_t sequence, std::uint64_t entry) {
  for (Write& write : recent_) {
    const bool is_dropped = write.sequence < sequence && !write.logged;
    if (write.sequence == sequence || is_dropped) write.logged = entry;
  }
}

std::vector<Write> WriteOverlay::LoggedBetween(std::uint64_t entry, std::uint64_t last) const {
  std::vector<Write> between;
  for (const Write& write : recent_) {
    if (write.logged > entry && write.logged <= last) between.push_back(write);
  }
  std::sort(between.begin(), between.end(),
            [](const Write& a, const Write& b) { return a.logged < b.logged; });
  return between;
}

void WriteOverlay::LimitLogged(std::uint64_t last) {
  for (Write& write : recent_) {
    if (write.logged) write.logged = std::min(*write.logged, last);
  }
}

std::uint64_t WriteOverlay::SeenBy(std::uint64_t entry) const {
  for (const Write& write : recent_) {
    if (!write.logged || write.logged > entry) return write.sequence - 1;
  }
  return count_;
}

}  // namespace leasegateway
