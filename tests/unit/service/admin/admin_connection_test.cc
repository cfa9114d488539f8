#include "service/admin/admin_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/support/admin_fixture.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kAsk[] = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";

class AdminConnectionTest : public AdminServerTest {
 protected:
  // Sends a byte every few milliseconds until the connection ends. False: it goes on for 10 s.
  static bool EndsWhileItDrips(HttpClient& client) {
    const auto give_up = steady_clock::now() + std::chrono::seconds(10);
    while (!client.Ended()) {
      if (steady_clock::now() > give_up) return false;
      client.Send("x");
      std::this_thread::sleep_for(milliseconds(10));
    }
    return true;
  }
  static int Count(const std::string& text, const std::string& part) {
    int count = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
    return count;
  }
};

TEST_F(AdminConnectionTest, ThePortsBoundsAreThese) {
  const AdminOptions bounds;
  EXPECT_EQ(bounds.max_connections, 256);
  EXPECT_EQ(bounds.max_connections_per_peer, 16);
  EXPECT_EQ(bounds.max_requests, 100);
  EXPECT_EQ(bounds.header_timeout, milliseconds(2'000));
  EXPECT_EQ(bounds.body_timeout, milliseconds(5'000));
  EXPECT_EQ(bounds.idle_timeout, milliseconds(5'000));
}

TEST_F(AdminConnectionTest, AHeaderIsThereInTimeHoweverItDrips) {
  Start({.header_timeout = milliseconds(1'000), .body_timeout = kLong, .idle_timeout = kLong});
  HttpClient client(admin_->port());
  client.Send("GET /readyz HTTP/1.1\r\nhost: ");
  EXPECT_TRUE(EndsWhileItDrips(client));
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 1U);
  HttpClient silent(admin_->port());
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 2U);
}

TEST_F(AdminConnectionTest, ALaterHeaderHasTheSameTimeFromItsFirstByte) {
  Start({.header_timeout = milliseconds(1'000), .body_timeout = kLong, .idle_timeout = kLong});
  HttpClient client(admin_->port());
  client.Send(kAsk);
  client.ReadUntil("ready\n");
  EXPECT_FALSE(client.Ended());
  std::this_thread::sleep_for(milliseconds(1'100));  // idle for longer than a header may take
  EXPECT_FALSE(client.Ended());
  EXPECT_TRUE(EndsWhileItDrips(client));
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 1U);
}

TEST_F(AdminConnectionTest, ABodyIsThereInTimeHoweverItDrips) {
  Start({.header_timeout = kLong, .body_timeout = milliseconds(1'000), .idle_timeout = kLong});
  HttpClient client(admin_->port());
  client.Send("PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 1024\r\n\r\n");
  EXPECT_TRUE(EndsWhileItDrips(client));
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 1U);
}

TEST_F(AdminConnectionTest, APageMayTakeLongerThanARequest) {
  Start({.header_timeout = milliseconds(50), .live_timeout = milliseconds(500)});
  EXPECT_EQ(Ask("GET", "/livez").status, 503);
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 0U);
}

TEST_F(AdminConnectionTest, AnIdleConnectionEnds) {
  Start({.header_timeout = kLong, .idle_timeout = milliseconds(50), .write_timeout = kLong});
  HttpClient client(admin_->port());
  client.Send(kAsk);
  EXPECT_TRUE(Becomes([&] { return admin_->stats()->connections == 1; }));
  EXPECT_TRUE(Becomes([&] { return admin_->stats()->connections == 0; }));
  EXPECT_EQ(Count(client.ReadAll(), "HTTP/1.1 200 "), 1);
  EXPECT_EQ(Lost(AdminLoss::kSlowRequest), 0U);
}

TEST_F(AdminConnectionTest, AConnectionHasSoManyRequestsAndIsToldWhichIsTheLast) {
  Start({.max_requests = 3, .idle_timeout = kLong});
  HttpClient client(admin_->port());
  for (int i = 0; i < 5; ++i) client.Send(kAsk);
  const std::string answers = client.ReadAll();
  EXPECT_EQ(Count(answers, "HTTP/1.1 200 "), 3);
  EXPECT_EQ(Count(answers, "Connection: close"), 1);
  EXPECT_GT(answers.find("Connection: close"), answers.rfind("HTTP/1.1 200 "));
}

TEST_F(AdminConnectionTest, PipelinedRequestsAreAnsweredInTurnAndNoneBeforeTheLastIsRead) {
  metrics_ = std::string(8 << 20, 'x');
  Start({.write_timeout = milliseconds(300)});
  HttpClient client(admin_->port());
  std::string asks;
  for (int i = 0; i < 50; ++i) asks += "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
  client.Send(asks);
  EXPECT_TRUE(Becomes([&] { return Lost(AdminLoss::kUnreadAnswer) == 1; }));
  EXPECT_TRUE(Becomes([&] { return admin_->stats()->connections == 0; }));
  EXPECT_EQ(scrapes_, 1);
}

TEST_F(AdminConnectionTest, AnAnswerIsReadInTimeHoweverItIsSipped) {
  metrics_ = std::string(32 << 20, 'x');
  Start({.write_timeout = milliseconds(300)});
  HttpClient client(admin_->port());
  client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_TRUE(Becomes([&] {
    client.Sip();
    return Lost(AdminLoss::kUnreadAnswer) == 1;
  }));
  EXPECT_LT(client.ReadAll().size(), metrics_.size());
}

TEST_F(AdminConnectionTest, WhatThePeerDidNotReadIsNotKeptForIt) {
  metrics_ = std::string(40'000, 'x');  // less than the system keeps for a connection
  Start({.write_timeout = milliseconds(300)});
  HttpClient client(admin_->port(), INADDR_LOOPBACK, 0, HttpClient::SmallWindow());
  client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(Becomes([&] { return Lost(AdminLoss::kUnreadAnswer) == 1; }));
  EXPECT_TRUE(Becomes([&] { return admin_->stats()->connections == 0; }));
  EXPECT_LT(client.ReadAll().size(), metrics_.size());
}

TEST_F(AdminConnectionTest, APeerThatSendsNoMoreGetsTheWholeAnswer) {
  metrics_ = std::string(40'000, 'x');
  Start({});
  HttpClient client(admin_->port(), INADDR_LOOPBACK, 0, HttpClient::SmallWindow());
  client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  client.ShutdownSend();
  std::this_thread::sleep_for(milliseconds(700));  // longer than one that has its answer stays
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_GT(answer.size(), metrics_.size());
  EXPECT_EQ(Lost(AdminLoss::kUnreadAnswer), 0U);
}

}  // namespace
}  // namespace leasegateway
