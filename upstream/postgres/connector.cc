#include "upstream/postgres/connector.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr Statement kProbe{"probe", "SELECT 1"};
// For one transaction, which works through a pooler that hands out a session for no longer.
constexpr Statement kSessionSettings{
    "session_settings",
    "SELECT pg_catalog.set_config('statement_timeout', $1, true), "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true)"};

// What no waiting mends, by what libpq and the server say of it. SQLSTATEs: wrong password or user,
// no such database, missing rights, start-up options that don't exist or have no such value. The
// last ones are of keywords of the URL.
bool IsMisconfigured(const std::string& message) {
  for (const auto* const part : {" 28P01: ",
                                 " 28000: ",
                                 " 3D000: ",
                                 " 42501: ",
                                 " 42704: ",
                                 " 22023: ",
                                 " 55P02: ",
                                 "no password supplied",
                                 "certificate verify failed",
                                 "does not match host name",
                                 "root certificate file",
                                 "could not read root certificate",
                                 "server does not support SSL",
                                 "could not load private key",
                                 "could not read certificate file",
                                 "authentication method",
                                 "tlsv1 alert",
                                 "sslv3 alert",
                                 "channel binding",
                                 " value: \"",
                                 "invalid integer value"}) {
    if (message.find(part) != std::string::npos) return true;
  }
  return false;
}

absl::Status ConnectError(const std::string& message) {
  return absl::Status(IsMisconfigured(message) ? absl::StatusCode::kFailedPrecondition
                                               : absl::StatusCode::kUnavailable,
                      message);
}

Query SessionSettingsOf(const DatabaseOptions& options) {
  return {&kSessionSettings,
          {absl::StrCat(options.statement_timeout.count()),
           absl::StrCat(options.idle_in_transaction_timeout.count())}};
}

}  // namespace

Connector::Connector(DatabaseOptions options, LookUp look_up)
    : options_(std::move(options)),
      look_up_(std::move(look_up)),
      session_settings_(SessionSettingsOf(options_)) {}

asio::awaitable<Connector::Connected> Connector::Connect(std::shared_ptr<Wakeup> wakeup) {
  const auto& endpoints = options_.url.endpoints;
  const std::size_t first = first_;
  std::string failures;
  auto code = absl::StatusCode::kUnavailable;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const std::size_t at = (first + i) % endpoints.size();
    auto connecting = ConnectTo(endpoints[at], wakeup);
    auto connected = co_await std::move(connecting);
    if (connected.ok()) {
      first_ = at;
      co_return connected;
    }
    if (connected.status().code() != code) code = absl::StatusCode::kFailedPrecondition;
    absl::StrAppend(&failures, failures.empty() ? "" : "; ", connected.status().message());
    if (haste_->has_begun()) break;
  }
  co_return absl::Status(code,
                         absl::StrCat("no connection to ", options_.url.where, ": ", failures));
}

asio::awaitable<Connector::Connected> Connector::ConnectTo(const Endpoint& endpoint,
                                                           std::shared_ptr<Wakeup> wakeup) {
  std::vector<std::string> addresses{endpoint.address};
  if (!endpoint.is_socket() && endpoint.address.empty()) {
    const auto deadline = Clock::now() + options_.url.connect_timeout;
    auto resolving = Resolve(endpoint.host, deadline, look_up_, haste_);
    auto found = co_await std::move(resolving);
    if (!found.ok()) co_return found.status();
    addresses = *std::move(found);
  }
  Connected connected = absl::UnavailableError(absl::StrCat(endpoint.host, " has no address"));
  for (auto& address : addresses) {
    auto opening = OpenAt(endpoint, std::move(address), wakeup);
    connected = co_await std::move(opening);
    if (connected.ok() || haste_->has_begun()) break;
  }
  co_return connected;
}

asio::awaitable<Connector::Connected> Connector::OpenAt(const Endpoint& endpoint,
                                                        std::string address,
                                                        std::shared_ptr<Wakeup> wakeup) {
  const auto deadline = Clock::now() + options_.url.connect_timeout;
  const bool was_plain = plain_start_;
  auto opening = Connection::Open(SettingsFor(endpoint, address), wakeup, haste_, deadline);
  auto opened = co_await std::move(opening);
  // pgbouncer's words, which have no SQLSTATE of their own.
  if (!opened.ok() && !was_plain &&
      absl::StrContains(opened.status().message(), "unsupported startup parameter")) {
    if (!plain_start_.exchange(true)) {
      spdlog::info(
          "database: {}:{} takes no start-up options, as a pooler; time-outs are set in each "
          "transaction",
          endpoint.host, endpoint.port);
    }
    auto again = Connection::Open(SettingsFor(endpoint, address), wakeup, haste_, deadline);
    opened = co_await std::move(again);
  }
  if (!opened.ok()) co_return ConnectError(std::string(opened.status().message()));
  // A pooler lets in before it has a server.
  std::vector<Query> probe;
  probe.push_back({&kProbe, {}});
  auto probing = (*opened)->Run(std::move(probe), deadline);
  const auto outcome = co_await std::move(probing);
  if (outcome.fate != Fate::kCommitted) {
    co_return ConnectError(absl::StrCat(endpoint.host, ":", endpoint.port, ": ",
                                        outcome.error.severity, ":  ", outcome.error.sqlstate, ": ",
                                        outcome.error.message));
  }
  co_return opened;
}

Connection::Settings Connector::SettingsFor(const Endpoint& endpoint,
                                            const std::string& address) const {
  Connection::Settings settings;
  std::string start_options;
  for (const auto& [keyword, value] : options_.url.settings) {
    if (keyword == "options") {
      start_options = value;
    } else {
      settings.emplace_back(keyword, value);
    }
  }
  settings.emplace_back("host", endpoint.host);
  if (!endpoint.is_socket()) settings.emplace_back("hostaddr", address);
  settings.emplace_back("port", endpoint.port);
  settings.emplace_back("fallback_application_name", options_.application_name);
  std::string password = options_.password ? options_.password() : std::string();
  if (password.empty()) password = options_.url.password;
  if (!password.empty()) settings.emplace_back("password", std::move(password));
  if (!plain_start_) {
    absl::StrAppend(&start_options, start_options.empty() ? "" : " ",
                    "-c default_transaction_isolation=read\\ committed -c statement_timeout=",
                    options_.statement_timeout.count(), " -c idle_in_transaction_session_timeout=",
                    options_.idle_in_transaction_timeout.count());
  }
  if (!start_options.empty()) settings.emplace_back("options", start_options);
  return settings;
}

}  // namespace leasegateway::postgres
