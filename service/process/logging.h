#ifndef LEASE_GATEWAY_SERVICE_PROCESS_LOGGING_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_LOGGING_H_

#include <chrono>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

namespace leasegateway {

// One finished call. Empty fields are not logged; phone numbers have none.
struct AccessRecord {
  std::string method = {};  // /package.Service/Method
  std::string code = {};    // OK, NOT_FOUND, ...
  std::string reason = {};  // of ErrorInfo
  std::chrono::microseconds duration{0};
  int upstream_attempts = 0;
  int sampled = 1;            // the line stands for so many calls
  int previous_attempts = 0;  // that the client made before this one, by its own count (gRFC A6)
  std::string call_id = {};
  std::string request_id = {};           // the caller's
  std::string upstream_request_id = {};  // the provider's
  std::string peer = {};
  std::string caller = {};  // its name in the callers file, or what its certificate proves
  std::string account = {};
  std::string trace_id = {};  // W3C Trace Context
  std::string span_id = {};
};

// Makes spdlog's default logger write one line a message to stderr from a thread of its own. A full
// queue drops its oldest messages, as calls must not wait for the log.
// `level` and `format` are Config::log_level and Config::log_format.
//   text: 2026-01-01T00:00:00.000Z info  message
//   json: {"time":"2026-01-01T00:00:00.000Z","level":"info","message":"message"}
// Control characters in messages are escaped, so a message is one line whatever it quotes.
void InitLogging(std::string_view level, std::string_view format);
// The same to `out`, which must outlive ShutdownLogging().
void InitLoggingTo(std::ostream& out, std::string_view level, std::string_view format);

// Writes out what is queued. Later messages go to stderr at once, in the same format.
void ShutdownLogging();

// One line at level info. Does nothing before InitLogging().
void LogAccess(const AccessRecord& record);

// What somebody who looks after the callers has to be able to look up: a refusal, a reload, a
// change of limits or holds. One line of its own form, whatever the level; values are cut at 1,024
// bytes, and none is a secret. Fields without a value are left out. Does nothing before
// InitLogging().
//   text: 2026-01-01T00:00:00.000Z audit event key=value
//   json: {"time":"2026-01-01T00:00:00.000Z","type":"audit","audit":true,"event":"event",
//          "key":"value"}, in one line
void LogAudit(std::string_view event,
              std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

// One level more or less, until trace and off; the new level is logged. Not for signal handlers.
void MoreVerbose();
void LessVerbose();

// The level in force, as Config::log_level.
std::string LogLevel();
// The new level is logged. False, and nothing changes, for a name that is none.
bool SetLogLevel(std::string_view name);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_LOGGING_H_
