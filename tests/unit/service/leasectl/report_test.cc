#include "service/leasectl/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;

google::type::Money Amount(std::int64_t units, std::int32_t nanos, const std::string& currency) {
  google::type::Money money;
  money.set_units(units);
  money.set_nanos(nanos);
  money.set_currency_code(currency);
  return money;
}

// A purchase of November 2026 that costs 1.50 USD at once and 5 USD a month.
v1::Operation Purchase(const std::string& caller, const std::string& account) {
  v1::Operation operation;
  operation.set_caller(caller);
  operation.set_account(account);
  operation.set_kind(v1::OPERATION_KIND_LEASE);
  operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
  operation.set_billing_method(v1::BILLING_METHOD_MONTHLY);
  *operation.mutable_price()->mutable_upfront_fee() = Amount(1, 500'000'000, "USD");
  *operation.mutable_price()->mutable_monthly_rate() = Amount(5, 0, "USD");
  *operation.mutable_create_time() = ToTimestamp(ParseInstant("2026-11-15").value());
  return operation;
}

SpendingReport November() { return SpendingReport(ParseMonth("2026-11").value()); }

SpendingReport ReportOf(const std::vector<v1::Operation>& operations) {
  SpendingReport report = November();
  for (const v1::Operation& operation : operations) report.Add(operation);
  return report;
}

TEST(SpendingReport, SumsByCallerAccountAndCurrency) {
  v1::Operation any = Purchase("orders", "sales");
  any.set_kind(v1::OPERATION_KIND_LEASE_ANY);
  v1::Operation euros = Purchase("orders", "sales");
  *euros.mutable_price()->mutable_upfront_fee() = Amount(0, 0, "EUR");
  *euros.mutable_price()->mutable_monthly_rate() = Amount(0, 1, "EUR");
  const SpendingReport report =
      ReportOf({Purchase("orders", "sales"), any, euros, Purchase("orders", "support"),
                Purchase("returns", "sales")});
  EXPECT_EQ(FormatTable(report, false),
            "CALLER   ACCOUNT  CURRENCY  PURCHASES  UPFRONT FEES  MONTHLY RATES  UNKNOWN PRICE  "
            "CONTRACT\n"
            "orders   sales    EUR               1          0.00    0.000000001              -     "
            "    -\n"
            "orders   sales    USD               2          3.00          10.00              -     "
            "    -\n"
            "orders   support  USD               1          1.50           5.00              -     "
            "    -\n"
            "returns  sales    USD               1          1.50           5.00              -     "
            "    -\n"
            "total    -        EUR               1          0.00    0.000000001              -     "
            "    -\n"
            "total    -        USD               4          6.00          20.00              -     "
            "    -\n");
}

TEST(SpendingReport, LeavesOutWhatIsNoPurchaseOfTheMonth) {
  v1::Operation termination = Purchase("orders", "sales");
  termination.set_kind(v1::OPERATION_KIND_TERMINATE);
  std::vector<v1::Operation> operations = {termination};
  for (const v1::OperationState state : {v1::OPERATION_STATE_INTENDED, v1::OPERATION_STATE_SENT,
                                         v1::OPERATION_STATE_FAILED, v1::OPERATION_STATE_UNKNOWN}) {
    operations.push_back(Purchase("orders", "sales"));
    operations.back().set_state(state);
  }
  for (const char* time : {"2026-10-31T23:59:59.999999999Z", "2026-12-01T00:00:00Z"}) {
    operations.push_back(Purchase("orders", "sales"));
    *operations.back().mutable_create_time() = ToTimestamp(ParseInstant(time).value());
  }
  EXPECT_EQ(FormatTable(ReportOf(operations), false), "no purchases in 2026-11\n");
  for (const char* time : {"2026-11-01T00:00:00Z", "2026-11-30T23:59:59.999999999Z"}) {
    operations.push_back(Purchase("orders", "sales"));
    *operations.back().mutable_create_time() = ToTimestamp(ParseInstant(time).value());
  }
  EXPECT_EQ(ReportOf(operations).Totals().at("USD").purchases, 2);
}

TEST(SpendingReport, SumsAreExactAndDontOverflow) {
  v1::Operation huge = Purchase("orders", "sales");
  *huge.mutable_price()->mutable_monthly_rate() =
      Amount(std::numeric_limits<std::int64_t>::max(), 999'999'999, "USD");
  v1::Operation tenth = Purchase("orders", "sales");
  *tenth.mutable_price()->mutable_monthly_rate() = Amount(0, 100'000'000, "USD");
  EXPECT_THAT(FormatCsv(ReportOf({huge, huge})), HasSubstr(",18446744073709551615.999999998,"));
  EXPECT_THAT(FormatCsv(ReportOf({tenth, tenth, tenth})), HasSubstr(",0.30,"));
  v1::Operation negative = Purchase("orders", "sales");
  *negative.mutable_price()->mutable_monthly_rate() = Amount(-1, -250'000'000, "USD");
  EXPECT_THAT(FormatCsv(ReportOf({negative})), HasSubstr(",-1.25,"));
}

