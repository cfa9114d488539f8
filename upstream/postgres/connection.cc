#include "upstream/postgres/connection.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;

void LogNotice(void* /*unused*/, const PGresult* result) {
  const auto notice = SqlErrorOf(result);
  spdlog::debug("database: {} {}", notice.severity, Describe(notice));
}

// The name on the server. It holds the text's hash: behind a pooler a session may be another
// program's, such as another version of this one.
std::string PreparedName(const Statement& statement) {
  std::uint64_t hash = 14'695'981'039'346'656'037U;  // FNV-1a
  for (const char* at = statement.sql; *at != '\0'; ++at) {
    hash = (hash ^ static_cast<unsigned char>(*at)) * 1'099'511'628'211U;
  }
  return absl::StrFormat("lg_%016x_%s", hash, statement.name);
}

bool HasZeroByte(const std::vector<Query>& queries) {
  for (const auto& query : queries) {
    for (const auto& parameter : query.parameters) {
      if (!parameter.is_binary() && parameter.value() &&
          parameter.value()->find('\0') != std::string::npos) {
        return true;
      }
    }
  }
  return false;
}

// The parameters as libpq takes them.
struct BoundParameters {
  explicit BoundParameters(const std::vector<Parameter>& parameters) {
    for (const auto& parameter : parameters) {
      values.push_back(parameter.value() ? parameter.value()->c_str() : nullptr);
      lengths.push_back(parameter.value() ? static_cast<int>(parameter.value()->size()) : 0);
      formats.push_back(parameter.is_binary() ? 1 : 0);
    }
  }
  int count() const { return static_cast<int>(values.size()); }

  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

// Without the server's source line, which comes with the SQLSTATE.
std::string OneLine(const char* message) {
  std::string line(message == nullptr ? "" : message);
  line.erase(std::min(line.find("LOCATION: "), line.size()));
  absl::RemoveExtraAsciiWhitespace(&line);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return line;
}

}  // namespace

Connection::Connection(std::shared_ptr<Wakeup> wakeup, std::shared_ptr<Haste> haste)
    : wakeup_(std::move(wakeup)),
      haste_(std::move(haste)),
      hastened_(haste_, wakeup_),
      socket_(wakeup_->executor()) {}

Connection::~Connection() {
  Unwatch();
  PQfinish(connection_);
}

// libpq closes its socket as soon as the session is lost, and then its number may be that of any
// other file. So Asio has a copy, which stays what it is.
bool Connection::Watch() {
  const int copy = fcntl(PQsocket(connection_), F_DUPFD_CLOEXEC, 0);
  boost::system::error_code error = asio::error::bad_descriptor;
  if (copy >= 0) socket_.assign(copy, error);
  if (error && copy >= 0) close(copy);
  return !error;
}

void Connection::Unwatch() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  reading_ = std::make_shared<bool>(false);
  writing_ = std::make_shared<bool>(false);
}

asio::awaitable<absl::StatusOr<std::unique_ptr<Connection>>> Connection::Open(
    Settings settings, std::shared_ptr<Wakeup> wakeup, std::shared_ptr<Haste> haste,
    TimePoint deadline) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : settings) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<Connection> opened(new Connection(std::move(wakeup), std::move(haste)));
  opened->connection_ = PQconnectStartParams(keywords.data(), values.data(), 0);
  if (opened->connection_ == nullptr) co_return absl::UnavailableError("out of memory");
  auto shaking = opened->Handshake(deadline);
  auto status = co_await std::move(shaking);
  if (!status.ok()) co_return status;
  co_return opened;
}

asio::awaitable<absl::Status> Connection::Handshake(TimePoint deadline) {
  PQsetNoticeReceiver(connection_, LogNotice, nullptr);
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // the SQLSTATE is in the text alone
  auto state =
      PQstatus(connection_) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
    // The socket may be another one after each step.
    if (!Watch()) co_return absl::UnavailableError("no more files may be opened");
    auto awaiting = AwaitSocket(state == PGRES_POLLING_WRITING, deadline);
    if (!co_await std::move(awaiting)) {
      co_return absl::UnavailableError("the server does not answer in time");
    }
    Unwatch();
    state = PQconnectPoll(connection_);
  }
  if (state != PGRES_POLLING_OK)
    co_return absl::UnavailableError(OneLine(PQerrorMessage(connection_)));
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  if (PQsetnonblocking(connection_, 1) != 0 || PQenterPipelineMode(connection_) != 1 || !Watch()) {
    co_return absl::UnavailableError("no memory, or no more files may be opened");
  }
  co_return absl::OkStatus();
}

