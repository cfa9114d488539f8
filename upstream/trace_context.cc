#include "upstream/trace_context.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>

namespace leasegateway {
namespace {

constexpr std::size_t kMaxTracestateBytes = 512;
constexpr std::size_t kMaxTracestateMembers = 32;
constexpr std::size_t kTraceparentBytes = 55;
constexpr std::size_t kTraceBinBytes = 29;
constexpr std::uint8_t kSampled = 1;

// Lower case only, as the rules ask for; -1 for anything else.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

template <std::size_t N>
bool ParseHex(std::string_view text, std::array<std::uint8_t, N>* bytes) {
  for (std::size_t i = 0; i < N; ++i) {
    const int high = HexDigit(text[2 * i]);
    const int low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*bytes)[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

template <std::size_t N>
std::string ToHex(const std::array<std::uint8_t, N>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * N);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

template <std::size_t N>
bool IsZero(const std::array<std::uint8_t, N>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

template <std::size_t N>
void Randomize(std::array<std::uint8_t, N>* bytes) {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  do {
    for (std::size_t i = 0; i < N; i += sizeof(std::uint64_t)) {
      const std::uint64_t value = random();
      std::memcpy(bytes->data() + i, &value, sizeof(value));
    }
  } while (IsZero(*bytes));
}

std::string_view Trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool IsKeyPart(std::string_view part, std::size_t max_bytes, bool digit_may_lead) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (part.empty() || part.size() > max_bytes) return false;
  if (!lower(part[0]) && !(digit_may_lead && digit(part[0]))) return false;
  return std::all_of(part.begin(), part.end(), [&](char c) {
    return lower(c) || digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
  });
}

// "vendor" or "tenant@vendor".
bool IsKey(std::string_view key) {
  const auto at = key.find('@');
  if (at == key.npos) return IsKeyPart(key, 256, false);
  return IsKeyPart(key.substr(0, at), 241, true) && IsKeyPart(key.substr(at + 1), 14, false);
}

bool IsValue(std::string_view value) {
  return !value.empty() && value.size() <= 256 &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7E && c != ',' && c != '='; });
}

}  // namespace

std::string TraceContext::TraceIdHex() const { return ToHex(trace_id); }
std::string TraceContext::SpanIdHex() const { return ToHex(span_id); }
std::string TraceContext::Traceparent() const {
  return "00-" + TraceIdHex() + "-" + SpanIdHex() + (sampled ? "-01" : "-00");
}

std::optional<TraceContext> ParseTraceparent(std::string_view header) {
  if (header.size() < kTraceparentBytes) return std::nullopt;
  std::array<std::uint8_t, 1> version;
  std::array<std::uint8_t, 1> flags;
  TraceContext trace;
  if (!ParseHex(header.substr(0, 2), &version) || version[0] == 0xFF) return std::nullopt;
  if (header.size() > kTraceparentBytes && (version[0] == 0 || header[kTraceparentBytes] != '-')) {
    return std::nullopt;
  }
  if (header[2] != '-' || header[35] != '-' || header[52] != '-' ||
      !ParseHex(header.substr(3, 32), &trace.trace_id) ||
      !ParseHex(header.substr(36, 16), &trace.span_id) || !ParseHex(header.substr(53, 2), &flags) ||
      IsZero(trace.trace_id) || IsZero(trace.span_id)) {
    return std::nullopt;
  }
  trace.sampled = (flags[0] & kSampled) != 0;
  return trace;
}

std::optional<TraceContext> ParseTraceBin(std::string_view bytes) {
  // Version, then each field behind its number.
  if (bytes.size() != kTraceBinBytes || bytes[0] != 0 || bytes[1] != 0 || bytes[18] != 1 ||
      bytes[27] != 2) {
    return std::nullopt;
  }
  TraceContext trace;
  std::memcpy(trace.trace_id.data(), bytes.data() + 2, trace.trace_id.size());
  std::memcpy(trace.span_id.data(), bytes.data() + 19, trace.span_id.size());
  trace.sampled = (static_cast<std::uint8_t>(bytes[28]) & kSampled) != 0;
  if (IsZero(trace.trace_id) || IsZero(trace.span_id)) return std::nullopt;
  return trace;
}

std::string CheckTracestate(std::string_view header) {
  std::string checked;
  std::set<std::string_view> keys;
  for (std::size_t begin = 0; begin <= header.size();) {
    const std::size_t end = std::min(header.find(',', begin), header.size());
    const std::string_view member = Trim(header.substr(begin, end - begin));
    begin = end + 1;
    if (member.empty()) continue;
    const auto equals = member.find('=');
    if (equals == member.npos || !IsKey(member.substr(0, equals)) ||
        !IsValue(member.substr(equals + 1)) || !keys.insert(member.substr(0, equals)).second) {
      return "";
    }
    if (!checked.empty()) checked += ',';
    checked += member;
    if (keys.size() > kMaxTracestateMembers || checked.size() > kMaxTracestateBytes) return "";
  }
  return checked;
}

TraceContext NewTrace() {
  TraceContext trace;
  Randomize(&trace.trace_id);
  Randomize(&trace.span_id);
  return trace;
}

TraceContext NewSpan(const TraceContext& parent) {
  TraceContext span = parent;
  Randomize(&span.span_id);
  return span;
}

}  // namespace leasegateway
