#include "upstream/sandbox/numbers.h"

#include <boost/json/parse.hpp>
#include <utility>

#include "upstream/sandbox/routes.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

}  // namespace

Numbers::Numbers(std::uint64_t seed, int count)
    : inventory_(MakeInventory(seed, count)), churn_(seed) {
  index_.reserve(inventory_.size());
  for (std::size_t i = 0; i < inventory_.size(); ++i) index_.emplace(inventory_[i].e164, i);
}

std::optional<std::size_t> Numbers::Find(const std::string& e164) const {
  const auto found = index_.find(e164);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

bool Numbers::IsOffered(std::size_t index) const {
  if (churn_.Hides(index)) return false;
  const auto patch = patches_.find(index);
  if (patch == patches_.end()) return true;
  const json::value* status = patch->second.get_object().if_contains("status");
  return status == nullptr || (*status != "leased" && *status != "unavailable");
}

void Numbers::Append(std::size_t index, bool is_leased, std::string_view lease_fields,
                     std::string* out) const {
  const auto patch = patches_.find(index);
  std::string plain;
  std::string* target = patch == patches_.end() ? out : &plain;
  const InventoryNumber& number = inventory_[index];
  std::string_view status = number.g_available ? "g-available" : "available";
  if (churn_.Hides(index)) status = "unavailable";
  if (is_leased) status = "leased";
  AppendNumber(number, status, target);
  (*target += lease_fields) += '}';
  if (patch == patches_.end()) return;
  json::value value = json::parse(plain);
  MergePatch(patch->second, false, &value);
  *out += WriteJson(value);
}

absl::StatusOr<std::size_t> Numbers::Patch(std::string_view number, const json::value& patch) {
  const std::string e164 = PercentDecode(number);
  if (!IsE164(e164)) return BadField("number", json::value(e164), "must be in E.164 format");
  const auto found = index_.find(e164);
  if (found == index_.end()) {
    return absl::NotFoundError(Cat("number: ", e164, " is not in the inventory"));
  }
  if (!patch.is_object()) return BadField("body", patch, "must be an object");
  json::value& all = patches_.try_emplace(found->second, json::object_kind).first->second;
  MergePatch(patch, true, &all);
  // From here on the patch says it.
  if (patch.get_object().contains("status")) churn_.Show(found->second);
  return found->second;
}

json::object Numbers::Change(std::int64_t count,
                             const std::function<bool(std::size_t)>& is_leased) {
  std::vector<std::size_t> shown;
  std::vector<std::size_t> hidden;
  for (std::size_t i = 0; i < inventory_.size(); ++i) {
    if (patches_.contains(i)) continue;
    if (churn_.Hides(i)) {
      hidden.push_back(i);
    } else if (!is_leased(i)) {
      shown.push_back(i);
    }
  }
  return churn_.Change(count, std::move(shown), std::move(hidden), &inventory_);
}

void Numbers::Reset() {
  patches_.clear();
  churn_.Reset(&inventory_);
}

}  // namespace leasegateway::sandbox
