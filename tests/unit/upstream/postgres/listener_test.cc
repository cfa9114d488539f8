#include "upstream/postgres/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "tests/support/database_fixture.h"
#include "tests/support/tcp_proxy.h"

namespace leasegateway::postgres {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

class ListenerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Listener> Listen(const std::string& url, const std::string& channel = "news") {
    auto options = OptionsFor(url);
    options.first_pause = milliseconds(5);
    options.last_pause = milliseconds(20);
    options.url.connect_timeout = milliseconds(500);
    ListenerOptions listening;
    listening.channel = channel;
    listening.heard = [this](const std::string& payload) {
      const std::lock_guard lock(mutex_);
      heard_.push_back(payload);
      changed_.notify_all();
    };
    listening.connected = [this] {
      const std::lock_guard lock(mutex_);
      ++connected_;
      changed_.notify_all();
    };
    listening.check_interval = milliseconds(100);
    listening.check_limit = milliseconds(300);
    return std::make_unique<Listener>(io_.executor(),
                                      std::make_shared<Connector>(std::move(options)), listening);
  }

  void Notify(const std::string& payload, const std::string& channel = "news") {
    server_.Query(name_, "SELECT pg_notify('" + channel + "', '" + payload + "')");
  }
  bool AwaitConnected(int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, Soon(), [&] { return connected_ >= times; });
  }
  bool AwaitHeard(const std::string& payload) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, Soon(),
                               [&] { return !heard_.empty() && heard_.back() == payload; });
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> heard_;
  int connected_ = 0;
  IoThreads io_;
};

TEST_F(ListenerTest, HearsWhatIsToldOnItsChannelInOrder) {
  const auto listener = Listen(server_.Url(name_));
  ASSERT_TRUE(AwaitConnected(1));
  EXPECT_TRUE(listener->is_connected());
  Notify("one");
  Notify("other", "gossip");
  Notify("two");
  ASSERT_TRUE(AwaitHeard("two"));
  EXPECT_THAT(heard_, ElementsAre("one", "two"));
}

TEST_F(ListenerTest, AnyNameOfAChannelWorks) {
  const auto listener = Listen(server_.Url(name_), "Odd \"name\"");
  ASSERT_TRUE(AwaitConnected(1));
  Notify("one", "Odd \"name\"");
  EXPECT_TRUE(AwaitHeard("one"));
}

TEST_F(ListenerTest, SaysSoWhenItMayHaveMissedSomething) {
  const auto listener = Listen(server_.Url(name_));
  ASSERT_TRUE(AwaitConnected(1));
  server_.Query(
      "postgres",
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name_ + "'");
  ASSERT_TRUE(AwaitConnected(2));
  Notify("after");
  EXPECT_TRUE(AwaitHeard("after"));
}

TEST_F(ListenerTest, AConnectionThatDiedWithoutAWordIsFoundOut) {
  TcpProxy proxy(server_.port());
  const auto listener =
      Listen("postgresql://lease@127.0.0.1:" + std::to_string(proxy.port()) + "/" + name_);
  ASSERT_TRUE(AwaitConnected(1));
  proxy.SwallowAnswers();
  const auto give_up = Soon();
  while (listener->is_connected() && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_FALSE(listener->is_connected());
  proxy.Heal();
  EXPECT_TRUE(AwaitConnected(2));
}

TEST_F(ListenerTest, NothingIsCalledOnceItIsStopped) {
  const auto listener = Listen(server_.Url(name_));
  const auto witness = Listen(server_.Url(name_), "witness");
  ASSERT_TRUE(AwaitConnected(2));
  listener->Stop();
  Notify("late");
  Notify("later", "witness");
  ASSERT_TRUE(AwaitHeard("later"));
  EXPECT_THAT(heard_, Not(Contains("late")));
}

TEST_F(ListenerTest, ACallbackMayStopIt) {
  std::unique_ptr<Listener> listener;
  std::promise<void> heard;
  std::promise<void> connected;
  ListenerOptions listening;
  listening.channel = "news";
  listening.connected = [&] { connected.set_value(); };
  listening.heard = [&](const std::string&) {
    listener->Stop();
    heard.set_value();  // twice would throw
  };
  listener = std::make_unique<Listener>(
      io_.executor(), std::make_shared<Connector>(OptionsFor(server_.Url(name_))), listening);
  connected.get_future().wait();
  server_.Query(name_, "SELECT pg_notify('news', x::text) FROM generate_series(1, 2) x");
  EXPECT_EQ(heard.get_future().wait_until(Soon()), std::future_status::ready);
}

}  // namespace
}  // namespace leasegateway::postgres
