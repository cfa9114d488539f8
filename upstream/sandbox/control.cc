#include "upstream/sandbox/control.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <cstddef>
#include <exception>
#include <system_error>
#include <utility>

#include "upstream/sandbox/routes.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {

namespace json = boost::json;

struct Control::Row {
  std::string_view method;
  std::string_view path;
  Answer (Control::*handle)(const Request&);
  bool has_body = false;
};

namespace {

constexpr std::string_view kIndexPath = "/_sandbox/";
constexpr std::string_view kNumberPath = "/_sandbox/numbers/{number}";
// What comes before the number.
constexpr std::string_view kNumbers = kNumberPath.substr(0, kNumberPath.find('{'));

json::string_view ToJson(std::string_view text) { return {text.data(), text.size()}; }

bool Matches(std::string_view pattern, std::string_view path) {
  return pattern == kNumberPath ? path.starts_with(kNumbers) : path == pattern;
}

// The value of `key` in the query of a target as it was sent; empty: it isn't there.
std::string_view QueryValue(std::string_view target, std::string_view key) {
  std::size_t start = target.find('?');
  while (start != std::string_view::npos) {
    const std::size_t end = target.find('&', start + 1);
    const std::string_view pair = target.substr(start + 1, end - start - 1);
    if (pair.size() > key.size() && pair.starts_with(key) && pair[key.size()] == '=') {
      return pair.substr(key.size() + 1);
    }
    start = end;
  }
  return {};
}

// The sequence number in the query; 0: there is none.
absl::StatusOr<std::size_t> After(std::string_view target) {
  std::size_t after = 0;
  const std::string_view text = QueryValue(target, "after");
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), after);
  if (!text.empty() && (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())) {
    return BadField("after", json::value(ToJson(text)), "must be a sequence number");
  }
  return after;
}

}  // namespace

const Control::Row Control::kRoutes[] = {
    {"GET", kIndexPath, &Control::Index},
    {"GET", "/_sandbox/ledger", &Control::ReadLedger},
    {"GET", "/_sandbox/requests", &Control::ReadTraffic},
    {"GET", "/_sandbox/writes", &Control::ReadWrites},
    {"GET", "/_sandbox/faults", &Control::ReadFaults},
    {"POST", "/_sandbox/faults", &Control::AddFaults, true},
    {"DELETE", "/_sandbox/faults", &Control::ClearFaults},
    {"GET", "/_sandbox/accounts", &Control::ReadAccounts},
    {"POST", "/_sandbox/accounts", &Control::SetAccount, true},
    {"POST", kNumberPath, &Control::PatchNumber, true},
    {"POST", "/_sandbox/churn", &Control::Churn, true},
    {"POST", "/_sandbox/reset", &Control::Reset},
};

absl::StatusOr<std::string> Control::Handle(std::string_view method, std::string_view target,
                                            std::string_view body) {
  try {
    std::string_view path = target.substr(0, target.find('?'));
    if (path == kIndexPath.substr(0, kIndexPath.size() - 1)) path = kIndexPath;
    bool known = false;
    const Row* route = nullptr;
    for (const Row& each : kRoutes) {
      if (!Matches(each.path, path)) continue;
      known = true;
      if (each.method == method) route = &each;
    }
    if (!known) {
      return absl::NotFoundError(Cat("path: ", path, " is unknown; GET /_sandbox/ lists them"));
    }
    if (route == nullptr) {
      return absl::UnimplementedError(
          Cat("method: ", method, " is not for ", path, "; GET /_sandbox/ lists what is"));
    }
    Request request{path, target, {}};
    if (route->has_body) {
      boost::system::error_code error;
      request.value = json::parse(ToJson(body), error);
      if (error) return absl::InvalidArgumentError(Cat("body: must be JSON: ", error.message()));
    }
    const Answer answer = (this->*route->handle)(request);
    if (!answer.ok()) return answer.status();
    return WriteJson(*answer);
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

Control::Answer Control::Index(const Request&) {
  json::array routes;
  for (const Row& route : kRoutes) {
    routes.emplace_back(ToJson(Cat(route.method, " ", route.path)));
  }
  json::object index;
  index["routes"] = std::move(routes);
  return index;
}

Control::Answer Control::ReadLedger(const Request& request) {
  const absl::StatusOr<std::size_t> after = After(request.target);
  if (!after.ok()) return after.status();
  return provider_->LedgerJson(*after);
}

Control::Answer Control::ReadTraffic(const Request&) { return traffic_->ToJson(); }

Control::Answer Control::ReadWrites(const Request& request) {
  const absl::StatusOr<std::size_t> after = After(request.target);
  if (!after.ok()) return after.status();
  return traffic_->WritesToJson(*after);
}

Control::Answer Control::ReadFaults(const Request&) { return faults_->ToJson(); }

Control::Answer Control::AddFaults(const Request& request) {
  const absl::Status status = faults_->Add(request.value);
  if (!status.ok()) return status;
  return faults_->ToJson();
}

Control::Answer Control::ClearFaults(const Request& request) {
  const std::string_view of = QueryValue(request.target, "number");
  if (of.empty()) {
    faults_->Clear();
  } else {
    faults_->Clear(PercentDecode(of));
  }
  return faults_->ToJson();
}

Control::Answer Control::ReadAccounts(const Request&) { return provider_->AccountsJson(); }

Control::Answer Control::SetAccount(const Request& request) {
  const absl::Status status = provider_->SetAccount(request.value);
  if (!status.ok()) return status;
  return provider_->AccountsJson();
}

Control::Answer Control::PatchNumber(const Request& request) {
  return provider_->PatchNumber(request.path.substr(kNumbers.size()), request.value);
}

Control::Answer Control::Churn(const Request& request) { return provider_->Churn(request.value); }

Control::Answer Control::Reset(const Request&) {
  provider_->Reset();
  faults_->Reset();
  traffic_->Reset();
  return json::object();
}

ApiReply ErrorReply(int status, std::string_view message) {
  json::object error;
  error["error"] = ToJson(message);
  ApiReply reply;
  reply.status = status;
  reply.body = WriteJson(error);
  return reply;
}

ApiReply ReplyOf(const absl::StatusOr<std::string>& result) {
  if (result.ok()) {
    ApiReply reply;
    reply.body = *result;
    return reply;
  }
  const auto message = result.status().message();
  const std::string_view text(message.data(), message.size());
  switch (result.status().code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReply(400, text);
    case absl::StatusCode::kNotFound:
      return ErrorReply(404, text);
    case absl::StatusCode::kUnimplemented:
      return ErrorReply(405, text);
    default:
      return ErrorReply(500, text);
  }
}

}  // namespace leasegateway::sandbox
