#include "upstream/sandbox/ledger.h"

#include <boost/json/array.hpp>

#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

std::string Decimal(std::int64_t micros) {
  std::string text = std::to_string(micros < 0 ? -micros : micros);
  if (text.size() < 7) text.insert(0, 7 - text.size(), '0');
  text.insert(text.size() - 6, 1, '.');
  while (text.back() == '0' && text[text.size() - 3] != '.') text.pop_back();
  return micros < 0 ? Cat("-", text) : text;
}

}  // namespace

json::object Ledger::ToJson(std::size_t after) const {
  json::array entries;
  for (std::size_t i = after; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    json::object object;
    object["seq"] = i + 1;
    object["time_ms"] = entry.time_ms;
    object["kind"] = entry.kind;
    object["number"] = entry.number;
    object["lease_id"] = entry.lease_id;
    object["account"] = entry.account;
    object["currency"] = entry.currency;
    object["amount"] = Decimal(entry.micros);
    entries.push_back(std::move(object));
  }
  json::object ledger;
  ledger["entries"] = std::move(entries);
  return ledger;
}

}  // namespace leasegateway::sandbox
