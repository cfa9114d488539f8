#include "service/process/logging.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <memory>
#include <mutex>
#include <ostream>
#include <utility>

#include "service/process/log_text.h"

namespace leasegateway {
namespace {

constexpr std::size_t kQueueMessages = 8192;
constexpr std::size_t kMaxValueBytes = 256;  // callers choose some values' length
constexpr std::size_t kMaxAuditValueBytes = 1024;
constexpr std::string_view kAccess = "access";
constexpr std::string_view kAudit = "audit";

enum class Format { kText, kJson };

// From most to least verbose.
constexpr std::pair<std::string_view, spdlog::level::level_enum> kLevels[] = {
    {"trace", spdlog::level::trace}, {"debug", spdlog::level::debug}, {"info", spdlog::level::info},
    {"warn", spdlog::level::warn},   {"error", spdlog::level::err},   {"off", spdlog::level::off},
};

std::string_view LevelName(spdlog::level::level_enum level) {
  for (const auto& [name, value] : kLevels) {
    if (value == level) return name;
  }
  return "error";  // critical, which we do not use
}

spdlog::level::level_enum ParseLevel(std::string_view name) {
  for (const auto& [candidate, value] : kLevels) {
    if (candidate == name) return value;
  }
  return spdlog::level::info;
}

std::string Timestamp(spdlog::log_clock::time_point time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  const std::time_t count = seconds.count();
  std::tm utc{};
  gmtime_r(&count, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     (milliseconds - seconds).count());
}

class Formatter final : public spdlog::formatter {
 public:
  explicit Formatter(Format format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    const std::string_view name(message.logger_name.data(), message.logger_name.size());
    const bool is_audit = name == kAudit;
    const std::string_view level = is_audit ? kAudit : LevelName(message.level);
    std::string line;
    line.reserve(payload.size() + 80);
    if (format_ == Format::kText) {
      line += Timestamp(message.time).append(" ").append(level);
      line.append(6 - std::min<std::size_t>(level.size(), 5), ' ');
      AppendText(payload, /*quotes=*/false, line);
    } else {
      line.append("{\"time\":\"").append(Timestamp(message.time)).append("\",");
      if (!is_audit) line.append("\"level\":\"").append(level).append("\",");
      if (is_audit || name == kAccess) {
        line += payload;  // members, escaped by who logs them
      } else {
        line += "\"message\":";
        AppendJsonString(payload, line);
      }
      line += '}';
    }
    line += '\n';
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<Formatter>(format_);
  }

 private:
  const Format format_;
};

// The members of a line of the access log or of the audit's, in either format, after `start`. Cuts
// longer values.
class Members {
 public:
  Members(Format format, std::string start, std::size_t max_value_bytes)
      : format_(format), max_value_bytes_(max_value_bytes), text_(std::move(start)) {}

  void Add(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    std::string cut;
    if (value.size() > max_value_bytes_) {
      std::size_t end = max_value_bytes_;  // not within a character
      while (end > max_value_bytes_ - 3 && (value[end] & 0xC0) == 0x80) --end;
      cut.append(value.substr(0, end)).append("...");
      value = cut;
    }
    AddKey(key);
    if (format_ == Format::kJson) {
      AppendJsonString(value, text_);
      return;
    }
    const bool plain = std::all_of(value.begin(), value.end(), [](unsigned char c) {
      return c > 0x20 && c < 0x7F && c != '"' && c != '\\' && c != '=';
    });
    if (plain) {
      text_ += value;
      return;
    }
    text_ += '"';
    AppendText(value, /*quotes=*/true, text_);
    text_ += '"';
  }

  void AddNumber(std::string_view key, std::string_view number) {
    AddKey(key);
    text_ += number;
  }

  const std::string& text() const { return text_; }

 private:
  void AddKey(std::string_view key) {
    if (format_ == Format::kText) {
      text_.append(" ").append(key).append("=");
    } else {
      text_.append(",\"").append(key).append("\":");
    }
  }

