#include "upstream/transport/address_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using Endpoint = AddressBook::Endpoint;

Endpoint At(const std::string& address) { return {boost::asio::ip::make_address(address), 443}; }

class AddressBookTest : public testing::Test {
 protected:
  std::vector<std::string> Order(const std::vector<std::string>& found) {
    std::vector<Endpoint> endpoints;
    for (const auto& address : found) endpoints.push_back(At(address));
    std::vector<std::string> order;
    for (const auto& endpoint : book_.InOrder(endpoints)) {
      order.push_back(endpoint.address().to_string());
    }
    return order;
  }

  AddressBook::TimePoint now_ = AddressBook::TimePoint() + std::chrono::hours(1);
  AddressBook book_{[this] { return now_; }};
};

TEST_F(AddressBookTest, FamiliesTakeTurnsAndTheFirstBegins) {
  EXPECT_THAT(Order({"::1", "::2", "::3", "10.0.0.1", "10.0.0.2"}),
              ElementsAre("::1", "10.0.0.1", "::2", "10.0.0.2", "::3"));
  EXPECT_THAT(Order({"10.0.0.1", "::1", "10.0.0.2"}), ElementsAre("10.0.0.1", "::1", "10.0.0.2"));
  EXPECT_THAT(Order({"10.0.0.2", "10.0.0.1"}), ElementsAre("10.0.0.2", "10.0.0.1"));
  EXPECT_THAT(Order({}), ElementsAre());
}

TEST_F(AddressBookTest, WhatFailedIsTriedLastAndNeverLeftOut) {
  book_.SetAside(At("::1"));
  EXPECT_THAT(Order({"::1", "10.0.0.1", "10.0.0.2"}), ElementsAre("10.0.0.1", "10.0.0.2", "::1"));
  now_ += std::chrono::seconds(1);
  book_.SetAside(At("10.0.0.1"));
  book_.SetAside(At("10.0.0.9"));  // is not an address of the host any more
  EXPECT_THAT(Order({"10.0.0.1", "::1", "10.0.0.2"}), ElementsAre("10.0.0.2", "::1", "10.0.0.1"));
  book_.SetAside(At("10.0.0.2"));
  EXPECT_THAT(Order({"10.0.0.1", "::1", "10.0.0.2"}), ElementsAre("::1", "10.0.0.1", "10.0.0.2"));
}

TEST_F(AddressBookTest, ItIsForgivenInTimeOrWhenItWorks) {
  book_.SetAside(At("::1"));
  now_ += AddressBook::kSetAsideTime - std::chrono::milliseconds(1);
  EXPECT_THAT(Order({"::1", "10.0.0.1"}), ElementsAre("10.0.0.1", "::1"));
  now_ += std::chrono::milliseconds(1);
  EXPECT_THAT(Order({"::1", "10.0.0.1"}), ElementsAre("::1", "10.0.0.1"));

  book_.SetAside(At("::1"));
  book_.Worked(At("::1"));
  EXPECT_THAT(Order({"::1", "10.0.0.1"}), ElementsAre("::1", "10.0.0.1"));
}

}  // namespace
}  // namespace leasegateway
