#include "service/leasectl/report.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "google/type/money.pb.h"
#include "service/leasectl/print.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

constexpr std::int64_t kBillion = 1'000'000'000;

// Nobody can pay an amount of no currency.
bool IsKnown(bool present, const google::type::Money& money) {
  return present && !money.currency_code().empty();
}

absl::int128 Billionths(const google::type::Money& money) {
  return absl::int128(money.units()) * kBillion + money.nanos();
}

// "-1234.50": at least two decimals, and as many as it takes to be exact.
std::string Decimal(absl::int128 billionths) {
  const bool negative = billionths < 0;
  auto rest = static_cast<absl::uint128>(negative ? -billionths : billionths);
  std::string digits;  // the last one first
  while (rest > 0 || digits.size() < 10) {
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  }
  std::reverse(digits.begin(), digits.end());
  std::string decimals = digits.substr(digits.size() - 9);
  while (decimals.size() > 2 && decimals.back() == '0') decimals.pop_back();
  return absl::StrCat(negative ? "-" : "", digits.substr(0, digits.size() - 9), ".", decimals);
}

// How it is paid for: as the provider says, or else as it was asked for.
v1::BillingMethod MethodOf(const v1::Operation& operation) {
  const v1::BillingMethod method = operation.lease().billing().method();
  return method == v1::BILLING_METHOD_UNSPECIFIED ? operation.billing_method() : method;
}

bool IsPurchase(const v1::Operation& operation) {
  return operation.state() == v1::OPERATION_STATE_SUCCEEDED &&
         (operation.kind() == v1::OPERATION_KIND_LEASE ||
          operation.kind() == v1::OPERATION_KIND_LEASE_ANY);
}

std::string CsvText(std::string_view text) {
  std::string field = absl::StrReplaceAll(Harmless(text), {{"\"", "\"\""}});
  // What a spreadsheet may take for a formula, in full width too. Harmless() left no tab or CR.
  for (const std::string_view sign : {"=", "+", "-", "@", "＝", "＋", "－", "＠"}) {
    if (!field.starts_with(sign)) continue;
    field.insert(0, 1, '\'');
    break;
  }
  return absl::StrCat("\"", field, "\"");
}

std::string JsonText(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text);
  std::string json;
  // Can't fail on what came in a message: that is UTF-8.
  if (!google::protobuf::util::MessageToJsonString(value, &json).ok()) return "\"\"";
  return json;
}

std::string CsvLine(const std::string& row, const std::string& month,
                    const SpendingReport::Key& key, const Spending& spending) {
  return absl::StrCat(absl::StrJoin({CsvText(row), CsvText(month), CsvText(key.caller),
                                     CsvText(key.account), CsvText(key.currency)},
                                    ","),
                      ",", spending.purchases, ",", Decimal(spending.upfront_fees), ",",
                      Decimal(spending.monthly_rates), ",", spending.unknown_prices, ",",
                      spending.contracts, "\r\n");
}

// What rows and totals both have.
std::string JsonMembers(const std::string& currency, const Spending& spending) {
  return absl::StrCat("\"currency\": ", JsonText(currency), ", \"purchases\": ", spending.purchases,
                      ", \"upfront_fees\": \"", Decimal(spending.upfront_fees),
                      "\", \"monthly_rates\": \"", Decimal(spending.monthly_rates),
                      "\", \"unknown_prices\": ", spending.unknown_prices,
                      ", \"contracts\": ", spending.contracts);
}

std::string JsonArray(const std::vector<std::string>& objects) {
  if (objects.empty()) return "[]";
  return absl::StrCat("[\n  {", absl::StrJoin(objects, "},\n  {"), "}\n ]");
}

// Zeros of what was not counted would only be in the way.
std::string CountWord(std::int64_t count) { return count == 0 ? "" : absl::StrCat(count); }

void AddSpending(Cell caller, const SpendingReport::Key& key, const Spending& spending,
                 Table& table) {
  const bool priced = !key.currency.empty();
  table.Add(
      {std::move(caller), key.account, key.currency, absl::StrCat(spending.purchases),
       priced ? Decimal(spending.upfront_fees) : "", priced ? Decimal(spending.monthly_rates) : "",
       Cell(CountWord(spending.unknown_prices), Color::kYellow), CountWord(spending.contracts)});
}

}  // namespace

