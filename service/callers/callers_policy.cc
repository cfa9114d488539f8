#include "service/callers/callers_policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"

namespace leasegateway {

const AccountGrant* CallerSetting::GrantOn(std::string_view account) const {
  const auto found = std::lower_bound(
      grants.begin(), grants.end(), account,
      [](const AccountGrant& grant, std::string_view name) { return grant.account < name; });
  return found == grants.end() || found->account != account ? nullptr : &*found;
}

CallersPolicy::CallersPolicy(Parts parts) : parts_(std::move(parts)) {
  for (std::size_t i = 0; i < parts_.accounts.size(); ++i) {
    account_indexes_[parts_.accounts[i].name] = i;
  }
  for (const CallerPointer& caller : parts_.callers) {
    const Identity& identity = caller->identity;
    if (identity.kind == v1::IDENTITY_KIND_ANONYMOUS) {
      anonymous_ = caller;
    } else if (!caller->prefix) {
      exact_[identity.kind][identity.name] = caller;
    } else {
      prefixes_[identity.name] = caller;
      prefix_sizes_.resize(std::max(prefix_sizes_.size(), identity.name.size() + 1));
      prefix_sizes_[identity.name.size()] = true;
    }
  }
  if (anonymous_ != nullptr) return;
  auto nobody = std::make_shared<CallerSetting>();
  nobody->name = kAnonymousCaller;
  anonymous_ = std::move(nobody);
}

const AccountSetting* CallersPolicy::AccountOf(std::string_view name) const {
  const auto found = account_indexes_.find(absl::string_view(name.data(), name.size()));
  return found == account_indexes_.end() ? nullptr : &parts_.accounts[found->second];
}

const CallerSetting* CallersPolicy::CallerNamed(std::string_view name) const {
  const auto found =
      std::find_if(parts_.callers.begin(), parts_.callers.end(),
                   [&](const CallerPointer& caller) { return caller->name == name; });
  return found == parts_.callers.end() ? nullptr : found->get();
}

std::shared_ptr<const CallerSetting> CallersPolicy::Find(const Identity& identity) const {
  const auto& exact = exact_[identity.kind];
  if (const auto found = exact.find(identity.name); found != exact.end()) return found->second;
  if (identity.kind != v1::IDENTITY_KIND_SPIFFE_ID) return anonymous_;
  // A prefix ends with a slash, and is followed by something.
  const absl::string_view name = identity.name;
  const std::size_t sizes = std::min(prefix_sizes_.size(), name.size());
  for (std::size_t size = sizes; size-- > 1;) {
    if (!prefix_sizes_[size] || name[size - 1] != '/') continue;
    const auto found = prefixes_.find(name.substr(0, size));
    if (found != prefixes_.end()) return found->second;
  }
  return anonymous_;
}

}  // namespace leasegateway
