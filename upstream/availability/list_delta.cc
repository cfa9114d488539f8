#include "upstream/availability/list_delta.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <openssl/sha.h>

#include <cstdint>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/list_log.pb.h"

namespace leasegateway {
namespace {

using ::google::protobuf::internal::WireFormatLite;
using Entries = std::vector<std::string_view>;

constexpr std::uint32_t kListEntryTag =
    WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
static_assert(int{v1::ListAvailableNumbersResponse::kNumbersFieldNumber} == 1 &&
              int{v1::ListLeasesResponse::kLeasesFieldNumber} == 1);

std::uint64_t FingerprintOf(std::string_view entries) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(entries.data()), entries.size(), digest);
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest[i];
  return value;
}

std::string Joined(const Entries& entries) {
  std::string joined;
  joined.reserve(std::accumulate(
      entries.begin(), entries.end(), std::size_t{0},
      [](std::size_t size, std::string_view entry) { return size + entry.size(); }));
  for (const std::string_view entry : entries) joined.append(entry);
  return joined;
}

// More than any list; a broken delta may ask for anything.
constexpr std::size_t kMostBytes = std::size_t{512} << 20;

using WireEffect = internal::LoggedWrite::Effect;
constexpr struct {
  Write::Effect effect;
  WireEffect wire;
} kEffects[] = {
    {Write::Effect::kLeased, internal::LoggedWrite::EFFECT_LEASED},
    {Write::Effect::kGone, internal::LoggedWrite::EFFECT_GONE},
    {Write::Effect::kEnded, internal::LoggedWrite::EFFECT_ENDED},
    {Write::Effect::kUnknown, internal::LoggedWrite::EFFECT_UNKNOWN},
    {Write::Effect::kConfigured, internal::LoggedWrite::EFFECT_CONFIGURED},
};

}  // namespace

std::string SerializeInOrder(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    static_cast<void>(message.SerializeToCodedStream(&out));  // a string takes all
  }
  return bytes;
}

std::optional<Entries> EntriesOf(std::string_view reply) {
  Entries entries;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(reply.data()),
                                            static_cast<int>(reply.size()));
  for (;;) {
    const auto begin = static_cast<std::size_t>(in.CurrentPosition());
    if (begin == reply.size() || in.ReadTag() != kListEntryTag) return entries;
    std::uint32_t size = 0;
    if (!in.ReadVarint32(&size) || !in.Skip(static_cast<int>(size))) return std::nullopt;
    entries.push_back(reply.substr(begin, static_cast<std::size_t>(in.CurrentPosition()) - begin));
  }
}

std::string EncodeDelta(const Entries& before, const Entries& after) {
  absl::flat_hash_map<absl::string_view, std::uint32_t> places;
  places.reserve(before.size());
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    places.try_emplace(absl::string_view(before[i].data(), before[i].size()), i);
  }
  internal::ListDelta delta;
  internal::ListDelta::Piece* piece = nullptr;
  for (const std::string_view entry : after) {
    const auto found = places.find(absl::string_view(entry.data(), entry.size()));
    if (found == places.end()) {
      if (piece == nullptr) piece = delta.add_pieces();
      piece->mutable_inserted()->append(entry);
    } else if (piece != nullptr && piece->inserted().empty() &&
               found->second == piece->from() + piece->count()) {
      piece->set_count(piece->count() + 1);
    } else {
      piece = delta.add_pieces();
      piece->set_from(found->second);
      piece->set_count(1);
    }
  }
  delta.set_fingerprint(FingerprintOf(Joined(after)));
  return delta.SerializeAsString();
}

std::optional<std::string> ApplyDelta(const Entries& before, std::string_view bytes) {
  internal::ListDelta delta;
  if (!delta.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  std::size_t size = 0;
  for (const auto& piece : delta.pieces()) {
    if (std::uint64_t{piece.from()} + piece.count() > before.size()) return std::nullopt;
    size += piece.inserted().size();
    for (std::uint32_t i = 0; i < piece.count() && size <= kMostBytes; ++i) {
      size += before[piece.from() + i].size();
    }
    if (size > kMostBytes) return std::nullopt;
  }
  std::string after;
  after.reserve(size);
  for (const auto& piece : delta.pieces()) {
    for (std::uint32_t i = 0; i < piece.count(); ++i) after.append(before[piece.from() + i]);
    after.append(piece.inserted());
  }
  if (FingerprintOf(after) != delta.fingerprint()) return std::nullopt;
  return after;
}

std::string EncodeWrite(const Write& write) {
  internal::LoggedWrite logged;
  for (const auto& each : kEffects) {
    if (each.effect == write.effect) logged.set_effect(each.wire);
  }
  logged.set_phone_number(write.phone_number);
  *logged.mutable_lease() = write.lease;
  return logged.SerializeAsString();
}

std::optional<Write> DecodeWrite(std::string_view bytes) {
  internal::LoggedWrite logged;
  if (!logged.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  for (const auto& each : kEffects) {
    if (each.wire != logged.effect()) continue;
    Write write;
    write.effect = each.effect;
    write.phone_number = std::move(*logged.mutable_phone_number());
    write.lease = std::move(*logged.mutable_lease());
    return write;
  }
  return std::nullopt;
}

}  // namespace leasegateway
