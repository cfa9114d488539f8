// The least that a call to the provider costs: one coroutine, one kept TLS connection, GETs of
// numbers, nothing decoded. A miss of the gateway is measured against this and a bare gRPC call.
// Prints one line of JSON; exits 1 when an answer isn't the number asked for.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/samples.h"
#include "upstream/transport/https_connection.h"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace bench = leasegateway::bench;
using asio::use_awaitable;
using bench::Clock;

struct Options {
  std::string ca_file;
  std::string numbers_file;
  int port = 0;
  double seconds = 1;
};

asio::awaitable<void> Run(const Options options, std::vector<double>* samples,
                          Clock::duration* took) {
  const char* const key = ::getenv("CONTIGUITY_API_KEY");
  if (key == nullptr) throw std::runtime_error("CONTIGUITY_API_KEY is not set");
  const std::vector<std::string> numbers = bench::ReadLines(options.numbers_file);
  if (numbers.empty()) throw std::runtime_error("there are no numbers in " + options.numbers_file);
  const auto tls = leasegateway::MakeTlsContext(options.ca_file);
  if (!tls.ok()) throw std::runtime_error(std::string(tls.status().message()));

  beast::ssl_stream<beast::tcp_stream> stream(co_await asio::this_coro::executor, **tls);
  if (SSL_set_tlsext_host_name(stream.native_handle(), "localhost") != 1) {
    throw std::runtime_error("can't set SNI");
  }
  stream.set_verify_callback(asio::ssl::host_name_verification("localhost"));
  auto& socket = beast::get_lowest_layer(stream);
  socket.expires_after(std::chrono::seconds(20));
  const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                                         static_cast<std::uint16_t>(options.port));
  co_await socket.async_connect(endpoint, use_awaitable);
  socket.socket().set_option(asio::ip::tcp::no_delay(true));
  co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);

  beast::flat_buffer buffer;
  std::minstd_rand random(1);
  http::request<http::empty_body> request{http::verb::get, "/", 11};
  request.set(http::field::host, "localhost");
  request.set(http::field::authorization, std::string("Bearer ") + key);
  const auto begin = Clock::now();
  const auto warm = begin + std::chrono::milliseconds(100);
  const auto end = warm + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options.seconds));
  socket.expires_at(end + std::chrono::seconds(20));
  Clock::time_point started;
  while ((started = Clock::now()) < end) {
    const std::string& number = numbers[random() % numbers.size()];
    request.target("/numbers/" + number);
    co_await http::async_write(stream, request, use_awaitable);
    http::response<http::string_body> response;
    co_await http::async_read(stream, buffer, response, use_awaitable);
    if (started >= warm) samples->push_back(bench::Microseconds(Clock::now() - started));
    if (response.result() != http::status::ok ||
        response.body().find("\"e164\":\"" + number + "\"") == std::string::npos) {
      throw std::runtime_error("the answer isn't " + number + ": " + response.body());
    }
  }
  *took = Clock::now() - warm;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("GETs numbers over one TLS connection, one after the other.", "bench_https");
  app.add_option("--port", options.port, "of localhost")->required();
  app.add_option("--ca-file", options.ca_file, "PEM")->required();
  app.add_option("--numbers", options.numbers_file, "file with a number a line")->required();
  app.add_option("--seconds", options.seconds, "how long");
  app.footer("CONTIGUITY_API_KEY is the key.");
  CLI11_PARSE(app, argc, argv);
  std::vector<double> samples;
  Clock::duration took{};
  try {
    asio::io_context context(1);
    asio::co_spawn(context, Run(options, &samples, &took), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    context.run();
  } catch (const std::exception& error) {
    std::cerr << "bench_https: " << error.what() << "\n";
    return 1;
  }
  bench::PrintLatencies(samples, took);
  return 0;
}
