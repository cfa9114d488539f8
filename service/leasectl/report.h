#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_REPORT_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_REPORT_H_

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/numeric/int128.h"
#include "leasegateway/v1/resources.pb.h"
#include "service/leasectl/time_range.h"

namespace leasegateway {

// What was bought, and for how much of one currency.
struct Spending {
  std::int64_t purchases = 0;
  // Exact, in billionths of the currency's unit.
  absl::int128 upfront_fees = 0;
  absl::int128 monthly_rates = 0;
  // Purchases of which an amount is not known. It is in no sum.
  std::int64_t unknown_prices = 0;
  // Purchases that a service contract pays for by its own terms. Their prices are in no sum.
  std::int64_t contracts = 0;

  Spending& operator+=(const Spending& other);
};

// The purchases of a month by caller, account and currency.
class SpendingReport {
 public:
  struct Key {
    std::string caller;
    std::string account;
    std::string currency;  // empty: no amount is known

    auto operator<=>(const Key&) const = default;
  };

  explicit SpendingReport(Month month) : month_(std::move(month)) {}

  // Leaves out what is no purchase, has not succeeded, or was written down in another month. A
  // purchase is counted in the row of its monthly rate's currency; an upfront fee in another
  // currency is added in the row of that one.
  void Add(const v1::Operation& operation);

  const Month& month() const { return month_; }
  const std::map<Key, Spending>& rows() const { return rows_; }
  // By currency.
  std::map<std::string, Spending> Totals() const;

 private:
  Month month_;
  std::map<Key, Spending> rows_;
};

// A row each, and a row of totals a currency, for people to read.
std::string FormatTable(const SpendingReport& report, bool colored);
// RFC 4180, with a header; "row" says what a line is, "caller" or "total". All text is in quotes; a
// text that a spreadsheet would take for a formula begins with an apostrophe.
std::string FormatCsv(const SpendingReport& report);
// Amounts are decimal strings, counts are numbers.
std::string FormatJson(const SpendingReport& report);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_REPORT_H_
