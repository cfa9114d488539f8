#include "service/callers/read_callers.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "service/callers/file_field.h"
#include "service/callers/limit_fields.h"
#include "service/callers/matcher_field.h"
#include "service/callers/token_keys.h"
#include "service/callers/yaml_tree.h"
#include "service/process/error_text.h"
#include "service/process/provider_url.h"
#include "service/process/read_file.h"
#include "service/process/secret.h"

namespace leasegateway {
namespace {

using Presence = FileField::Presence;

constexpr std::size_t kMaxAccounts = 1'000;
constexpr std::size_t kMaxNameBytes = 128;

std::string CheckAccountName(absl::string_view name) {
  const bool valid = !name.empty() && name.size() <= 63 && name.front() != '-' &&
                     name.back() != '-' &&
                     std::all_of(name.begin(), name.end(), [](unsigned char c) {
                       return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                     });
  return valid ? ""
               : "must be a DNS label: small letters, digits and '-' between them, at most 63 "
                 "characters";
}

// Of a caller or a role.
std::string CheckName(absl::string_view name) {
  const bool valid =
      !name.empty() && name.size() <= kMaxNameBytes &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) ||
               absl::string_view("._/@:-").find(static_cast<char>(c)) != absl::string_view::npos;
      });
  return valid ? ""
               : absl::StrCat("must be letters, digits and ._/@:- alone, at most ", kMaxNameBytes,
                              " characters");
}

std::string CheckFilePath(absl::string_view path) {
  if (path.empty()) return "must not be empty";
  const bool control =
      std::any_of(path.begin(), path.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); });
  return control ? "must be a path without control characters" : "";
}

// Reads the parts of a policy one after the other, as each names those before it.
class CallersReader {
 public:
  CallersReader(const ReadCallersOptions& options, FileProblems& problems)
      : options_(options), problems_(problems) {}

  CallersPolicy::Parts Read(const FileField& root);

 private:
  void ReadAccount(const FileField& field);
  void ReadRole(const FileField& roles, const YamlNode& key, const FileField& value);
  void ReadIssuer(const FileField& field);
  void ReadCaller(const FileField& field);
  void ReadGrants(const FileField& field, CallerSetting& caller);
  void ReadSpendingOn(const FileField& field, CallerSetting& caller);
  void CheckMatcher(const FileField& field, const CallerSetting& caller);
  bool HasAccount(absl::string_view name) const;
  // The rule that a name breaks which is none of `names`.
  std::string Unknown(absl::string_view word, const std::vector<std::string>& names) const;
  // Whether it names an account that was read; otherwise says so.
  bool CheckAccount(const FileField& accounts, const YamlNode& key) const;

  const ReadCallersOptions options_;
  FileProblems& problems_;
  CallersPolicy::Parts parts_;
  // Whether all that may be named was read: otherwise what is unknown may be known.
  bool knows_accounts_ = false;
  bool knows_roles_ = false;
  bool knows_issuers_ = false;
  std::vector<std::string> account_names_;
  std::vector<std::string> role_names_;
  std::unordered_map<std::string, Rights> roles_;
  std::unordered_map<std::string, std::string> caller_lines_;   // by name: where it stands
  std::unordered_map<std::string, std::string> matcher_names_;  // by matcher: the caller's name
};

CallersPolicy::Parts CallersReader::Read(const FileField& root) {
  knows_roles_ = knows_issuers_ = true;  // none, unless there are some
  const auto section = [this](bool& whole, absl::FunctionRef<void()> read) {
    const std::size_t before = problems_.count();
    read();
    whole = problems_.count() == before;
  };
  root.ReadKeys({
      {"accounts", Presence::kRequired,
       [&](const FileField& accounts) {
         section(knows_accounts_, [&] {
           if (accounts.node().children.size() > kMaxAccounts) {
             return accounts.Refuse(absl::StrCat("must be at most ", kMaxAccounts));
           }
           accounts.ReadItems([&](const FileField& field) { ReadAccount(field); });
         });
       }},
      {"roles", Presence::kOptional,
       [&](const FileField& roles) {
         section(knows_roles_, [&] {
           roles.ReadEntries(
               [&](const YamlNode& key, const FileField& value) { ReadRole(roles, key, value); });
         });
       }},
      {"tokens", Presence::kOptional,
       [&](const FileField& tokens) {
         section(knows_issuers_,
                 [&] { tokens.ReadItems([&](const FileField& field) { ReadIssuer(field); }); });
       }},
      {"callers", Presence::kRequired,
       [&](const FileField& callers) {
         callers.ReadItems([&](const FileField& field) { ReadCaller(field); });
       }},
  });
  return std::move(parts_);
}

