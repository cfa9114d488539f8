#include "service/guard/read_turn.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "tests/support/guard_fixture.h"

namespace leasegateway {
namespace {

TEST(LooksTest, AreDueWhenNobodyHasLookedForAWhile) {
  const Looks::Clock::time_point now{std::chrono::hours(1)};
  Looks looks;
  EXPECT_TRUE(looks.AreDue(now)) << "nobody ever has";
  looks.Begin();
  EXPECT_FALSE(looks.AreDue(now)) << "somebody does";
  looks.End();
  EXPECT_FALSE(looks.AreDue(now)) << "it is not known for how long nobody has";
  EXPECT_FALSE(looks.AreDue(now + Looks::kEvery - std::chrono::nanoseconds(1)));
  EXPECT_TRUE(looks.AreDue(now + Looks::kEvery));
  EXPECT_TRUE(looks.AreDue(now + Looks::kEvery)) << "still nobody has";
  looks.Begin();
  looks.Begin();
  looks.End();
  EXPECT_FALSE(looks.AreDue(now + Looks::kEvery));
  EXPECT_FALSE(looks.AreDue(now + 2 * Looks::kEvery)) << "another one still does";
}

TEST(ReadTurnTest, GoesOnWhileReadsLeaveSomething) {
  ReadTurn turn;
  EXPECT_FALSE(turn.goes_on()) << "a turn has a read";
  turn.LeftMore(false);
  EXPECT_TRUE(turn.goes_on());
  turn.End();
  EXPECT_FALSE(turn.goes_on());
}

TEST(ReadTurnTest, WhatWasCutShortIsParsedFirst) {
  ReadTurn turn;
  EXPECT_FALSE(turn.ParsesFirst());
  turn.LeftMore(false);
  EXPECT_FALSE(turn.ParsesFirst()) << "gRPC does that by itself";
  turn.LeftMore(true);
  EXPECT_TRUE(turn.ParsesFirst());
  EXPECT_FALSE(turn.ParsesFirst()) << "gRPC has parsed it";
  EXPECT_TRUE(turn.goes_on());
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
    const int much = 1 << 20;
    ASSERT_EQ(setsockopt(reading_, SOL_SOCKET, SO_RCVBUF, &much, sizeof(much)), 0);
    ASSERT_EQ(setsockopt(peer_, SOL_SOCKET, SO_SNDBUF, &much, sizeof(much)), 0);
  }
  void WaitForEdges() {
    set_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = kData;
    ASSERT_EQ(epoll_ctl(set_, EPOLL_CTL_ADD, reading_, &event), 0);
  }
  // A request of so many times 15 KiB, whose bytes are all there when it is read.
  void Send(int parts) {
    sent_ = Preface() + std::string("\0\0\0\1\4\0\0\0\1", 9);
    for (int i = 0; i < parts; ++i) {
      sent_ += std::string("\0\x3c\0\0\0\0\0\0\1", 9) + std::string(0x3c00, static_cast<char>(i));
    }
    ASSERT_EQ(send(peer_, sent_.data(), sent_.size(), 0), static_cast<ssize_t>(sent_.size()));
    ASSERT_TRUE(Eventually([this] {
      std::string all(sent_.size(), 0);
      return recv(reading_, all.data(), all.size(), MSG_PEEK) == static_cast<ssize_t>(sent_.size());
    }));
  }
  // What recvmsg says of so much room; what it read is added to `got_`.
  ssize_t Read(std::size_t room = 1) {
    std::string buffer(room, 0);
    std::array<char, CMSG_SPACE(sizeof(int))> control;
    iovec parts[2] = {{buffer.data(), room / 2}, {buffer.data() + room / 2, room - room / 2}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(reading_, &message, 0);
    EXPECT_EQ(message.msg_iov, parts);
    EXPECT_EQ(message.msg_iovlen, 2);
    EXPECT_EQ(parts[1].iov_len, room - room / 2);
    if (got > 0) got_.append(buffer.data(), static_cast<std::size_t>(got));
    return got;
  }
  // Whether an edge is there, of what was registered.
  bool IsTold() {
    epoll_event event{};
    return epoll_wait(set_, &event, 1, 0) == 1 && event.data.u64 == kData &&
           (event.events & EPOLLIN) != 0;
  }

  static bool Sleeps(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string stat;
    std::getline(file, stat);
    return stat.find(") S ") != std::string::npos;  // proc(5)
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
  Send(4);
  ASSERT_TRUE(IsTold());
  ASSERT_FALSE(IsTold()) << "an edge is told of once";
  int turns = 0;
  auto looked = Looks::Clock::now();
  while (got_.size() < sent_.size()) {
    if (Read() > 0) continue;
    ASSERT_EQ(errno, EAGAIN);
    ++turns;
    EXPECT_GT(Looks::Clock::now() - looked, Looks::kEvery / 2);
    ASSERT_TRUE(IsTold()) << "nobody would read on";
    looked = Looks::Clock::now();
  }
  EXPECT_GT(turns, 0);
  EXPECT_EQ(got_, sent_);
  EXPECT_EQ(Read(), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(IsTold()) << "there is nothing to tell of";
}

TEST_F(FairReadsTest, EachTurnHasARead) {
  Connect();
  WaitForEdges();
  Send(1);
  ASSERT_TRUE(IsTold());
  ASSERT_EQ(Read(), 1);
  ASSERT_EQ(Read(), 1) << "somebody has looked just before";
  std::this_thread::sleep_for(2 * Looks::kEvery);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Read(), -1) << "nobody looks";
    EXPECT_EQ(Read(), 1);
  }
}

TEST_F(FairReadsTest, TurnGoesOnWhileSomebodyLooks) {
  Connect();
  WaitForEdges();
  Send(4);
  ASSERT_TRUE(IsTold());
  const int wake = eventfd(0, EFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(set_, EPOLL_CTL_ADD, wake, &event), 0);
  std::atomic<pid_t> looks = 0;
  std::thread looker([&] {
    epoll_event found{};
    looks = gettid();
    epoll_wait(set_, &found, 1, 20'000);
  });
  ASSERT_TRUE(Eventually([&] { return looks != 0 && Sleeps(looks); }));
  while (got_.size() < sent_.size()) {
    if (Read() != 1) break;
  }
  EXPECT_EQ(got_, sent_);
  eventfd_write(wake, 1);
  looker.join();
  close(wake);
}

TEST_F(FairReadsTest, TurnGoesOnWhereNobodyCouldBeTold) {
  Connect();
  Send(4);
  while (got_.size() < sent_.size()) ASSERT_EQ(Read(), 1) << errno;
  EXPECT_EQ(got_, sent_);
}

TEST_F(FairReadsTest, ReadIsCutShortAndParsedFirst) {
  Connect();
  Send(10);
  const auto most = static_cast<ssize_t>(ReadTurn::kMostBytes);
  const std::size_t room = 2 * ReadTurn::kMostBytes + 3;
  ASSERT_GT(sent_.size(), room);
  EXPECT_EQ(Read(room), most);
  EXPECT_EQ(Read(room), -1) << "gRPC would read on before it parses";
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(Read(room), most);
  EXPECT_EQ(Read(room), -1);
  EXPECT_EQ(Read(room), static_cast<ssize_t>(sent_.size()) - 2 * most) << "all that is left";
  EXPECT_EQ(got_, sent_);
}

}  // namespace
}  // namespace leasegateway
