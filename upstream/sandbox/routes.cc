#include "upstream/sandbox/routes.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

constexpr std::string_view kBasePath = "/numbers/";

struct RouteRow {
  std::string_view method;
  std::string_view path;
  Operation operation;
};
// Literal segments come before {number}.
constexpr RouteRow kRoutes[] = {
    {"GET", "leases", Operation::kListAvailable},
    {"GET", "leased", Operation::kListLeased},
    {"POST", "lease/{number}", Operation::kLease},
    {"GET", "leased/{number}", Operation::kGetLeased},
    {"DELETE", "leased/{number}", Operation::kTerminate},
    {"GET", "lease/{number}/call_forwarding", Operation::kGetForwarding},
    {"POST", "lease/{number}/call_forwarding/enable", Operation::kEnableForwarding},
    {"POST", "lease/{number}/call_forwarding/disable", Operation::kDisableForwarding},
    {"POST", "{number}/configure", Operation::kConfigure},
    {"GET", "{number}", Operation::kGetNumber},
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  for (;;) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool MatchPath(std::string_view pattern, std::string_view path, std::string* number) {
  const std::vector<std::string_view> want = Segments(pattern);
  const std::vector<std::string_view> have = Segments(path);
  if (want.size() != have.size()) return false;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "{number}") {
      *number = PercentDecode(have[i]);
    } else if (want[i] != have[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

Route MatchRoute(std::string_view method, std::string_view target) {
  Route route;
  std::string_view path = target.substr(0, target.find('?'));
  if (!path.starts_with(kBasePath)) return route;
  path.remove_prefix(kBasePath.size());
  for (const RouteRow& row : kRoutes) {
    std::string number;
    if (!MatchPath(row.path, path, &number)) continue;
    if (row.method != method) {
      route.operation = Operation::kNoSuchMethod;
      continue;
    }
    route.operation = row.operation;
    route.name = Cat(row.method, " /", row.path);
    route.number = std::move(number);
    return route;
  }
  return route;
}

bool IsRouteName(std::string_view name) {
  return std::any_of(std::begin(kRoutes), std::end(kRoutes), [name](const RouteRow& row) {
    return name == Cat(row.method, " /", row.path);
  });
}

}  // namespace leasegateway::sandbox
