#include "service/guard/connection_guard.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "service/guard/networks.h"
#include "service/guard/unfinished_sums.h"
#include "tests/support/guard_fixture.h"

namespace leasegateway {
namespace {

TEST_F(ConnectionGuardTest, HandsOverWhatIsSent) {
  Listen();
  const int peer = Dial();
  const int handed = Handed();
  ASSERT_GE(handed, 0);
  ASSERT_EQ(send(peer, Preface().data(), Preface().size(), 0),
            static_cast<ssize_t>(Preface().size()));
  std::string got;
  ASSERT_GT(Receive(handed, got), 0);
  EXPECT_EQ(got, Preface());
  EXPECT_EQ(guard_->stats().connections, 1);
  EXPECT_EQ(guard_->stats().accepted, 1);
  Close(handed);
  EXPECT_TRUE(SeesEnd(peer));
  EXPECT_TRUE(Eventually([this] { return guard_->stats().connections == 0; }));
}

TEST_F(ConnectionGuardTest, OffenceEndsTheConnectionBeforeItIsRead) {
  Listen();
  const int peer = Dial();
  const int handed = Handed();
  const std::string flood = Preface() + Pings(20'000);
  std::thread sender([&] { send(peer, flood.data(), flood.size(), MSG_NOSIGNAL); });
  std::string got;
  std::size_t all = 0;
  ssize_t last = 0;
  while ((last = Receive(handed, got)) > 0) all += static_cast<std::size_t>(last);
  sender.join();
  EXPECT_EQ(last, 0) << "gRPC reads the end";
  EXPECT_LT(all, flood.size() / 2);
  EXPECT_LE(Receive(handed, got), 0) << "and nothing after it";
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
  EXPECT_EQ(guard_->stats().connections, 0);
}

TEST_F(ConnectionGuardTest, AddressOfWhoWasCutWaitsAndOthersDoNot) {
  Listen();
  const int good = Dial();
  const int good_handed = Handed();
  const int peer = Dial();
  const int handed = Handed();
  const std::string flood = Preface() + Pings(5'000);
  send(peer, flood.data(), flood.size(), MSG_NOSIGNAL);
  std::string got;
  while (Receive(handed, got) > 0) {
  }
  ASSERT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
  EXPECT_TRUE(SeesEnd(Dial()));
  EXPECT_EQ(guard_->stats().refused[static_cast<std::size_t>(Refusal::kWaits)], 1);
  Dial("127.0.0.2");
  EXPECT_GE(Handed(), 0);
  // The other connection of the same address stays.
  send(good, Preface().data(), Preface().size(), 0);
  EXPECT_GT(Receive(good_handed, got), 0);
}

TEST_F(ConnectionGuardTest, TrustedProxyIsCutButDoesNotWait) {
  ConnectionGuard::Options options;
  options.peers.trusted_proxies = *Networks::Parse("127.0.0.0/30");
  Listen(options);
  const int peer = Dial();
  const int handed = Handed();
  const std::string flood = Preface() + Pings(5'000);
  send(peer, flood.data(), flood.size(), MSG_NOSIGNAL);
  std::string got;
  while (Receive(handed, got) > 0) {
  }
  ASSERT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
  Dial();
  EXPECT_GE(Handed(), 0);
}

// gRPC closes a connection, and the process's next socket has its number at once.
TEST_F(ConnectionGuardTest, AnotherSocketWithItsNumberIsLeftAlone) {
  Listen();
  Dial();
  const int handed = Handed();
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Close(handed);
  ASSERT_EQ(dup2(pair[0], handed), handed);
  const std::string flood = Preface() + Pings(5'000);
  std::thread sender([&] { send(pair[1], flood.data(), flood.size(), MSG_NOSIGNAL); });
  std::string got;
  std::size_t all = 0;
  while (all < flood.size()) {
    const ssize_t size = Receive(handed, got);
    ASSERT_GT(size, 0);
    all += static_cast<std::size_t>(size);
  }
  sender.join();
  EXPECT_EQ(guard_->stats().cut[IndexOf(CutReason::kIdleFrames)], 0);
  close(handed);
  close(pair[0]);
  close(pair[1]);
}

TEST_F(ConnectionGuardTest, SettingsAreAcknowledgedOnceSomethingWasSent) {
  Listen();
  const std::string text = Preface() + Acknowledgement();
  std::string got;
  for (const bool has_sent : {true, false}) {
    const int peer = Dial();
    const int handed = Handed();
    std::string settings = Settings();
    iovec part{settings.data(), settings.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (has_sent) {
      EXPECT_EQ(sendmsg(handed, &message, 0), 9);
    }
    send(peer, text.data(), text.size(), 0);
    EXPECT_EQ(Receive(handed, got), has_sent ? static_cast<ssize_t>(text.size()) : 0);
  }
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kUnacknowledged)] == 1; }));
}

TEST_F(ConnectionGuardTest, CallsThatItHasNotSeenAreNoticed) {
  std::atomic<bool> has_served{false};
  ConnectionGuard::Options options;
  options.has_served = [&] { return has_served.load(); };
  Listen(options);
  const int peer = Dial();
  const int handed = Handed();
  const std::string text = Preface() + std::string("\0\0\1\1\5\0\0\0\1", 9) + "\x82";
  send(peer, text.data(), text.size(), 0);
  std::string got(text.size(), '\0');
  pollfd wait{handed, POLLIN, 0};
  ASSERT_EQ(poll(&wait, 1, 5'000), 1);
  EXPECT_GT(recv(handed, got.data(), got.size(), 0), 0) << "not by recvmsg";
  EXPECT_TRUE(guard_->stats().sees);
  has_served = true;
  EXPECT_TRUE(Eventually([this] { return !guard_->stats().sees; }));
  guard_.reset();
}

TEST_F(ConnectionGuardTest, FirstCallIsSeenThoughItIsServedDuringALook) {
  std::atomic<int> handed{-1};
  std::atomic<bool> has_served{false};
  ConnectionGuard::Options options;
  options.has_served = [&] {
    std::string got;
    if (handed >= 0 && !has_served) has_served = Receive(handed, got) > 0;
    return has_served.load();
  };
  Listen(options);
  const std::string text = Preface() + std::string("\0\0\1\1\5\0\0\0\1", 9) + "\x82";
  send(Dial(), text.data(), text.size(), 0);
  handed = Handed();
  EXPECT_TRUE(Eventually([&] { return has_served.load(); }));
  guard_->StopListening();  // after that look
  EXPECT_TRUE(guard_->stats().sees);
  guard_.reset();
}

TEST_F(ConnectionGuardTest, StoppedListeningRefusesAndKeepsWhatThereIs) {
  Listen();
  const int peer = Dial();
  const int handed = Handed();
  guard_->StopListening();
  const int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  address.sin_port = htons(static_cast<std::uint16_t>(guard_->port()));
  EXPECT_NE(connect(late, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(late);
  send(peer, Preface().data(), Preface().size(), 0);
  std::string got;
  EXPECT_GT(Receive(handed, got), 0);
}

TEST_F(ConnectionGuardTest, TakenPortIsNamed) {
  Listen();
  const std::string taken = "127.0.0.1:" + std::to_string(guard_->port());
  const auto second = ConnectionGuard::Listen(taken, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(), "listen: \"" + taken +
                                           "\": can't listen there: Address already in use: is "
                                           "the port taken?");
}

// The process takes more than a byte, so memory is short from the beginning.
TEST_F(ConnectionGuardTest, WhoCostsMostOfAShortMemoryIsCut) {
  ConnectionGuard::Options options;
  options.max_memory = 1;
  Listen(options);
  const int good = Dial();
  const int good_handed = Handed();
  const int peer = Dial();
  const int handed = Handed();
  std::string got;
  send(good, Preface().data(), Preface().size(), 0);
  EXPECT_GT(Receive(good_handed, got), 0);
  // A call whose request of 1 MiB doesn't end.
  std::string half = Preface() + std::string("\0\0\1\1\4\0\0\0\1", 9) + "h";
  for (int i = 0; i < 64; ++i) {
    half += std::string("\0\x40\0\0\0\0\0\0\1", 9) + std::string(1 << 14, 'x');
  }
  std::thread sender([&] { send(peer, half.data(), half.size(), MSG_NOSIGNAL); });
  while (Receive(handed, got) > 0) {
  }
  sender.join();
  EXPECT_TRUE(Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kMemory)] == 1; }));
  Dial();
  EXPECT_GE(Handed(), 0) << "its address doesn't wait";
  EXPECT_EQ(guard_->stats().connections, 2);
}

// Calls whose answers are given no window, on connections that gRPC says nothing on.
TEST_F(ConnectionGuardTest, WithTooManyCallsThatWaitWhoTakesNothingIsCut) {
  Listen();
  const auto ask = [this](unsigned calls) {
    const int peer = Dial();
    const int handed = Handed();
    std::string bytes = std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") +
                        std::string("\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0", 15);
    for (unsigned i = 0; i < calls; ++i) {
      const unsigned stream = 2 * i + 1;
      bytes += std::string("\0\0\1\1\5\0\0", 7) + static_cast<char>(stream >> 8) +
               static_cast<char>(stream) + "h";
    }
    EXPECT_EQ(send(peer, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    std::string got;
    EXPECT_GT(Receive(handed, got), 0);
    return handed;
  };
  const int answered = ask(1'000);
  // The end of each of its calls: it has none any more.
  for (unsigned stream = 1; stream < 2'000; stream += 2) {
    std::string end = std::string("\0\0\1\1\5\0\0", 7) + static_cast<char>(stream >> 8) +
                      static_cast<char>(stream) + "h";
    iovec part{end.data(), end.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ASSERT_EQ(sendmsg(answered, &message, 0), 10);
  }
  ask(100);
  ask(900);
  for (int i = 0; i < 2; ++i) ask(600);
  const auto cut = [this] { return guard_->stats().cut[IndexOf(CutReason::kUnreadAnswers)]; };
  EXPECT_TRUE(Eventually([&] { return cut() == 1; })) << "the one with 900, of 2,200";
  char byte = 0;
  EXPECT_EQ(recv(answered, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
  EXPECT_EQ(errno, EAGAIN) << "not this one";
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(cut(), 1);
}

TEST_F(ConnectionGuardTest, ManyConnectionsAtOnceAreAllHandedOver) {
  ConnectionGuard::Options options;
  options.peers.connects_at_once = 500;
  Listen(options);
  for (int i = 0; i < 500; ++i) Dial();
  for (int i = 0; i < 500; ++i) ASSERT_GE(Handed(), 0);
  EXPECT_EQ(guard_->stats().connections, 500);
}

// Connecting anew for each handful of what is bounded.
TEST_F(ConnectionGuardTest, OfTheNextConnectionOfAnAddressIsSpentWhatTheLastSpent) {
  Listen();
  const auto pings = [&](const char* from) {
    const int peer = Dial(from);
    const int handed = Handed();
    const std::string flood = Preface() + Pings(1'500);
    send(peer, flood.data(), flood.size(), MSG_NOSIGNAL);
    std::string got;
    std::size_t all = 0;
    ssize_t last = 1;
    while (all < flood.size() && last > 0) {
      last = Receive(handed, got);
      all += got.size();
    }
    close(peer);
    std::erase(dialled_, peer);
    Close(handed);
    EXPECT_TRUE(Eventually([this] { return guard_->stats().connections == 0; }));
    return all == flood.size();
  };
  EXPECT_TRUE(pings("127.0.0.1"));
  EXPECT_FALSE(pings("127.0.0.1"));
  EXPECT_TRUE(pings("127.0.0.2"));
  EXPECT_EQ(guard_->stats().cut[IndexOf(CutReason::kIdleFrames)], 1);
}

TEST_F(ConnectionGuardTest, WhoConnectsTooOftenIsRefused) {
  ConnectionGuard::Options options;
  options.peers.connects_at_once = 3;
  options.peers.connects_a_second = 1;
  Listen(options);
  for (int i = 0; i < 3; ++i) {
    Dial();
    ASSERT_GE(Handed(), 0) << i;
  }
  EXPECT_TRUE(SeesEnd(Dial()));
  EXPECT_EQ(guard_->stats().refused[static_cast<std::size_t>(Refusal::kConnecting)], 1);
}

// Calls without end on many connections, none of which has many, and which send a byte of one now
// and then; then comes who has more.
TEST_F(ConnectionGuardTest, WhoHoldsWhatAllMayHaveIsCutAndNotWhoComes) {
  Listen();
  const auto begun = [](int calls) {
    std::string frames;
    for (int i = 0; i < calls; ++i) {
      const int stream = 2 * i + 1;
      frames += std::string("\0\0\1\1\4\0\0", 7) + static_cast<char>(stream >> 8) +
                static_cast<char>(stream) + "h";
    }
    return frames;
  };
  const auto open = [&](const char* from, int calls) {
    const int peer = Dial(from);
    const int handed = Handed();
    const std::string frames = Preface() + begun(calls);
    send(peer, frames.data(), frames.size(), MSG_NOSIGNAL);
    std::string got;
    std::size_t all = 0;
    while (all < frames.size() && Receive(handed, got) > 0) all += got.size();
    EXPECT_EQ(all, frames.size());
    return std::pair(peer, handed);
  };
  std::vector<std::pair<int, int>> holders;
  for (int i = 0; i < 45; ++i) holders.push_back(open("127.0.0.2", 128));
  std::this_thread::sleep_for(UnfinishedSums::kSilence + std::chrono::milliseconds(300));
  for (const auto& [peer, handed] : holders) {
    std::string got;
    send(peer, "\0\0\1\0\0\0\0\0\1x", 10, MSG_NOSIGNAL);
    EXPECT_EQ(Receive(handed, got), 10);
  }
  EXPECT_EQ(guard_->stats().connections, 45);
  const int late = open("127.0.0.3", 600).first;
  EXPECT_TRUE(Eventually(
      [this] { return guard_->stats().cut[IndexOf(CutReason::kUnfinishedCalls)] >= 7; }));
  EXPECT_LE(guard_->stats().connections, 39);
  EXPECT_EQ(send(late, Pings(1).data(), 17, MSG_NOSIGNAL), 17);
  pollfd end{late, POLLIN | POLLRDHUP, 0};
  EXPECT_EQ(poll(&end, 1, 300), 0) << "it stays";
}

TEST_F(ConnectionGuardTest, StopsListeningThoughItWasNeverStarted) {
  auto listening = ConnectionGuard::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(listening.ok()) << listening.status();
  (*listening)->StopListening();
  EXPECT_TRUE(
      ConnectionGuard::Listen("127.0.0.1:" + std::to_string((*listening)->port()), {}).ok());
}

TEST_F(ConnectionGuardTest, WhatIsResetAlreadyIsNotHandedOver) {
  auto listening = ConnectionGuard::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(listening.ok()) << listening.status();
  guard_ = *std::move(listening);
  const int gone = Dial();
  std::erase(dialled_, gone);
  const linger none{1, 0};
  setsockopt(gone, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
  close(gone);
  const int stays = Dial("127.0.0.2");
  Start();
  const int handed = Handed();
  sockaddr_in peer{};
  socklen_t size = sizeof(peer);
  ASSERT_EQ(getpeername(handed, reinterpret_cast<sockaddr*>(&peer), &size), 0);
  EXPECT_EQ(ntohl(peer.sin_addr.s_addr), 0x7f000002u);
  EXPECT_EQ(guard_->stats().accepted, 1);
  EXPECT_GE(stays, 0);
}

TEST_F(ConnectionGuardTest, ConnectionsTakeNoMoreThanTheDescriptorsThatThereAre) {
  ConnectionGuard::Options options;
  options.max_descriptors = 512 + 2 * 512;
  options.peers.connects_at_once = 1'000;
  Listen(options);
  std::vector<int> handed;
  for (int i = 0; i < 512; ++i) {
    Dial();
    handed.push_back(Handed());
    ASSERT_GE(handed.back(), 0);
  }
  EXPECT_TRUE(SeesEnd(Dial()));
  EXPECT_EQ(guard_->stats().refused[static_cast<std::size_t>(Refusal::kMaxConnections)], 1);
  // One that has ended and that gRPC holds still takes its two.
  close(dialled_.front());
  shutdown(handed.front(), SHUT_RDWR);
  EXPECT_TRUE(Eventually([this] { return guard_->stats().connections == 511; }));
  EXPECT_TRUE(SeesEnd(Dial()));
  dialled_.pop_front();
  Close(handed.front());
  EXPECT_TRUE(Eventually([this] {
    Dial();
    return Handed(std::chrono::milliseconds(100)) >= 0;
  })) << "seen within a second";
}

TEST_F(ConnectionGuardTest, AnExceptionEndsNothingElse) {
  auto listening = ConnectionGuard::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(listening.ok()) << listening.status();
  guard_ = *std::move(listening);
  bool has_thrown = false;
  guard_->Start([&](int descriptor) {
    if (!std::exchange(has_thrown, true)) {
      close(descriptor);
      throw std::bad_alloc();
    }
    const std::lock_guard lock(mutex_);
    handed_.push_back(descriptor);
    new_.push_back(descriptor);
    changed_.notify_all();
  });
  Dial();
  Dial();
  EXPECT_GE(Handed(), 0);
  Dial();
  EXPECT_GE(Handed(), 0);
}

TEST_F(ConnectionGuardTest, NewcomersOfTheLastTenthTakeThePlaceOfWhoHasMost) {
  ConnectionGuard::Options options;
  options.peers.max_connections = 30;
  Listen(options);
  for (int i = 0; i < 27; ++i) {
    Dial();
    ASSERT_GE(Handed(), 0);
  }
  const int first = dialled_.front();
  Dial("127.0.0.2");
  EXPECT_GE(Handed(), 0);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kMadeRoom)] == 1; }));
  EXPECT_EQ(guard_->stats().connections, 27);
  EXPECT_TRUE(SeesEnd(first));
  EXPECT_EQ(guard_->stats().refused[static_cast<std::size_t>(Refusal::kWaits)], 0);
}

}  // namespace
}  // namespace leasegateway
