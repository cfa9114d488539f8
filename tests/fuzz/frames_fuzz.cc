// Any bytes, and any frames, as what a caller's connection sends: the verdict and what is counted
// are the same in pieces of any size, and are what a plain reading of the frames gives.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/guard/conduct.h"
#include "service/guard/field_counter.h"

namespace {

using leasegateway::Conduct;
using leasegateway::CutReason;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::uint32_t kMaxStreams = 20;

void Demand(bool holds) {
  if (!holds) std::abort();
}

// What comes at a time.
struct Arrival {
  std::chrono::milliseconds time{0};  // since the one before
  std::string bytes;
};
using Arrivals = std::vector<Arrival>;

struct Outcome {
  std::optional<CutReason> reason;
  std::uint64_t calls = 0;
  std::uint64_t bytes = 0;
  std::uint32_t unfinished = 0;
  std::uint32_t open = 0;
  std::uint32_t waiting = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome Judge(const Arrivals& arrivals, std::size_t piece, bool knows_sent) {
  std::uint64_t sent = 0;
  Conduct::Options options;
  options.max_streams = kMaxStreams;
  if (knows_sent) options.bytes_sent = [&sent] { return sent; };
  Conduct conduct(std::move(options));
  conduct.Answers();
  Conduct::Clock::time_point now{std::chrono::hours(1)};
  Outcome outcome;
  for (const Arrival& arrival : arrivals) {
    now += arrival.time;
    sent += 100;
    std::string_view left = arrival.bytes;
    while (!left.empty() && !outcome.reason) {
      // On the heap and without more behind it, so that a read past its end is found.
      const std::vector<char> part(left.begin(), left.begin() + std::min(piece, left.size()));
      outcome.reason = conduct.Read({part.data(), part.size()}, now);
      left.remove_prefix(part.size());
    }
    if (outcome.reason) break;
  }
  outcome.calls = conduct.calls();
  outcome.bytes = conduct.unfinished_bytes();
  outcome.unfinished = conduct.unfinished_calls();
  outcome.open = conduct.open_calls().open();
  outcome.waiting = conduct.open_calls().waiting();
  return outcome;
}

// What a header block has when decoded (RFC 7541), string by string.
class Decoder {
 public:
  std::uint64_t Decode(std::string_view block) {
    std::uint64_t decoded = 0;
    for (std::size_t at = 0; at < block.size();) {
      const std::uint32_t first = Byte(block, at);
      const std::uint32_t prefix = first >= 128 ? 127 : first >= 64 ? 63 : first >= 32 ? 31 : 15;
      const auto index = Number(block, at, prefix);
      if (!index) break;
      if (first >= 32 && first < 64) continue;
      if (first >= 128) {
        decoded += Find(*index).second;
        continue;
      }
      const auto name = *index == 0 ? String(block, at) : Find(*index).first;
      if (!name) break;
      const auto value = String(block, at);
      if (!value) break;
      decoded += *name + *value + 32;
      const auto bounded = [](std::uint64_t size) { return std::min<std::uint64_t>(size, 4'096); };
      if (first >= 64) added_.push_front({bounded(*name), bounded(*name + *value + 32)});
      if (added_.size() > 128) added_.pop_back();
    }
    return decoded;
  }

 private:
  using MaybeNumber = std::optional<std::uint64_t>;

  static std::uint32_t Byte(std::string_view block, std::size_t at) {
    return static_cast<std::uint8_t>(block[at]);
  }
  static MaybeNumber Number(std::string_view block, std::size_t& at, std::uint32_t prefix) {
    std::uint64_t number = Byte(block, at++) & prefix;
    if (number < prefix) return number;
    for (int i = 0;; ++i) {
      if (at == block.size()) return std::nullopt;
      const std::uint64_t byte = Byte(block, at++);
      if (i < 4) number += byte % 128 << (7 * i);
      if (byte < 128) return number;
    }
  }
  static MaybeNumber String(std::string_view block, std::size_t& at) {
    if (at == block.size()) return std::nullopt;
    const bool is_huffman = Byte(block, at) >= 128;
    const MaybeNumber length = Number(block, at, 127);
    if (!length || *length > block.size() - at) return std::nullopt;
    at += *length;
    return is_huffman ? *length * 8 / 5 : *length;
  }
  // The static table's are as the one that is tested says; these are of interest here.
  std::pair<std::uint64_t, std::uint64_t> Find(std::uint64_t index) {
    if (index >= 62) return index - 62 < added_.size() ? added_[index - 62] : Entry{0, 0};
    if (index == 0) return {0, 0};
    leasegateway::FieldCounter whole, name;
    whole.Read(std::string{static_cast<char>(0x80 | index)});
    const std::string literal{'\x0f', static_cast<char>(index - 15), '\0'};
    name.Read(index < 15 ? std::string{static_cast<char>(index), '\0'} : literal);
    return {name.decoded() - 32, whole.decoded()};
  }

  using Entry = std::pair<std::uint64_t, std::uint64_t>;
  std::deque<Entry> added_;
};

// The calls in `bytes`, whose frames are judged to the end.
Outcome Count(std::string_view bytes, std::uint32_t waiting) {
  Outcome outcome;
  std::map<std::uint32_t, std::uint64_t> open;
  std::set<std::uint32_t> unanswered;
  std::uint32_t last = 0, begun = 0;
  Decoder decoder;
  std::string block;
  bool is_block_open = false;
  const auto byte = [&](std::size_t at) {
    return std::uint32_t{static_cast<std::uint8_t>(bytes[at])};
  };
  const auto whole = [&] { return bytes.size() >= 9; };
  if (!bytes.starts_with(kPreface)) return outcome;
  for (bytes.remove_prefix(kPreface.size()); whole();) {
    const std::uint32_t length = byte(0) * 65'536 + byte(1) * 256 + byte(2);
    const std::uint32_t type = byte(3), flags = byte(4);
    const std::uint32_t stream =
        byte(5) % 128 * 16'777'216 + byte(6) * 65'536 + byte(7) * 256 + byte(8);
    const std::string_view payload = bytes.substr(9, length);
    bytes.remove_prefix(9 + payload.size());
    if (type == 1) {
      decoder.Decode(block);  // of one without end
      block = payload.substr(std::min<std::size_t>((flags & 0x20) != 0 ? 5 : 0, payload.size()));
      is_block_open = true;
      begun = 0;
    } else if (type == 9 && is_block_open) {
      block += payload;
    }
    const bool ends = (flags & 1) != 0, resets = type == 3 || (type == 0 && flags > 1);
    if (type == 1 && stream % 2 == 1 && stream > last) {
      last = stream;
      unanswered.insert(stream);
      ends ? ++outcome.calls : open[begun = stream] = 0;
    } else if (open.count(stream) != 0 && ((type <= 1 && ends) || resets)) {
      outcome.calls += resets ? 0 : 1;
      open.erase(stream);
    } else if (open.count(stream) != 0 && type == 0) {
      open[stream] += length;
    }
    if (resets) unanswered.erase(stream);
    const bool is_last = (type == 1 || type == 9) && (flags & 4) != 0 && payload.size() == length;
    if (!is_last || !std::exchange(is_block_open, false)) continue;
    const std::uint64_t decoded = decoder.Decode(std::exchange(block, {}));
    if (open.count(begun) != 0) open[begun] += decoded;
  }
  outcome.open = static_cast<std::uint32_t>(unanswered.size());
  outcome.waiting = waiting;  // their windows are not read here
  for (const auto& [stream, request] : open) outcome.bytes += request;
  outcome.unfinished = static_cast<std::uint32_t>(open.size());
  return outcome;
}

void Check(const Arrivals& arrivals, std::size_t piece, bool knows_sent) {
  const Outcome whole = Judge(arrivals, std::string::npos, knows_sent);
  Outcome in_pieces = Judge(arrivals, piece, knows_sent);
  // Of two offences of one header block the later one may be noticed first.
  if (whole.reason == CutReason::kHeaderBlock && in_pieces.reason == CutReason::kIdleFrames) {
    in_pieces.reason = whole.reason;
  }
  Demand(whole == in_pieces);
  Demand(whole.unfinished <= kMaxStreams + (whole.reason ? 1 : 0));
  Demand(whole.unfinished > 0 || whole.bytes == 0);
  if (whole.reason) return;
  std::string all;
  for (const Arrival& arrival : arrivals) all += arrival.bytes;
  Demand(whole.waiting <= whole.open);
  Demand(whole == Count(all, whole.waiting));
}

// Five bytes each: a frame and how often it is sent, its streams one after the other or the same;
// long ones once. No more in all than would be slow.
Arrivals Frames(std::string_view code) {
  Arrivals arrivals{{{}, std::string(kPreface)}};
  std::uint32_t stream = 1;
  std::size_t size = 0;
  for (; code.size() >= 5 && size < 40'000; code.remove_prefix(5)) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(code[i]); };
    const std::uint8_t how = at(0);
    if ((how & 0x40) != 0) arrivals.push_back({std::chrono::milliseconds(at(4)), ""});
    const int times = (how & 0x80) != 0 ? 1 + at(1) : 1;
    for (int i = 0; i < times; ++i) {
      std::string& bytes = arrivals.back().bytes;
      const std::uint32_t length = times == 1 && (how & 0x20) != 0 ? at(3) * 64U : at(3) % 16U;
      bytes += {'\0', static_cast<char>(length >> 8), static_cast<char>(length),
                static_cast<char>(how & 0x0f), static_cast<char>(at(2))};
      for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(stream >> shift);
      bytes.append(length, static_cast<char>(at(4)));
      size += 9 + length;
      if ((how & 0x10) != 0) stream += (at(2) & 0x40) != 0 ? 1 : 2;
    }
    if ((how & 0x10) == 0 && times > 1) stream = at(4);
  }
  return arrivals;
}

}  // namespace

// The first byte chooses how large the pieces are, the second what is known.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::size_t piece = data[0] + 1U;
  const bool knows_sent = (data[1] & 1) != 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  Check({{{}, bytes}}, piece, knows_sent);
  Check({{{}, std::string(kPreface) + bytes}}, piece, knows_sent);
  Check(Frames(bytes), piece, knows_sent);
  return 0;
}
