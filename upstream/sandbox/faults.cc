#include "upstream/sandbox/faults.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <iterator>
#include <utility>

#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/routes.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

struct KindRow {
  std::string_view name;
  Fault::Kind kind;
  std::string_view keys;  // beyond route, number, count, fraction, kind, when, delay_ms
  int status;             // unless said otherwise
  bool after;             // unless said otherwise
};
// Truncating, dripping and rewriting need a true answer, so they let the request take effect first.
constexpr KindRow kKinds[] = {
    {"status", Fault::Kind::kStatus, " status envelope message agreement_url retry_after body ",
     500, false},
    {"delay", Fault::Kind::kDelay, "", 200, false},
    {"close", Fault::Kind::kClose, "", 200, false},
    {"reset", Fault::Kind::kReset, "", 200, false},
    {"truncate", Fault::Kind::kTruncate, " body ", 200, true},
    {"garbage", Fault::Kind::kGarbage, " status body ", 200, false},
    {"html", Fault::Kind::kHtml, " status retry_after server via content_type body ", 502, false},
    {"drip", Fault::Kind::kDrip, " body ", 200, true},
    {"hang", Fault::Kind::kHang, "", 200, false},
    {"rewrite", Fault::Kind::kRewrite, " find replace ", 200, true},
};
constexpr std::string_view kKindRule =
    "must be one of status, delay, close, reset, truncate, garbage, html, drip, hang, rewrite";

absl::Status ReadText(const json::object& object, std::string_view key, std::string* out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return BadField(key, *value, "must be a string");
  *out = View(value->get_string());
  return absl::OkStatus();
}

absl::Status ReadInteger(const json::object& object, std::string_view key, std::int64_t low,
                         std::int64_t high, std::optional<std::int64_t>* out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return absl::OkStatus();
  const std::int64_t* number = value->if_int64();
  if (number == nullptr || *number < low || *number > high) {
    return BadField(key, *value, Cat("must be an integer from ", low, " to ", high));
  }
  *out = *number;
  return absl::OkStatus();
}

