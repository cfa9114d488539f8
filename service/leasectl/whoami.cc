#include "service/leasectl/whoami.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "service/leasectl/print.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

bool HasRight(const v1::AccountAccess& access, const std::string& right) {
  return std::find(access.rights().begin(), access.rights().end(), right) != access.rights().end();
}

std::string ScopeWord(v1::LimitScope scope) {
  if (scope == v1::LIMIT_SCOPE_UNSPECIFIED) return "";
  return absl::AsciiStrToLower(absl::StripPrefix(v1::LimitScope_Name(scope), "LIMIT_SCOPE_"));
}

// Empty: not known.
std::string AmountWords(bool present, const v1::LimitAmount& amount) {
  if (!present || amount.amount_case() == v1::LimitAmount::AMOUNT_NOT_SET) return "";
  return amount.has_money() ? FormatMoney(amount.money()) : absl::StrCat(amount.count());
}

bool IsUsedUp(const v1::LimitState& state) {
  if (!state.has_left()) return false;
  const v1::LimitAmount& left = state.left();
  if (left.has_money()) {
    return left.money().units() < 0 || (left.money().units() == 0 && left.money().nanos() <= 0);
  }
  return left.amount_case() == v1::LimitAmount::kCount && left.count() <= 0;
}

void AddLimit(const std::string& account, const v1::LimitState& state, Table& table) {
  const Color color = IsUsedUp(state) ? Color::kRed : Color::kNone;
  table.Add({ScopeWord(state.scope()), account, state.name(),
             AmountWords(state.has_limit(), state.limit()),
             AmountWords(state.has_used(), state.used()),
             Cell(AmountWords(state.has_left(), state.left()), color)});
}

}  // namespace

std::string Print(const v1::WhoAmIResponse& reply, bool colored) {
  constexpr Table::Align kRightSide = Table::Align::kRight;
  Table caller(std::vector<Table::Column>(2));
  caller.Add({Cell("Caller", Color::kBold), reply.caller()});
  caller.Add({Cell("Identity kind", Color::kBold), IdentityWord(reply.identity_kind())});
  caller.Add({Cell("Identity", Color::kBold), reply.identity()});
  std::string text = caller.Format(colored);

  Table limits({{"LIMIT OF"},
                {"ACCOUNT"},
                {"NAME"},
                {"LIMIT", kRightSide},
                {"USED", kRightSide},
                {"LEFT", kRightSide}});
  bool any_limit = !reply.limits().empty();
  for (const v1::LimitState& state : reply.limits()) AddLimit("", state, limits);
  Table accounts({{"ACCOUNT"}, {"RIGHTS"}});
  for (const v1::AccountAccess& access : reply.accounts()) {
    accounts.Add({access.account(), absl::StrJoin(access.rights(), ", ")});
    for (const v1::LimitState& state : access.limits()) AddLimit(access.account(), state, limits);
    any_limit = any_limit || !access.limits().empty();
  }
  absl::StrAppend(
      &text, "\n",
      reply.accounts().empty() ? "no rights on any account\n" : accounts.Format(colored));
  if (any_limit) absl::StrAppend(&text, "\n", limits.Format(colored));
  return text;
}

bool SeesOperations(const v1::AccountAccess& access) {
  return HasRight(access, "see_operations") || SeesAllOperations(access);
}

bool SeesAllOperations(const v1::AccountAccess& access) {
  return HasRight(access, "see_all_operations");
}

}  // namespace leasegateway
