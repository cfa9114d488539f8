#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SNAPSHOTS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SNAPSHOTS_H_

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/number_filter.h"
#include "upstream/availability/order_by.h"

namespace leasegateway {

// Numbers, snapshots of them, and what searching these finds.
using ::google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

inline v1::Number NumberOf(std::string_view phone_number) {
  v1::Number number;
  number.set_phone_number(std::string(phone_number));
  return number;
}

inline NumberList ListOf(std::initializer_list<v1::Number> numbers) {
  return NumberList(numbers.begin(), numbers.end());
}

inline v1::ResponseMetadata Metadata() {
  v1::ResponseMetadata metadata;
  metadata.set_upstream_request_id("req_4f1c");
  metadata.mutable_upstream_time()->set_seconds(1785698220);
  metadata.set_upstream_api_version("v2026.10.1");
  metadata.mutable_fetch_time()->set_seconds(1785698221);
  return metadata;
}

inline std::shared_ptr<const Availability> Build(const NumberList& numbers) {
  return Availability::Build(numbers, Metadata(), PinInMemory);
}

inline google::type::Money Money(std::string_view currency, std::int64_t units,
                                 std::int32_t nanos = 0) {
  google::type::Money money;
  money.set_currency_code(std::string(currency));
  money.set_units(units);
  money.set_nanos(nanos);
  return money;
}

inline v1::Number Priced(std::string_view phone_number, const google::type::Money& monthly_rate) {
  v1::Number number = NumberOf(phone_number);
  *number.mutable_pricing()->mutable_monthly_rate() = monthly_rate;
  return number;
}

inline v1::ListAvailableNumbersResponse ListReply(const Availability& availability) {
  return ParseReply<v1::ListAvailableNumbersResponse>(availability.list_reply());
}

inline v1::ListAvailableNumbersResponse ListReplyOf(const NumberList& numbers) {
  v1::ListAvailableNumbersResponse reply;
  *reply.mutable_numbers() = numbers;
  reply.set_total_size(numbers.size());
  *reply.mutable_metadata() = Metadata();
  return reply;
}

// The parts of a page, read in the way that the service writes them.
inline NumberList NumbersOf(const Availability& availability,
                            const std::vector<std::uint32_t>& rows) {
  std::string bytes;
  availability.AppendNumbers(rows, &bytes);
  v1::ListAvailableNumbersResponse reply;
  EXPECT_TRUE(reply.ParseFromString(bytes));
  return reply.numbers();
}

inline std::vector<std::string> PhoneNumbersOf(const NumberList& numbers) {
  std::vector<std::string> result;
  for (const v1::Number& number : numbers) result.push_back(number.phone_number());
  return result;
}

inline std::vector<std::string> Search(const Availability& availability,
                                       const v1::AvailabilityFilter& filter,
                                       std::string_view order_by) {
  const auto page = availability.Search(filter, ParseOrderBy(order_by).value(), 0, 1000);
  EXPECT_EQ(page.total, page.rows.size());
  return PhoneNumbersOf(NumbersOf(availability, page.rows));
}

MATCHER_P(EqualsMessage, expected, "") {
  MessageDifferencer differencer;
  std::string difference;
  differencer.ReportDifferencesToString(&difference);
  const bool equal = differencer.Compare(expected, arg);
  *result_listener << difference;
  return equal;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SNAPSHOTS_H_
