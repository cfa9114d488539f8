#include "upstream/sandbox/accounts.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <random>
#include <utility>

#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

constexpr std::string_view kKeyPrefix = "contiguity_sk_";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

absl::Status ReadEntitlements(const json::value& field, Entitlements* entitlements) {
  constexpr std::string_view kKey = "entitlements";
  entitlements->reset();
  if (field.is_null()) return absl::OkStatus();
  if (!field.is_array()) return BadField(kKey, field, "must be an array, or null for all");
  entitlements->emplace();
  for (const json::value& word : field.get_array()) {
    if (!word.is_string() || !IsRequirement(View(word.get_string()))) {
      return BadField(kKey, word,
                      "must hold words of imessage_entitlement_required, "
                      "whatsapp_entitlement_required, enterprise_plan_required");
    }
    (*entitlements)->emplace_back(View(word.get_string()));
  }
  return absl::OkStatus();
}

// Reads one of the keys of an account but `key`. `accepts`: the same request has
// `agreement_accepted`.
absl::Status ReadAccountField(std::string_view key, const json::value& field, bool accepts,
                              Account* changed) {
  if (key == "contract" || key == "agreement_accepted") {
    if (!field.is_bool()) return BadField(key, field, "must be true or false");
    (key == "contract" ? changed->contract : changed->agreement_accepted) = field.get_bool();
  } else if (key == "agreement_url") {
    if (!field.is_null() && !field.is_string()) {
      return BadField(key, field, "must be a string, or null for no agreement");
    }
    changed->agreement_url = field.is_null() ? "" : View(field.get_string());
    // A new agreement is not accepted yet, unless the same request says so.
    if (!accepts) changed->agreement_accepted = false;
  } else if (key == "entitlements") {
    return ReadEntitlements(field, &changed->entitlements);
  } else {
    return BadField(key, field,
                    "is not a key of an account; there are key contract agreement_url "
                    "agreement_accepted entitlements");
  }
  return absl::OkStatus();
}

}  // namespace

Accounts::Accounts(const std::vector<std::string>& keys) : keys_(keys) { Reset(); }

void Accounts::Reset() {
  accounts_.clear();
  for (const std::string& key : keys_) {
    Account account;
    account.key = key;
    account.name = Cat("account-", accounts_.size() + 1);
    accounts_.push_back(std::move(account));
  }
}

std::optional<std::size_t> Accounts::Find(std::string_view authorization) const {
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = authorization.substr(0, space);
  if (!EqualsIgnoreCase(scheme, "Bearer") && !EqualsIgnoreCase(scheme, "Token")) {
    return std::nullopt;
  }
  const std::string_view key = Strip(authorization.substr(space));
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    if (accounts_[i].key == key) return i;
  }
  return std::nullopt;
}

absl::Status Accounts::Set(const json::value& value) {
  if (!value.is_object()) return BadField("body", value, "must be an object");
  const json::object& object = value.get_object();
  // Checked as a whole before any of it is done.
  Account changed;
  std::size_t index = 0;
  if (const json::value* key = object.if_contains("key")) {
    const std::string_view text = key->is_string() ? View(key->get_string()) : "";
    if (!IsKey(text)) {
      return BadField("key", "(not shown)",
                      Cat("must be ", kKeyPrefix, " and 1 to 200 letters, digits, _ or -"));
    }
    index = static_cast<std::size_t>(
        std::find_if(accounts_.begin(), accounts_.end(),
                     [text](const Account& account) { return account.key == text; }) -
        accounts_.begin());
    changed.key = text;
  }
  if (index < accounts_.size()) {
    changed = accounts_[index];
  } else {
    changed.name = Cat("account-", index + 1);
  }
  const bool accepts = object.contains("agreement_accepted");
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key == "key") continue;
    if (absl::Status status = ReadAccountField(key, member.value(), accepts, &changed);
        !status.ok()) {
      return status;
    }
  }
  if (index < accounts_.size()) {
    accounts_[index] = std::move(changed);
  } else {
    accounts_.push_back(std::move(changed));
  }
  return absl::OkStatus();
}

json::object Accounts::ToJson(const std::vector<std::int64_t>& leases) const {
  json::array list;
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    const Account& account = accounts_[i];
    json::object object;
    object["account"] = account.name;  // never the key
    object["contract"] = account.contract;
    if (account.agreement_url.empty()) {
      object["agreement_url"] = nullptr;
    } else {
      object["agreement_url"] = account.agreement_url;
    }
    object["agreement_accepted"] = account.agreement_accepted;
    if (account.entitlements) {
      json::array words;
      for (const std::string& word : *account.entitlements) words.emplace_back(word);
      object["entitlements"] = std::move(words);
    } else {
      object["entitlements"] = nullptr;
    }
    object["leases"] = leases[i];
    list.push_back(std::move(object));
  }
  json::object all;
  all["accounts"] = std::move(list);
  return all;
}

bool IsKey(std::string_view text) {
  return text.starts_with(kKeyPrefix) && text.size() > kKeyPrefix.size() &&
         text.size() <= kKeyPrefix.size() + 200 &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '_' || c == '-';
         });
}

std::string MakeKey(std::uint64_t seed) {
  std::mt19937_64 random(seed ^ 0xc2b2ae3d27d4eb4fU);
  std::string key(kKeyPrefix);
  key += DrawHex(random);
  key += DrawHex(random);
  return key;
}

}  // namespace leasegateway::sandbox