Spending& Spending::operator+=(const Spending& other) {
  purchases += other.purchases;
  upfront_fees += other.upfront_fees;
  monthly_rates += other.monthly_rates;
  unknown_prices += other.unknown_prices;
  contracts += other.contracts;
  return *this;
}

void SpendingReport::Add(const v1::Operation& operation) {
  const absl::Time time = TimeOf(operation.create_time());
  if (!IsPurchase(operation) || time < month_.start || time >= month_.end) return;
  const v1::Pricing& price = operation.price();
  const google::type::Money& monthly = price.monthly_rate();
  const google::type::Money& upfront = price.upfront_fee();
  const bool monthly_known = IsKnown(price.has_monthly_rate(), monthly);
  const bool upfront_known = IsKnown(price.has_upfront_fee(), upfront);
  const std::string currency = monthly_known   ? monthly.currency_code()
                               : upfront_known ? upfront.currency_code()
                                               : "";
  Spending& row = rows_[{operation.caller(), operation.account(), currency}];
  ++row.purchases;
  const v1::BillingMethod method = MethodOf(operation);
  if (method == v1::BILLING_METHOD_SERVICE_CONTRACT) {
    ++row.contracts;
    return;
  }
  // A present of the provider's.
  if (method == v1::BILLING_METHOD_GOODWILL) return;
  if (!monthly_known || !upfront_known) ++row.unknown_prices;
  if (monthly_known) row.monthly_rates += Billionths(monthly);
  if (upfront_known) {
    rows_[{operation.caller(), operation.account(), upfront.currency_code()}].upfront_fees +=
        Billionths(upfront);
  }
}

std::map<std::string, Spending> SpendingReport::Totals() const {
  std::map<std::string, Spending> totals;
  for (const auto& [key, spending] : rows_) totals[key.currency] += spending;
  return totals;
}

std::string FormatTable(const SpendingReport& report, bool colored) {
  constexpr Table::Align kToTheRight = Table::Align::kRight;
  if (report.rows().empty()) return absl::StrCat("no purchases in ", report.month().name, "\n");
  Table table({{"CALLER"},
               {"ACCOUNT"},
               {"CURRENCY"},
               {"PURCHASES", kToTheRight},
               {"UPFRONT FEES", kToTheRight},
               {"MONTHLY RATES", kToTheRight},
               {"UNKNOWN PRICE", kToTheRight},
               {"CONTRACT", kToTheRight}});
  for (const auto& [key, spending] : report.rows()) AddSpending(key.caller, key, spending, table);
  for (const auto& [currency, spending] : report.Totals()) {
    AddSpending(Cell("total", Color::kBold), {"", "", currency}, spending, table);
  }
  return table.Format(colored);
}

std::string FormatCsv(const SpendingReport& report) {
  const std::string& month = report.month().name;
  std::string text =
      "\"row\",\"month\",\"caller\",\"account\",\"currency\",\"purchases\",\"upfront_fees\","
      "\"monthly_rates\",\"unknown_prices\",\"contracts\"\r\n";
  for (const auto& [key, spending] : report.rows()) {
    text += CsvLine("caller", month, key, spending);
  }
  for (const auto& [currency, spending] : report.Totals()) {
    text += CsvLine("total", month, {"", "", currency}, spending);
  }
  return text;
}

std::string FormatJson(const SpendingReport& report) {
  std::vector<std::string> rows, totals;
  for (const auto& [key, spending] : report.rows()) {
    rows.push_back(absl::StrCat("\"caller\": ", JsonText(key.caller), ", \"account\": ",
                                JsonText(key.account), ", ", JsonMembers(key.currency, spending)));
  }
  for (const auto& [currency, spending] : report.Totals()) {
    totals.push_back(JsonMembers(currency, spending));
  }
  const auto time = [](absl::Time when) {
    return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", when, absl::UTCTimeZone());
  };
  return absl::StrCat("{\n \"month\": \"", report.month().name, "\",\n \"start_time\": \"",
                      time(report.month().start), "\",\n \"end_time\": \"",
                      time(report.month().end), "\",\n \"rows\": ", JsonArray(rows),
                      ",\n \"totals\": ", JsonArray(totals), "\n}\n");
}

}  // namespace leasegateway