TEST(SpendingReport, UnknownPricesAreCountedApart) {
  v1::Operation unknown = Purchase("orders", "sales");
  unknown.clear_price();
  v1::Operation half = Purchase("orders", "sales");
  half.mutable_price()->clear_upfront_fee();
  v1::Operation nameless = Purchase("orders", "sales");  // an amount of nothing
  *nameless.mutable_price()->mutable_monthly_rate() = Amount(7, 0, "");
  const SpendingReport report =
      ReportOf({Purchase("orders", "sales"), unknown, unknown, half, nameless});
  const auto& rows = report.rows();
  ASSERT_EQ(rows.size(), 2U);
  const Spending& none = rows.at({"orders", "sales", ""});
  EXPECT_EQ(none.purchases, 2);
  EXPECT_EQ(none.unknown_prices, 2);
  EXPECT_EQ(none.monthly_rates, 0);
  const Spending& dollars = rows.at({"orders", "sales", "USD"});
  EXPECT_EQ(dollars.purchases, 3);
  EXPECT_EQ(dollars.unknown_prices, 2);
  EXPECT_EQ(dollars.monthly_rates, absl::int128(10'000'000'000));
  EXPECT_EQ(dollars.upfront_fees, absl::int128(3'000'000'000));
  EXPECT_THAT(FormatTable(report, false),
              HasSubstr("orders  sales    -                 2             -              -"
                        "              2         -\n"));
}

// As the provider charges: nothing for a contract's, which are paid for by its terms, or a present.
TEST(SpendingReport, OnlyWhatIsPaidMonthlyIsSummed) {
  v1::Operation contract = Purchase("orders", "sales");
  contract.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  v1::Operation present = Purchase("orders", "sales");
  present.mutable_lease()->mutable_billing()->set_method(v1::BILLING_METHOD_GOODWILL);
  const SpendingReport report = ReportOf({Purchase("orders", "sales"), contract, present});
  const Spending total = report.Totals().at("USD");
  EXPECT_EQ(total.purchases, 3);
  EXPECT_EQ(total.contracts, 1);
  EXPECT_EQ(total.unknown_prices, 0);
  EXPECT_EQ(total.monthly_rates, absl::int128(5'000'000'000));
  EXPECT_EQ(total.upfront_fees, absl::int128(1'500'000'000));
}

TEST(SpendingReport, FeeInAnotherCurrencyIsInTheRowOfThatOne) {
  v1::Operation mixed = Purchase("orders", "sales");
  mixed.mutable_price()->mutable_upfront_fee()->set_currency_code("EUR");
  const auto totals = ReportOf({mixed}).Totals();
  ASSERT_EQ(totals.size(), 2U);
  EXPECT_EQ(totals.at("USD").purchases, 1);
  EXPECT_EQ(totals.at("USD").upfront_fees, 0);
  EXPECT_EQ(totals.at("EUR").purchases, 0);
  EXPECT_EQ(totals.at("EUR").upfront_fees, absl::int128(1'500'000'000));
}

TEST(SpendingReport, CsvQuotesTextAndStartsNoFormula) {
  EXPECT_EQ(
      FormatCsv(ReportOf({Purchase("orders, \"big\"", "sales"), Purchase("two\r\nlines", "=1+1"),
                          Purchase("@a", "-b"), Purchase("+c", "＝d")})),
      "\"row\",\"month\",\"caller\",\"account\",\"currency\",\"purchases\",\"upfront_fees\","
      "\"monthly_rates\",\"unknown_prices\",\"contracts\"\r\n"
      "\"caller\",\"2026-11\",\"'+c\",\"'＝d\",\"USD\",1,1.50,5.00,0,0\r\n"
      "\"caller\",\"2026-11\",\"'@a\",\"'-b\",\"USD\",1,1.50,5.00,0,0\r\n"
      "\"caller\",\"2026-11\",\"orders, \"\"big\"\"\",\"sales\",\"USD\",1,1.50,5.00,0,0\r\n"
      "\"caller\",\"2026-11\",\"two\\x0d\\nlines\",\"'=1+1\",\"USD\",1,1.50,5.00,0,0\r\n"
      "\"total\",\"2026-11\",\"\",\"\",\"USD\",4,6.00,20.00,0,0\r\n");
  EXPECT_EQ(FormatCsv(November()),
            "\"row\",\"month\",\"caller\",\"account\",\"currency\",\"purchases\",\"upfront_fees\","
            "\"monthly_rates\",\"unknown_prices\",\"contracts\"\r\n");
}

TEST(SpendingReport, JsonHasStableKeysAndExactAmounts) {
  EXPECT_EQ(FormatJson(ReportOf({Purchase("orders", "sales")})),
            "{\n"
            " \"month\": \"2026-11\",\n"
            " \"start_time\": \"2026-11-01T00:00:00Z\",\n"
            " \"end_time\": \"2026-12-01T00:00:00Z\",\n"
            " \"rows\": [\n"
            "  {\"caller\": \"orders\", \"account\": \"sales\", \"currency\": \"USD\", "
            "\"purchases\": 1, \"upfront_fees\": \"1.50\", \"monthly_rates\": \"5.00\", "
            "\"unknown_prices\": 0, \"contracts\": 0}\n"
            " ],\n"
            " \"totals\": [\n"
            "  {\"currency\": \"USD\", \"purchases\": 1, \"upfront_fees\": \"1.50\", "
            "\"monthly_rates\": \"5.00\", \"unknown_prices\": 0, \"contracts\": 0}\n"
            " ]\n"
            "}\n");
  const std::string name = "a \"quote\", a \\ and\na line";
  for (const SpendingReport& report : {ReportOf({Purchase(name, "sales")}), November()}) {
    google::protobuf::Struct parsed;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(FormatJson(report), &parsed).ok());
    const auto& rows = parsed.fields().at("rows").list_value();
    EXPECT_EQ(rows.values_size(), static_cast<int>(report.rows().size()));
    for (const auto& row : rows.values()) {
      EXPECT_EQ(row.struct_value().fields().at("caller").string_value(), name);
    }
  }
}

TEST(SpendingReport, TableLetsNobodyDriveTheTerminal) {
  const std::string table = FormatTable(ReportOf({Purchase("\x1b[2J", "sales")}), false);
  EXPECT_EQ(table.find('\x1b'), table.npos);
  EXPECT_THAT(table, HasSubstr("\\x1b[2J"));
}

}  // namespace
}  // namespace leasegateway