// Finds the row of the fault's kind, which says what other keys there may be.
absl::Status ReadKind(const json::object& object, const KindRow** row) {
  std::string kind;
  if (absl::Status status = ReadText(object, "kind", &kind); !status.ok()) return status;
  *row = std::find_if(std::begin(kKinds), std::end(kKinds),
                      [&kind](const KindRow& each) { return each.name == kind; });
  if (*row == std::end(kKinds)) {
    return BadField("kind", object.contains("kind") ? object.at("kind") : json::value(), kKindRule);
  }
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    constexpr std::string_view kCommon = " route number count fraction kind when delay_ms ";
    const std::string word = Cat(" ", key, " ");
    if (kCommon.find(word) == std::string_view::npos &&
        (*row)->keys.find(word) == std::string_view::npos) {
      return BadField(key, member.value(),
                      Cat("is not a key of a fault of kind ", (*row)->name, "; there are", kCommon,
                          (*row)->keys));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTexts(const json::object& object, Fault* fault) {
  for (auto [key, target] :
       {std::pair("route", &fault->route), std::pair("number", &fault->number),
        std::pair("message", &fault->message), std::pair("agreement_url", &fault->agreement_url),
        std::pair("retry_after", &fault->retry_after), std::pair("server", &fault->server),
        std::pair("via", &fault->via), std::pair("content_type", &fault->content_type),
        std::pair("find", &fault->find), std::pair("replace", &fault->replace)}) {
    if (absl::Status status = ReadText(object, key, target); !status.ok()) return status;
  }
  if (fault->route != "*" && !IsRouteName(fault->route)) {
    return BadField("route", object.at("route"),
                    "must be * or a route such as \"POST /lease/{number}\"");
  }
  if (!fault->number.empty() && !IsE164(fault->number)) {
    return BadField("number", object.at("number"), "must be in E.164 format");
  }
  if (fault->kind == Fault::Kind::kRewrite && fault->find.empty()) {
    return BadField("find", json::value(fault->find), "must be what to rewrite");
  }
  // JSON can't hold what isn't UTF-8.
  fault->replace = PercentDecode(fault->replace);
  // A header that could hold a line break could hold another header.
  for (auto [key, header] :
       {std::pair("retry_after", &fault->retry_after), std::pair("server", &fault->server),
        std::pair("via", &fault->via), std::pair("content_type", &fault->content_type)}) {
    if (std::any_of(header->begin(), header->end(),
                    [](unsigned char c) { return c < 0x20 || c > 0x7e; })) {
      return BadField(key, object.at(key), "must be printable ASCII");
    }
  }
  if (object.contains("body")) {
    std::string body;
    if (absl::Status status = ReadText(object, "body", &body); !status.ok()) return status;
    fault->body = std::move(body);
  }
  return absl::OkStatus();
}

absl::Status ReadEnvelopeAndWhen(const json::object& object, Fault* fault) {
  if (const json::value* envelope = object.if_contains("envelope")) {
    if (!envelope->is_bool()) return BadField("envelope", *envelope, "must be true or false");
    fault->envelope = envelope->get_bool();
  }
  if (const json::value* when = object.if_contains("when")) {
    const bool after = when->is_string() && View(when->get_string()) == "after";
    if (!after && !(when->is_string() && View(when->get_string()) == "before")) {
      return BadField("when", *when, "must be before or after");
    }
    fault->after = after;
  }
  return absl::OkStatus();
}

absl::Status ReadStatusAndDelay(const json::object& object, Fault* fault) {
  std::optional<std::int64_t> number;
  if (absl::Status status = ReadInteger(object, "status", 200, 599, &number); !status.ok()) {
    return status;
  }
  if (number) fault->status = static_cast<int>(*number);
  number.reset();
  if (absl::Status status = ReadInteger(object, "delay_ms", 0, 600'000, &number); !status.ok()) {
    return status;
  }
  if (!number && fault->kind == Fault::Kind::kDelay) {
    return BadField("delay_ms", nullptr, "is required by kind delay");
  }
  fault->delay =
      std::chrono::milliseconds(number.value_or(fault->kind == Fault::Kind::kDrip ? 10 : 0));
  return absl::OkStatus();
}

// How many requests it strikes.
absl::Status ReadCountOrFraction(const json::object& object, Fault* fault) {
  if (absl::Status status = ReadInteger(object, "count", 1, 1'000'000'000, &fault->count);
      !status.ok()) {
    return status;
  }
  if (const json::value* fraction = object.if_contains("fraction")) {
    if (fault->count) return BadField("fraction", *fraction, "can't stand beside count");
    double share = -1;
    if (fraction->is_double()) share = fraction->get_double();
    if (fraction->is_int64()) share = static_cast<double>(fraction->get_int64());
    if (!(share >= 0 && share <= 1)) {
      return BadField("fraction", *fraction, "must be a number from 0 to 1");
    }
    fault->fraction = share;
  }
  if (!fault->count && !fault->fraction) fault->count = 1;
  return absl::OkStatus();
}

absl::Status ReadFault(const json::value& value, Fault* fault) {
  if (!value.is_object()) return BadField("fault", value, "must be an object");
  const json::object& object = value.get_object();
  const KindRow* row = nullptr;
  if (absl::Status status = ReadKind(object, &row); !status.ok()) return status;
  fault->kind = row->kind;
  fault->status = row->status;
  fault->after = row->after;
  for (const auto read :
       {ReadTexts, ReadEnvelopeAndWhen, ReadStatusAndDelay, ReadCountOrFraction}) {
    if (absl::Status status = read(object, fault); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Faults::Add(const json::value& value) {
  std::list<Fault> added;
  if (value.is_array()) {
    for (const json::value& each : value.get_array()) {
      Fault fault;
      if (absl::Status status = ReadFault(each, &fault); !status.ok()) return status;
      added.push_back(std::move(fault));
    }
  } else {
    Fault fault;
    if (absl::Status status = ReadFault(value, &fault); !status.ok()) return status;
    added.push_back(std::move(fault));
  }
  faults_.splice(faults_.end(), added);
  return absl::OkStatus();
}

void Faults::Reset() {
  faults_.clear();
  random_.seed(seed_);
}

std::optional<Fault> Faults::Next(std::string_view route, std::string_view number) {
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (fault->route != "*" && fault->route != route) continue;
    if (!fault->number.empty() && fault->number != number) continue;
    if (fault->fraction && static_cast<double>(random_() >> 11) * 0x1.0p-53 >= *fault->fraction) {
      continue;
    }
    ++fault->hits;
    Fault struck = *fault;
    if (fault->count && --*fault->count == 0) faults_.erase(fault);
    return struck;
  }
  return std::nullopt;
}

void Faults::Clear(std::string_view number) {
  faults_.remove_if([number](const Fault& fault) { return fault.number == number; });
}

json::object Faults::ToJson() const {
  json::array list;
  for (const Fault& fault : faults_) {
    const auto* row =
        std::find_if(std::begin(kKinds), std::end(kKinds),
                     [&fault](const KindRow& each) { return each.kind == fault.kind; });
    json::object object;
    object["route"] = fault.route;
    if (!fault.number.empty()) object["number"] = fault.number;
    object["kind"] = json::string_view(row->name.data(), row->name.size());
    object["when"] = fault.after ? "after" : "before";
    if (fault.count) object["remaining"] = *fault.count;
    if (fault.fraction) object["fraction"] = *fault.fraction;
    object["hits"] = fault.hits;
    list.push_back(std::move(object));
  }
  json::object all;
  all["faults"] = std::move(list);
  return all;
}

}  // namespace leasegateway::sandbox