  const Format format_;
  const std::size_t max_value_bytes_;
  std::string text_;
};

struct State {
  std::mutex mutex;
  Format format = Format::kText;
  std::shared_ptr<spdlog::logger> main;
  std::shared_ptr<spdlog::logger> access;
  std::shared_ptr<spdlog::logger> audit;  // its level stays
};

// Never destroyed: threads may log until the process is gone.
State& GetState() {
  static State* const state = new State;
  return *state;
}

// `Logger` is spdlog::logger or spdlog::async_logger; `arguments` follow name and sink.
template <typename Logger, typename... Arguments>
void Install(State& state, const spdlog::sink_ptr& sink, spdlog::level::level_enum level,
             Arguments... arguments) {
  sink->set_formatter(std::make_unique<Formatter>(state.format));
  state.main = std::make_shared<Logger>("main", sink, arguments...);
  state.access = std::make_shared<Logger>(std::string(kAccess), sink, arguments...);
  state.audit = std::make_shared<Logger>(std::string(kAudit), sink, arguments...);
  state.main->set_level(level);
  state.access->set_level(level);
  state.audit->set_level(spdlog::level::trace);
  spdlog::set_default_logger(state.main);
}

void Start(const spdlog::sink_ptr& sink, std::string_view level, std::string_view format) {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  state.format = format == "json" ? Format::kJson : Format::kText;
  spdlog::init_thread_pool(kQueueMessages, 1);
  Install<spdlog::async_logger>(state, sink, ParseLevel(level),
                                std::weak_ptr<spdlog::details::thread_pool>(spdlog::thread_pool()),
                                spdlog::async_overflow_policy::overrun_oldest);
}

// With the lock held.
void ChangeLevel(State& state, spdlog::level::level_enum level) {
  const spdlog::level::level_enum old_level = state.main->level();
  // Logged while the more verbose of both is in force, at a severity that it lets through.
  const spdlog::level::level_enum severity =
      std::clamp(std::min(old_level, level), spdlog::level::info, spdlog::level::err);
  if (level < old_level) state.main->set_level(level);
  state.main->log(severity, "log level is now {}", std::string(LevelName(level)));
  state.main->set_level(level);
  state.access->set_level(level);
}

// `step`: 1 is less verbose, -1 more.
void Step(int step) {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  if (state.main == nullptr) return;
  const spdlog::level::level_enum old_level = state.main->level();
  const auto* const found = std::find_if(std::begin(kLevels), std::end(kLevels),
                                         [&](const auto& l) { return l.second == old_level; });
  const auto last = std::ssize(kLevels) - 1;
  ChangeLevel(
      state,
      kLevels[std::clamp<std::ptrdiff_t>((found - std::begin(kLevels)) + step, 0, last)].second);
}

}  // namespace

void InitLogging(std::string_view level, std::string_view format) {
  Start(std::make_shared<spdlog::sinks::stderr_sink_mt>(), level, format);
}

void InitLoggingTo(std::ostream& out, std::string_view level, std::string_view format) {
  Start(std::make_shared<spdlog::sinks::ostream_sink_mt>(out, /*force_flush=*/true), level, format);
}

void ShutdownLogging() {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  if (state.main == nullptr) return;
  const spdlog::level::level_enum level = state.main->level();
  if (const std::shared_ptr<spdlog::details::thread_pool> pool = spdlog::thread_pool()) {
    if (const std::size_t dropped = pool->overrun_counter(); dropped > 0) {
      state.main->warn("{} log messages were dropped", dropped);
    }
  }
  // Joins the thread, which first writes out its queue.
  spdlog::shutdown();
  // shutdown() leaves no default logger, and a late spdlog::info() would crash.
  Install<spdlog::logger>(state, std::make_shared<spdlog::sinks::stderr_sink_mt>(), level);
}

void LogAccess(const AccessRecord& record) {
  std::shared_ptr<spdlog::logger> logger;
  Format format;
  {
    State& state = GetState();
    const std::lock_guard lock(state.mutex);
    logger = state.access;
    format = state.format;
  }
  if (logger == nullptr || !logger->should_log(spdlog::level::info)) return;
  Members members(format, format == Format::kText ? "access" : "\"type\":\"access\"",
                  kMaxValueBytes);
  if (format == Format::kJson) members.Add("message", "call finished");
  members.Add("method", record.method);
  members.Add("code", record.code);
  members.Add("reason", record.reason);
  const auto microseconds = std::max<std::int64_t>(record.duration.count(), 0);
  members.AddNumber("duration_ms",
                    fmt::format("{}.{:03}", microseconds / 1000, microseconds % 1000));
  if (record.sampled > 1) members.AddNumber("sampled", std::to_string(record.sampled));
  members.AddNumber("upstream_attempts", std::to_string(record.upstream_attempts));
  if (record.previous_attempts > 0) {
    members.AddNumber("previous_attempts", std::to_string(record.previous_attempts));
  }
  members.Add("call_id", record.call_id);
  members.Add("request_id", record.request_id);
  members.Add("upstream_request_id", record.upstream_request_id);
  members.Add("peer", record.peer);
  members.Add("caller", record.caller);
  members.Add("account", record.account);
  members.Add("trace_id", record.trace_id);
  members.Add("span_id", record.span_id);
  // As a view, not a format string: values may hold braces.
  logger->log(spdlog::level::info,
              spdlog::string_view_t(members.text().data(), members.text().size()));
}

void LogAudit(std::string_view event,
              std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::shared_ptr<spdlog::logger> logger;
  Format format;
  {
    State& state = GetState();
    const std::lock_guard lock(state.mutex);
    logger = state.audit;
    format = state.format;
  }
  if (logger == nullptr) return;
  Members members(format,
                  format == Format::kText ? std::string(event) : R"("type":"audit","audit":true)",
                  kMaxAuditValueBytes);
  if (format == Format::kJson) members.Add("event", event);
  for (const auto& [key, value] : fields) members.Add(key, value);
  logger->log(spdlog::level::critical,
              spdlog::string_view_t(members.text().data(), members.text().size()));
}

void MoreVerbose() { Step(-1); }

void LessVerbose() { Step(1); }

std::string LogLevel() {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  return std::string(state.main == nullptr ? "info" : LevelName(state.main->level()));
}

bool SetLogLevel(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kLevels), std::end(kLevels),
                                         [&](const auto& l) { return l.first == name; });
  if (found == std::end(kLevels)) return false;
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  if (state.main != nullptr) ChangeLevel(state, found->second);
  return true;
}

}  // namespace leasegateway