// libpq, asked to go on with a socket that isn't ready, would wait for it itself, and the thread
// with it.
asio::awaitable<bool> Connection::AwaitSocket(bool to_write, TimePoint deadline) {
  for (bool is_ready = false; !is_ready;) {
    if (IsOver(deadline)) co_return false;
    auto waiting = WaitForSocket(to_write, Limit(deadline));
    co_await std::move(waiting);
    is_ready = !(to_write ? *writing_ : *reading_);
  }
  co_return true;
}

// An event that came while nobody waited is not lost: the next wait sees the socket's state.
asio::awaitable<void> Connection::WaitForSocket(bool to_write, TimePoint deadline) {
  const auto wait = [this](asio::posix::descriptor_base::wait_type what,
                           const std::shared_ptr<bool>& under_way) {
    if (std::exchange(*under_way, true)) return;
    socket_.async_wait(what, [under_way, wakeup = wakeup_](const boost::system::error_code& error) {
      *under_way = false;
      if (error != asio::error::operation_aborted) wakeup->WakeHere();
    });
  };
  wait(asio::posix::descriptor_base::wait_read, reading_);
  if (to_write) wait(asio::posix::descriptor_base::wait_write, writing_);
  co_await wakeup_->WaitUntil(deadline);
}

void Connection::TakeIn() {
  if (PQconsumeInput(connection_) == 0) given_up_ = true;
  // What OpenSSL has read already makes no socket readable.
  auto* const tls = static_cast<SSL*>(PQsslStruct(connection_, "OpenSSL"));
  while (!given_up_ && tls != nullptr && SSL_pending(tls) > 0) {
    if (PQconsumeInput(connection_) == 0) given_up_ = true;
  }
}

asio::awaitable<void> Connection::WaitForMore(TimePoint deadline) {
  auto waiting = WaitForSocket(false, deadline);
  co_await std::move(waiting);
  TakeInIdle();
}

void Connection::TakeInIdle() {
  TakeIn();
  PQisBusy(connection_);  // parses
  if (!given_up_) TakeIn();
}

bool Connection::TakeNotification(std::string& payload) {
  PGnotify* const notification = PQnotifies(connection_);
  if (notification == nullptr) return false;
  payload = notification->extra;
  PQfreemem(notification);
  return true;
}

bool Connection::usable() const { return !given_up_ && PQstatus(connection_) == CONNECTION_OK; }

int Connection::server_version() const { return PQserverVersion(connection_); }

asio::awaitable<Outcome> Connection::Run(std::vector<Query> queries, TimePoint deadline) {
  if (HasZeroByte(queries)) {
    Outcome refused;
    refused.error = {"22021", "ERROR", "a text has a zero byte"};
    co_return refused;
  }
  auto running = RunOnce(queries, deadline);
  auto outcome = co_await std::move(running);
  if (outcome.fate == Fate::kNothingChanged && prepares_ && IsAboutPreparedName(outcome.error) &&
      usable()) {
    spdlog::debug("database: no prepared statements on this connection: {}",
                  Describe(outcome.error));
    prepares_ = false;
    auto repeating = RunOnce(std::move(queries), deadline);
    outcome = co_await std::move(repeating);
  }
  co_return outcome;
}

asio::awaitable<Outcome> Connection::RunOnce(std::vector<Query> queries, TimePoint deadline) {
  SetBegun();
  TakeInIdle();
  if (!usable() || !Send(queries)) co_return Lost(Fate::kNothingChanged);
  // From here on the transaction may be committed.
  auto flushing = Flush(deadline);
  if (!co_await std::move(flushing)) co_return OutOfTime();
  auto collecting = Collect(deadline);
  co_return co_await std::move(collecting);
}

bool Connection::Send(const std::vector<Query>& queries) {
  steps_.clear();
  for (const auto& query : queries) {
    if (!SendPrepare(query) || !SendQuery(query)) {
      given_up_ = true;
      return false;
    }
  }
  if (PQpipelineSync(connection_) == 1) return true;
  given_up_ = true;
  return true;  // some of it may have gone out
}

bool Connection::SendPrepare(const Query& query) {
  if (!prepares_ || prepared_.contains(query.statement) ||
      std::find(steps_.begin(), steps_.end(), query.statement) != steps_.end()) {
    return true;
  }
  steps_.push_back(query.statement);
  return PQsendPrepare(connection_, PreparedName(*query.statement).c_str(), query.statement->sql, 0,
                       nullptr) == 1;
}