void CallersReader::ReadAccount(const FileField& field) {
  AccountSetting account;
  const auto misplaced = [](const FileField& value) {
    value.Refuse("cannot be set here: the API key stands in the file key_file");
  };
  field.ReadKeys({
      {"name", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(account.name, CheckAccountName);
         if (HasAccount(account.name)) value.RefuseValue("is the name of an account before it");
       }},
      {"key_file", options_.sandbox ? Presence::kOptional : Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(account.key_file, [&](absl::string_view path) -> std::string {
           const std::string rule = CheckFilePath(path);
           if (!rule.empty() || options_.sandbox || !options_.reads_files) return rule;
           return std::string(ReadSecret(kApiKey, std::string(path)).status().message());
         });
       }},
      {"auth_scheme", Presence::kOptional,
       [&](const FileField& value) {
         value.ReadText(account.auth_scheme, [](absl::string_view scheme) {
           return std::string(
               scheme == "Bearer" || scheme == "Token" ? "" : "must be one of Bearer, Token");
         });
       }},
      {"url", Presence::kOptional,
       [&](const FileField& value) {
         const std::string* const url = value.Text();
         if (url == nullptr) return;
         const std::string rule = CheckProviderUrl(*url, "the API key stands in the file key_file");
         if (!rule.empty()) return value.RefuseUrl(rule);
         account.url = *url;
       }},
      {"spending", Presence::kOptional,
       [&](const FileField& value) { account.spending = ReadSpending(value); }},
      {"key", Presence::kRefused, misplaced},
      {"api_key", Presence::kRefused, misplaced},
      {"token", Presence::kRefused, misplaced},
  });
  account_names_.push_back(account.name);
  parts_.accounts.push_back(std::move(account));
}

bool CallersReader::HasAccount(absl::string_view name) const {
  return !name.empty() &&
         std::find(account_names_.begin(), account_names_.end(), name) != account_names_.end();
}

std::string CallersReader::Unknown(absl::string_view word,
                                   const std::vector<std::string>& names) const {
  // To look for what is meant takes a while, and is not told any more.
  return problems_.full() ? "is unknown" : UnknownName(word, names);
}

bool CallersReader::CheckAccount(const FileField& accounts, const YamlNode& key) const {
  if (HasAccount(key.text)) return true;
  if (!knows_accounts_) return false;
  accounts.RefuseKey(key, absl::StrCat("is no account: ", Unknown(key.text, account_names_)));
  return false;
}

void CallersReader::ReadRole(const FileField& roles, const YamlNode& key, const FileField& value) {
  static const std::vector<std::string> names(kRightNames.begin(), kRightNames.end());
  const std::string rule = CheckName(key.text);
  if (!rule.empty()) roles.RefuseKey(key, rule);
  Rights rights;
  value.ReadItems([&](const FileField& item) {
    const std::string* const text = item.Text();
    if (text == nullptr) return;
    const auto found = std::find(names.begin(), names.end(), *text);
    if (found == names.end()) {
      item.RefuseValue(absl::StrCat("is no right: ", UnknownName(*text, names)));
      return;
    }
    const std::size_t right = found - names.begin();
    if (rights[right]) item.RefuseValue("stands here twice");
    rights.set(right);
  });
  roles_[key.text] = rights;
  role_names_.push_back(key.text);
}

void CallersReader::ReadIssuer(const FileField& field) {
  TokenIssuer issuer;
  field.ReadKeys({
      {"issuer", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(issuer.issuer, [&](absl::string_view text) -> std::string {
           const bool known = std::any_of(parts_.issuers.begin(), parts_.issuers.end(),
                                          [&](const auto& one) { return one.issuer == text; });
           return known ? "is an issuer before it" : CheckTokenIssuer(text);
         });
       }},
      {"audiences", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadItems([&](const FileField& item) {
           item.ReadText(issuer.audiences.emplace_back(), CheckTokenSubject);
         });
       }},
      {"keys_file", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(issuer.keys_file, [&](absl::string_view path) -> std::string {
           const std::string rule = CheckFilePath(path);
           if (!rule.empty() || !options_.reads_files) return rule;
           return std::string(TokenKeys::Read(std::string(path)).status().message());
         });
       }},
  });
  parts_.issuers.push_back(std::move(issuer));
}

