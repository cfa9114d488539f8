#include "service/rpc/who_am_i.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

void AddAccount(const AccountGrant& grant, v1::WhoAmIResponse& response) {
  auto& access = *response.add_accounts();
  access.set_account(grant.account);
  for (std::size_t i = 0; i < kRightNames.size(); ++i) {
    if (grant.rights[i]) access.add_rights(kRightNames[i]);
  }
}

// Without a callers file everybody may do all on the only account.
void AddAll(const std::string& account, v1::WhoAmIResponse& response) {
  AccountGrant all;
  all.account = account;
  all.rights.set();
  AddAccount(all, response);
}

absl::Status NoRightOn(const std::string& caller, const std::string& account) {
  return MakeError(
      absl::StatusCode::kPermissionDenied, reason::kNotAllowed,
      absl::StrCat("caller ", QuoteValue(caller), " has no right on account ", QuoteValue(account)),
      {{"caller", caller}, {"account", account}});
}

}  // namespace

asio::awaitable<absl::StatusOr<v1::WhoAmIResponse>> TellWho(const Admission& admission,
                                                            CallContext call, CallCaller caller,
                                                            std::string account) {
  v1::WhoAmIResponse response;
  response.set_caller(call.caller);
  if (!caller.setting) {
    AddAll(admission.accounts().begin()->first, response);
    co_return response;
  }
  response.set_identity_kind(caller.identity.kind);
  response.set_identity(caller.identity.name);
  for (const AccountGrant& grant : caller.setting->grants) {
    if (account.empty() || grant.account == account) AddAccount(grant, response);
  }
  if (!account.empty() && response.accounts().empty()) {
    co_return NoRightOn(caller.setting->name, account);
  }
  for (auto& limit : caller.use->Limits(*caller.setting, std::chrono::steady_clock::now())) {
    *response.add_limits() = std::move(limit);
  }
  co_return response;
}

}  // namespace leasegateway