bool Connection::SendQuery(const Query& query) {
  const BoundParameters bound(query.parameters);
  steps_.push_back(nullptr);
  if (prepares_) {
    return PQsendQueryPrepared(connection_, PreparedName(*query.statement).c_str(), bound.count(),
                               bound.values.data(), bound.lengths.data(), bound.formats.data(),
                               1) == 1;
  }
  return PQsendQueryParams(connection_, query.statement->sql, bound.count(), nullptr,
                           bound.values.data(), bound.lengths.data(), bound.formats.data(), 1) == 1;
}

asio::awaitable<bool> Connection::Flush(TimePoint deadline) {
  for (;;) {
    const int left = PQflush(connection_);
    if (left == 0) co_return true;
    if (left < 0) {
      given_up_ = true;
      co_return true;  // what the server said before may still be read
    }
    if (IsOver(deadline)) co_return false;
    auto waiting = WaitForSocket(true, Limit(deadline));
    co_await std::move(waiting);
    TakeIn();
  }
}

asio::awaitable<bool> Connection::AwaitResult(TimePoint deadline) {
  while (PQisBusy(connection_) != 0) {
    if (IsOver(deadline)) co_return false;
    auto waiting = WaitForSocket(false, Limit(deadline));
    co_await std::move(waiting);
    TakeIn();
  }
  co_return true;
}

asio::awaitable<Outcome> Connection::Collect(TimePoint deadline) {
  Outcome outcome;
  bool failed = false;
  bool failed_before_commit = false;
  std::size_t results = 0;
  for (int nulls = 0; nulls < 2;) {
    auto awaiting = AwaitResult(deadline);
    if (!co_await std::move(awaiting)) co_return OutOfTime();
    PGresult* const result = PQgetResult(connection_);
    if (result == nullptr) {
      ++nulls;  // between statements there is one
      continue;
    }
    nulls = 0;
    Rows rows(result);
    const auto status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
      outcome.fate = failed ? Fate::kNothingChanged : Fate::kCommitted;
      co_return outcome;
    }
    const auto step = results++;
    if (status == PGRES_PIPELINE_ABORTED) continue;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
      if (step < steps_.size() && steps_[step] != nullptr) {
        prepared_.insert(steps_[step]);
      } else {
        outcome.rows.push_back(std::move(rows));
      }
      continue;
    }
    if (failed) continue;
    failed = true;
    outcome.error = SqlErrorOf(result);
    failed_before_commit = step < steps_.size();
  }
  given_up_ = true;
  if (!failed) co_return Lost(Fate::kUnknown);
  const bool nothing_changed =
      outcome.error.severity == "ERROR" || (failed_before_commit && EndsSession(outcome.error));
  outcome.fate = nothing_changed ? Fate::kNothingChanged : Fate::kUnknown;
  co_return outcome;
}

asio::awaitable<Outcome> Connection::RunScript(std::string sql, TimePoint deadline) {
  SetBegun();
  TakeIn();
  if (!usable() || PQexitPipelineMode(connection_) != 1 ||
      PQsendQuery(connection_, sql.c_str()) != 1) {
    given_up_ = true;
    co_return Lost(Fate::kNothingChanged);
  }
  auto flushing = Flush(deadline);
  if (!co_await std::move(flushing)) co_return OutOfTime();
  Outcome outcome;
  bool failed = false;
  for (;;) {
    auto awaiting = AwaitResult(deadline);
    if (!co_await std::move(awaiting)) co_return OutOfTime();
    PGresult* const result = PQgetResult(connection_);
    if (result == nullptr) break;
    Rows rows(result);
    const auto status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
      outcome.rows.clear();
      outcome.rows.push_back(std::move(rows));
    } else if (!failed) {
      failed = true;
      outcome.error = SqlErrorOf(result);
    }
  }
  if (PQstatus(connection_) != CONNECTION_OK || PQenterPipelineMode(connection_) != 1) {
    given_up_ = true;
  }
  outcome.fate = !failed                             ? Fate::kCommitted
                 : outcome.error.severity == "ERROR" ? Fate::kNothingChanged
                                                     : Fate::kUnknown;
  co_return outcome;
}

// The server is not asked to cancel: if it waits for a standby to have the commit, a cancellation
// ends that wait, and others would read what a fail-over still loses.
Outcome Connection::OutOfTime() {
  given_up_ = true;
  const std::string why = haste_->has_begun() ? ", as the gateway stops" : "";
  return {Fate::kUnknown, {"", "", "the server did not answer in time" + why}, {}};
}

Outcome Connection::Lost(Fate fate) const {
  auto message = OneLine(PQerrorMessage(connection_));
  if (message.empty()) message = "the connection is lost";
  return {fate, {"", "", std::move(message)}, {}};
}

}  // namespace leasegateway::postgres