void CallersReader::ReadCaller(const FileField& field) {
  auto caller = std::make_shared<CallerSetting>();
  field.ReadKeys({
      {"name", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(caller->name, CheckName);
         const auto [found, is_new] =
             caller_lines_.emplace(caller->name, absl::StrCat(value.node().line));
         if (!is_new && !caller->name.empty()) {
           value.RefuseValue(absl::StrCat("is the name of the caller on line ", found->second));
         }
       }},
      {"match", Presence::kRequired,
       [&](const FileField& value) {
         ReadMatcher(value, knows_issuers_ ? &parts_.issuers : nullptr, *caller);
         CheckMatcher(value, *caller);
       }},
      // None has to be said: who forgets it would shut somebody out.
      {"roles", Presence::kRequired, [&](const FileField& value) { ReadGrants(value, *caller); }},
      {"quotas", Presence::kOptional,
       [&](const FileField& value) { ReadQuotas(value, caller->quotas); }},
      {"spending", Presence::kOptional,
       [&](const FileField& value) { caller->spending = ReadSpending(value); }},
      {"spending_on", Presence::kOptional,
       [&](const FileField& value) { ReadSpendingOn(value, *caller); }},
  });
  parts_.callers.push_back(std::move(caller));
}

void CallersReader::CheckMatcher(const FileField& field, const CallerSetting& caller) {
  const Identity& identity = caller.identity;
  if (identity.kind == v1::IDENTITY_KIND_UNSPECIFIED) return;  // there was a problem
  if (caller.name == kAnonymousCaller && identity.kind != v1::IDENTITY_KIND_ANONYMOUS) {
    field.Refuse("must be anonymous: true, as that is the caller's name");
  }
  const std::string matcher =
      absl::StrCat(static_cast<int>(identity.kind), caller.prefix ? "/" : " ", identity.name);
  const auto [found, is_new] = matcher_names_.emplace(matcher, caller.name);
  if (!is_new) {
    field.Refuse(absl::StrCat("is the matcher of the caller ", found->second, " already"));
  }
}

void CallersReader::ReadGrants(const FileField& field, CallerSetting& caller) {
  field.ReadEntries([&](const YamlNode& key, const FileField& value) {
    const bool known = CheckAccount(field, key);
    AccountGrant grant{.account = key.text, .rights = {}, .spending = nullptr};
    value.ReadItems([&](const FileField& item) {
      const std::string* const name = item.Text();
      if (name == nullptr) return;
      if (const auto found = roles_.find(*name); found != roles_.end()) {
        grant.rights |= found->second;
        return;
      }
      if (!knows_roles_) return;
      item.RefuseValue(absl::StrCat("is no role: ", Unknown(*name, role_names_)));
    });
    if (known) caller.grants.push_back(std::move(grant));
  });
  std::sort(caller.grants.begin(), caller.grants.end(),
            [](const AccountGrant& a, const AccountGrant& b) { return a.account < b.account; });
}

void CallersReader::ReadSpendingOn(const FileField& field, CallerSetting& caller) {
  if (field.IsEmpty()) field.Refuse("must have at least one account");
  field.ReadEntries([&](const YamlNode& key, const FileField& value) {
    auto limits = ReadSpending(value);
    if (!CheckAccount(field, key)) return;
    const auto grant = std::find_if(caller.grants.begin(), caller.grants.end(),
                                    [&](const auto& one) { return one.account == key.text; });
    if (grant == caller.grants.end()) {
      field.RefuseKey(key, "is an account on which the caller has no role");
    } else {
      grant->spending = std::move(limits);
    }
  });
}

}  // namespace

absl::StatusOr<std::string> ReadCallersText(const std::string& path) {
  auto text = ReadFile(path, kMaxYamlBytes);
  if (text.ok()) return text;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", text.status().message()));
}

absl::StatusOr<CallersPolicy> ParseCallers(absl::string_view text, const std::string& path,
                                           const ReadCallersOptions& options) {
  const auto root = ParseYaml(text, path);
  if (!root.ok()) return root.status();
  FileProblems problems(path);
  CallersPolicy::Parts parts = CallersReader(options, problems).Read(FileField(*root, problems));
  absl::Status status = problems.Status();
  if (!status.ok()) return status;
  return CallersPolicy(std::move(parts));
}

absl::StatusOr<CallersPolicy> ReadCallers(const std::string& path,
                                          const ReadCallersOptions& options) {
  const auto text = ReadCallersText(path);
  if (!text.ok()) return text.status();
  return ParseCallers(*text, path, options);
}

}  // namespace leasegateway
