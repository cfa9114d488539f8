// What a new connection to the provider costs: TCP and TLS, with a session of before and without,
// by turns. Prints one line of JSON for each; exits 1 when a handshake isn't what it should be.
#include <CLI/CLI.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/samples.h"
#include "upstream/transport/dialer.h"
#include "upstream/transport/https_connection.h"
#include "upstream/transport/tls_sessions.h"

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace bench = leasegateway::bench;
using bench::Clock;
using leasegateway::HttpsConnection;
using leasegateway::TlsSessions;
using Endpoints = std::vector<asio::ip::tcp::endpoint>;

struct Options {
  std::string ca_file;
  int port = 0;
  double seconds = 1;
};

struct Samples {
  std::vector<double> full;
  std::vector<double> resumed;
};

asio::awaitable<absl::StatusOr<Endpoints>> Loopback(std::uint16_t port) {
  co_return Endpoints{{asio::ip::address_v4::loopback(), port}};
}

// One answer, whatever it is: the tickets come before it.
asio::awaitable<void> GetAnything(HttpsConnection& connection) {
  http::request<http::string_body> request(http::verb::get, "/numbers/leases", 11);
  request.set(http::field::host, "localhost");
  auto exchange =
      connection.Exchange(std::move(request), Clock::now() + std::chrono::seconds(20), false);
  const auto result = co_await std::move(exchange);
  if (result.failure != HttpsConnection::Result::Failure::kNone) {
    throw std::runtime_error("no answer: " + result.cause);
  }
}

asio::awaitable<void> Run(const Options options, Samples* samples, Clock::duration* took) {
  const auto tls = leasegateway::MakeTlsContext(options.ca_file);
  if (!tls.ok()) throw std::runtime_error(std::string(tls.status().message()));
  const auto executor = co_await asio::this_coro::executor;
  leasegateway::HttpsOptions https;
  https.host = "localhost";
  leasegateway::Dialer::Options road;
  road.host = https.host;
  road.lookup = [port = static_cast<std::uint16_t>(options.port)](Clock::time_point) {
    return Loopback(port);
  };
  leasegateway::Dialer dialer(executor, std::move(road));

  const auto begin = Clock::now();
  const auto warm = begin + std::chrono::milliseconds(100);
  const auto end = warm + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options.seconds));
  for (int turn = 0; Clock::now() < end; ++turn) {
    const bool resumed = turn % 2 == 1;
    if (!resumed) TlsSessions::Of((*tls)->native_handle())->Clear(https.host);
    const auto before = https.handshakes->resumed.load();
    auto connection = std::make_unique<HttpsConnection>(executor, *tls, https);
    const auto started = Clock::now();
    auto connecting = connection->Connect(dialer, started + std::chrono::seconds(20));
    const auto status = co_await std::move(connecting);
    const double sample = bench::Microseconds(Clock::now() - started);
    if (!status.ok()) throw std::runtime_error(std::string(status.message()));
    if (https.handshakes->resumed - before != (resumed ? 1 : 0)) {
      throw std::runtime_error(resumed ? "a session was refused" : "a session was resumed");
    }
    if (started >= warm) (resumed ? samples->resumed : samples->full).push_back(sample);
    auto getting = GetAnything(*connection);
    co_await std::move(getting);
    HttpsConnection::Close(std::move(connection));
  }
  *took = Clock::now() - warm;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Opens one TLS connection after the other.", "bench_connect");
  app.add_option("--port", options.port, "of localhost")->required();
  app.add_option("--ca-file", options.ca_file, "PEM")->required();
  app.add_option("--seconds", options.seconds, "how long");
  CLI11_PARSE(app, argc, argv);
  Samples samples;
  Clock::duration took{};
  try {
    asio::io_context context(1);
    asio::co_spawn(context, Run(options, &samples, &took), [](std::exception_ptr error) {
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
