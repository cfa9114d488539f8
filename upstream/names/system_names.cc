#include "upstream/names/system_names.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace leasegateway {
namespace {

// glibc's own limits (resolv.h).
constexpr int kMaxNdots = 15;
constexpr int kMaxTimeoutSeconds = 30;
constexpr int kMaxServers = 3;

using Words = std::vector<std::string>;

Words WordsOf(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty());
}

void TakeOptions(const Words& words, SystemNames& system) {
  for (absl::string_view word : words) {
    int value = 0;
    if (absl::ConsumePrefix(&word, "ndots:") && absl::SimpleAtoi(word, &value)) {
      system.ndots = std::clamp(value, 0, kMaxNdots);
    } else if (absl::ConsumePrefix(&word, "timeout:") && absl::SimpleAtoi(word, &value)) {
      system.timeout = std::chrono::seconds(std::clamp(value, 1, kMaxTimeoutSeconds));
    } else if (word == "use-vc") {
      system.always_tcp = true;
    }
  }
}

// Without a word of it in resolv.conf, a host's domain is searched.
Words OwnDomain() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return {};
  const absl::string_view whole(name.data());
  const auto dot = whole.find('.');
  if (dot == whole.npos || dot + 1 == whole.size()) return {};
  return {std::string(whole.substr(dot + 1))};
}

void ReadResolvConf(const std::string& path, SystemNames& system) {
  std::ifstream file(path);
  bool has_domains = false;
  int servers = 0;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "#") || absl::StartsWith(line, ";")) continue;
    Words words = WordsOf(line);
    if (words.size() < 2) continue;
    const std::string keyword = words.front();
    words.erase(words.begin());
    if (keyword == "nameserver") {
      ++servers;
    } else if (keyword == "options") {
      TakeOptions(words, system);
    } else if (keyword == "search" || keyword == "domain") {  // the last line counts
      if (keyword == "domain") words.resize(1);
      has_domains = true;
      system.search = std::move(words);
    }
  }
  if (!has_domains) system.search = OwnDomain();
  system.servers = std::clamp(servers, 1, kMaxServers);
}

std::string ReadSources(const std::string& path) {
  std::ifstream file(path);
  std::string sources;
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, "hosts:")) continue;
    rest = rest.substr(0, rest.find('#'));
    for (const auto& word : WordsOf(rest)) {
      const char source = word == "files" ? 'f' : word == "dns" || word == "resolve" ? 'b' : '\0';
      if (source != '\0' && sources.find(source) == sources.npos) sources += source;
    }
  }
  return sources;
}

}  // namespace

SystemNames ReadSystemNames(const std::string& resolv_conf, const std::string& nsswitch_conf) {
  SystemNames system;
  ReadResolvConf(resolv_conf, system);
  if (const char* const domains = std::getenv("LOCALDOMAIN")) system.search = WordsOf(domains);
  if (const char* const options = std::getenv("RES_OPTIONS")) {
    TakeOptions(WordsOf(options), system);
  }
  if (auto sources = ReadSources(nsswitch_conf); !sources.empty()) {
    system.sources = std::move(sources);
  }
  return system;
}

std::vector<std::string> CandidateNames(const SystemNames& system, const std::string& host) {
  if (absl::EndsWith(host, ".")) return {host};
  const std::string as_is = absl::StrCat(host, ".");
  const bool first = std::count(host.begin(), host.end(), '.') >= system.ndots;
  std::vector<std::string> names;
  const auto add = [&names](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(std::move(name));
  };
  if (first) add(as_is);
  for (absl::string_view domain : system.search) {
    absl::ConsumeSuffix(&domain, ".");
    add(domain.empty() ? as_is : absl::StrCat(host, ".", domain, "."));
  }
  add(as_is);
  return names;
}

}  // namespace leasegateway
