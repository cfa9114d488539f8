#include "service/guard/read_turn.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/support/guard_fixture.h"

namespace leasegateway {
namespace {

using std::chrono::microseconds;

constexpr microseconds kBitLess = ReadTurn::kLength - microseconds(1);

TEST(ReadTurnTest, EndsWhenItsTimeIsUp) {
  const ReadTurn::Clock::time_point now{};
  ReadTurn turn;
  turn.LeftMore(true, now);
  turn.LeftMore(true, now + kBitLess);
  ASSERT_TRUE(turn.goes_on());
  EXPECT_FALSE(turn.IsOver(now + kBitLess));
  EXPECT_TRUE(turn.IsOver(now + ReadTurn::kLength));
}

TEST(ReadTurnTest, NextOneIsAsLong) {
  const ReadTurn::Clock::time_point now{};
  ReadTurn turn;
  turn.LeftMore(true, now);
  ASSERT_TRUE(turn.IsOver(now + ReadTurn::kLength));
  EXPECT_FALSE(turn.goes_on());
  const auto later = now + 2 * ReadTurn::kLength;
  turn.LeftMore(true, later);
  EXPECT_FALSE(turn.IsOver(later + kBitLess));
  EXPECT_TRUE(turn.IsOver(later + ReadTurn::kLength));
}

TEST(ReadTurnTest, EndsByItselfWhenNothingIsLeft) {
  const ReadTurn::Clock::time_point now{};
  ReadTurn turn;
  turn.LeftMore(true, now);
  turn.LeftNothing();
  EXPECT_FALSE(turn.goes_on());
  EXPECT_FALSE(turn.IsOver(now + 2 * ReadTurn::kLength));
}

TEST(ReadTurnTest, WhatDidNotFillItsRoomIsParsedFirst) {
  const ReadTurn::Clock::time_point now{};
  ReadTurn turn;
  EXPECT_FALSE(turn.ParsesFirst());
  turn.LeftMore(true, now);
  EXPECT_FALSE(turn.ParsesFirst()) << "gRPC does that by itself";
  turn.LeftMore(false, now);
  EXPECT_TRUE(turn.ParsesFirst());
  EXPECT_FALSE(turn.ParsesFirst()) << "gRPC has parsed it";
  EXPECT_TRUE(turn.IsOver(now + ReadTurn::kLength)) << "of all these reads";
}

// A descriptor that is read as gRPC reads it: a little at a time, for as long as the kernel says
// that there is more.
class FairReadsTest : public ConnectionGuardTest {
 protected:
  ~FairReadsTest() override {
    if (set_ >= 0) close(set_);
  }

  void Connect() {
    Listen();
    peer_ = Dial();
    reading_ = Handed();
    ASSERT_GE(reading_, 0);
    const int one = 1;
    ASSERT_EQ(setsockopt(reading_, SOL_TCP, TCP_INQ, &one, sizeof(one)), 0);
  }
  void WaitForEdges() {
    set_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = kData;
    ASSERT_EQ(epoll_ctl(set_, EPOLL_CTL_ADD, reading_, &event), 0);
  }
  // A request of 60 KiB, whose bytes are all there when it is read.
  void Send() {
    sent_ = Preface() + std::string("\0\0\0\1\4\0\0\0\1", 9);
    for (int i = 0; i < 4; ++i) {
      sent_ += std::string("\0\x3c\0\0\0\0\0\0\1", 9) + std::string(0x3c00, static_cast<char>(i));
    }
    ASSERT_EQ(send(peer_, sent_.data(), sent_.size(), 0), static_cast<ssize_t>(sent_.size()));
    ASSERT_TRUE(Eventually([this] {
      std::string all(sent_.size(), 0);
      return recv(reading_, all.data(), all.size(), MSG_PEEK) == static_cast<ssize_t>(sent_.size());
    }));
  }
  // What recvmsg says; what it read is added to `got_`.
  ssize_t Read() {
    std::array<char, 16> buffer;
    std::array<char, CMSG_SPACE(sizeof(int))> control;
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(reading_, &message, 0);
    if (got > 0) got_.append(buffer.data(), static_cast<std::size_t>(got));
    return got;
  }
  // Whether an edge is there, of what was registered.
  bool IsTold() {
    epoll_event event{};
    return epoll_wait(set_, &event, 1, 0) == 1 && event.data.u64 == kData &&
           (event.events & EPOLLIN) != 0;
  }

  static constexpr std::uint64_t kData = 0x123456789abcdef0;
  int peer_ = -1;
  int reading_ = -1;
  int set_ = -1;
  std::string sent_;
  std::string got_;
};

TEST_F(FairReadsTest, TurnEndsAndTheRestIsToldOfAnew) {
  Connect();
  WaitForEdges();
  Send();
  ASSERT_TRUE(IsTold());
  ASSERT_FALSE(IsTold()) << "an edge is told of once";
  int turns = 0;
  auto began = ReadTurn::Clock::now();
  while (got_.size() < sent_.size()) {
    const ssize_t got = Read();
    if (got > 0) continue;
    ASSERT_EQ(got, -1);
    ASSERT_EQ(errno, EAGAIN);
    ++turns;
    EXPECT_GE(ReadTurn::Clock::now() - began, ReadTurn::kLength);
    ASSERT_TRUE(IsTold()) << "nobody would read on";
    began = ReadTurn::Clock::now();
  }
  EXPECT_GT(turns, 0);
  EXPECT_EQ(got_, sent_);
  EXPECT_EQ(Read(), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(IsTold()) << "there is nothing to tell of";
}

TEST_F(FairReadsTest, TurnGoesOnWhereNobodyCouldBeTold) {
  Connect();
  Send();
  while (got_.size() < sent_.size()) ASSERT_GT(Read(), 0) << errno;
  EXPECT_EQ(got_, sent_);
}

}  // namespace
}  // namespace leasegateway
