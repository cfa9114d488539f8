// What a new connection to the provider costs as the gateway opens it, TCP and TLS, with a session
// of before and without: one after the other, by turns, so that what else the machine does meets
// both alike. Prints one line of JSON for each; exits 1 when a handshake isn't what it should be.
#include <openssl/ssl.h>

#include <CLI/CLI.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/link.h"
#include "tests/bench/samples.h"
#include "upstream/transport/https_connection.h"
#include "upstream/transport/https_connector.h"
#include "upstream/transport/tls_client.h"
#include "upstream/transport/tls_sessions.h"

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace bench = leasegateway::bench;
using bench::Clock;
using leasegateway::HttpsConnection;
using leasegateway::HttpsConnector;
using leasegateway::TlsSessions;

// No name, so that nothing is looked up: that is measured by itself.
constexpr char kHost[] = "127.0.0.1";
// In which the provider has done with the connection before.
constexpr std::chrono::milliseconds kPause{2};

struct Options {
  std::string ca_file;
  int port = 0;
  double seconds = 1;
  int delay_ms = 0;
  bool tls_1_2 = false;
};

struct Samples {
  std::vector<double> full;
  std::vector<double> resumed;
};

// One answer, whatever it is: the tickets come before it.
asio::awaitable<void> GetAnything(HttpsConnection& connection) {
  http::request<http::string_body> request(http::verb::get, "/numbers/leases", 11);
  request.set(http::field::host, kHost);
  auto exchange =
      connection.Exchange(std::move(request), Clock::now() + std::chrono::seconds(20), false);
  const auto result = co_await std::move(exchange);
  if (result.failure != HttpsConnection::Result::Failure::kNone) {
    throw std::runtime_error("no answer: " + result.cause);
  }
}

std::shared_ptr<asio::ssl::context> MakeTls(const Options& options) {
  auto tls = leasegateway::MakeTlsContext(options.ca_file);
  if (!tls.ok()) throw std::runtime_error(std::string(tls.status().message()));
  if (options.tls_1_2) SSL_CTX_set_max_proto_version((*tls)->native_handle(), TLS1_2_VERSION);
  return *std::move(tls);
}

asio::awaitable<void> Run(const Options options, int port, Samples* samples,
                          Clock::duration* took) {
  const auto executor = co_await asio::this_coro::executor;
  const auto tls = MakeTls(options);
  leasegateway::HttpsOptions https;
  https.host = kHost;
  https.port = std::to_string(port);
  const auto connector = std::make_shared<HttpsConnector>(executor, tls, https);

  const auto warm = Clock::now() + std::chrono::milliseconds(100);
  const auto end = warm + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options.seconds));
  for (int turn = 0; Clock::now() < end || samples->resumed.empty(); ++turn) {
    const bool resumed = turn % 2 == 1;
    if (!resumed) TlsSessions::Of(tls->native_handle())->Clear(kHost);
    const auto before = https.handshakes->resumed.load();
    const auto started = Clock::now();
    auto opening = HttpsConnector::Open(connector);
    auto connection = co_await std::move(opening);
    const double sample = bench::Microseconds(Clock::now() - started);
    if (!connection.ok()) throw std::runtime_error(std::string(connection.status().message()));
    if (https.handshakes->resumed - before != (resumed ? 1 : 0)) {
      throw std::runtime_error(resumed ? "a session was refused" : "a session was resumed");
    }
    if (started >= warm) (resumed ? samples->resumed : samples->full).push_back(sample);
    auto getting = GetAnything(**connection);
    co_await std::move(getting);
    HttpsConnection::Close(*std::move(connection));
    asio::steady_timer pause(executor, kPause + 4 * std::chrono::milliseconds(options.delay_ms));
    co_await pause.async_wait(asio::use_awaitable);
  }
  *took = Clock::now() - warm;
  connector->Stop();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Opens one TLS connection after the other.", "bench_connect");
  app.add_option("--port", options.port, "of localhost")->required();
  app.add_option("--ca-file", options.ca_file, "PEM")->required();
  app.add_option("--seconds", options.seconds, "how long");
  app.add_option("--delay-ms", options.delay_ms, "of the road to it, one way")
      ->check(CLI::Range(0, 1000));
  app.add_flag("--tls-1-2", options.tls_1_2, "no newer one");
  CLI11_PARSE(app, argc, argv);
  Samples samples;
  Clock::duration took{};
  try {
    std::optional<bench::Link> link;
    int port = options.port;
    if (options.delay_ms > 0) {
      link.emplace(static_cast<std::uint16_t>(options.port),
                   bench::Link::Options{.delay = std::chrono::milliseconds(options.delay_ms)});
      port = link->port();
    }
    asio::io_context context(1);
    asio::co_spawn(context, Run(options, port, &samples, &took), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    context.run();
  } catch (const std::exception& error) {
    std::cerr << "bench_connect: " << error.what() << "\n";
    return 1;
  }
  bench::PrintLatencies(samples.full, took);
  bench::PrintLatencies(samples.resumed, took);
  return 0;
}
