#include "service/leasectl/token_file.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

// What a gateway's metadata may have at the default of `max_metadata_bytes`, with room for others.
constexpr std::size_t kMostTokenBytes = 12 << 10;

// Of RFC 6750: b64token.
bool IsTokenCharacter(char character) {
  return absl::ascii_isalnum(static_cast<unsigned char>(character)) ||
         absl::StrContains("-._~+/=", absl::string_view(&character, 1));
}

// The rule that the text breaks; empty: none.
std::string Fault(absl::string_view token) {
  if (token.empty()) return "is empty";
  if (token.find_first_of("\r\n") != token.npos) {
    return "has more than one line; it must have the token and nothing else";
  }
  if (absl::StartsWithIgnoreCase(token, "bearer ")) return "must have the token without \"Bearer\"";
  if (!std::all_of(token.begin(), token.end(), IsTokenCharacter)) {
    return "has a character that no bearer token has (RFC 6750)";
  }
  return "";
}

// "10.0.0.1:80", "[::1]:80" or the like without a port.
absl::string_view HostOf(absl::string_view authority) {
  if (absl::ConsumePrefix(&authority, "[")) return authority.substr(0, authority.find(']'));
  return authority.substr(0, authority.find(':'));
}

bool IsLoopbackHost(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  const std::string text(host);
  in_addr ipv4{};
  if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) return ntohl(ipv4.s_addr) >> 24 == 127;
  in6_addr ipv6{};
  return inet_pton(AF_INET6, text.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

}  // namespace

absl::StatusOr<std::string> TokenFile::Read() {
  if (path_.empty() || !kept_.empty()) return kept_;
  const auto wrong = [this](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(Harmless(path_), what));
  };
  errno = 0;
  std::FILE* const file = std::fopen(path_.c_str(), "rb");
  if (file == nullptr) return wrong(absl::StrCat(": ", std::strerror(errno)));
  struct stat kind {};
  const bool is_regular = fstat(fileno(file), &kind) == 0 && S_ISREG(kind.st_mode);
  std::string text(kMostTokenBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  const std::string failure = std::ferror(file) ? std::strerror(errno) : "";
  std::fclose(file);
  if (!failure.empty()) return wrong(absl::StrCat(": ", failure));
  if (text.size() > kMostTokenBytes) {
    return wrong(absl::StrCat(" is larger than ", kMostTokenBytes, " bytes"));
  }
  std::string token(absl::StripAsciiWhitespace(text));
  if (const std::string fault = Fault(token); !fault.empty()) return wrong(" " + fault);
  if (!is_regular) kept_ = token;
  return token;
}

bool IsLoopback(absl::string_view target) {
  // An escape could stand for anything.
  if (target.empty() || absl::StrContains(target, "%")) return false;
  if (absl::StartsWith(target, "unix:") || absl::StartsWith(target, "unix-abstract:")) return true;
  if (absl::ConsumePrefix(&target, "ipv4:") || absl::ConsumePrefix(&target, "ipv6:")) {
    const std::vector<absl::string_view> addresses = absl::StrSplit(target, ',');
    return std::all_of(addresses.begin(), addresses.end(),
                       [](absl::string_view address) { return IsLoopbackHost(HostOf(address)); });
  }
  // Before the third slash there could be a name server, which may call anything localhost.
  if (!absl::ConsumePrefix(&target, "dns:///")) absl::ConsumePrefix(&target, "dns:");
  return IsLoopbackHost(HostOf(target));
}

}  // namespace leasegateway
