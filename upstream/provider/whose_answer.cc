#include "upstream/provider/whose_answer.h"

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

#include "upstream/provider/json_reader.h"
#include "upstream/provider/json_text.h"

namespace leasegateway {
namespace {

// Of the envelope, the one that is always there last.
constexpr std::string_view kEnvelopeKeys[] = {"id", "timestamp", "api_version", "object", "data"};
constexpr std::size_t kData = std::size(kEnvelopeKeys) - 1;
// Of those beside `data`, as many as no other format has by chance.
constexpr std::size_t kMinMarks = 2;

bool IsSuccess(int status) { return status >= 200 && status < 300; }

std::optional<std::size_t> EnvelopeKey(std::string_view key) {
  const auto* const found = std::find(std::begin(kEnvelopeKeys), std::end(kEnvelopeKeys), key);
  if (found == std::end(kEnvelopeKeys)) return std::nullopt;
  return static_cast<std::size_t>(found - std::begin(kEnvelopeKeys));
}

// What a JSON object has that may show whose it is.
struct Signs {
  bool IsEnvelope() const { return keys[kData] && keys.count() > kMinMarks; }
  bool IsPlainError(int http_status) const {
    return has_message && status == http_status && !has_others;
  }

  std::bitset<std::size(kEnvelopeKeys)> keys;
  bool has_message = false;
  std::optional<std::int32_t> status;
  bool has_others = false;  // that an error without the envelope has not
};

bool ReadSigns(JsonReader& in, simdjson::padded_string_view text, Signs& signs) {
  return in.ReadDocument(text, [&](std::string_view key, JsonReader::Value value) {
    if (const auto mark = EnvelopeKey(key)) signs.keys.set(*mark);
    if (key == "status") {
      return in.OrLeaveOut(in.ReadCount(value, signs.status.emplace()),
                           [&] { signs.status.reset(); });
    }
    if (key == "message") {
      signs.has_message = in.IsType(value, JsonReader::Type::string);
    } else if (key != "agreement_url") {
      signs.has_others = true;
    }
    return in.Skip(value);
  });
}

// Nothing: it is no JSON object.
std::optional<Signs> SignsOf(const PaddedText& body) {
  const simdjson::padded_string_view text = TextOf(body);
  JsonReader in;
  Signs signs;
  if (ReadSigns(in, text, signs)) return signs;
  if (!in.has_bad_text()) return std::nullopt;
  JsonReader again;
  Signs mended;
  const PaddedText mended_text(MendTexts(text));
  if (ReadSigns(again, TextOf(mended_text), mended)) return mended;
  return std::nullopt;
}

// Whether the first key of an object is one of the envelope's.
bool BeginsAsEnvelope(const PaddedText& body) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::string_view text = TextOf(body);
  text = text.substr(0, 256);
  for (const char expected : {'{', '"'}) {
    const std::size_t at = text.find_first_not_of(kSpace);
    if (at == std::string_view::npos || text[at] != expected) return false;
    text.remove_prefix(at + 1);
  }
  const std::size_t end = text.find('"');
  return end != std::string_view::npos && EnvelopeKey(text.substr(0, end)).has_value();
}

}  // namespace

Author WhoseAnswer(int status, const PaddedText& body) {
  const std::optional<Signs> signs = SignsOf(body);
  bool is_providers = false;
  if (!signs) {
    is_providers = IsSuccess(status) && BeginsAsEnvelope(body);
  } else {
    is_providers = signs->IsEnvelope() || (!IsSuccess(status) && signs->IsPlainError(status));
  }
  return is_providers ? Author::kProvider : Author::kMiddleman;
}

bool ShowsEnvelope(const v1::ResponseMetadata& read) {
  const std::size_t marks = (read.upstream_request_id().empty() ? 0U : 1U) +
                            (read.upstream_api_version().empty() ? 0U : 1U) +
                            (read.has_upstream_time() ? 1U : 0U);
  return marks >= kMinMarks;
}

}  // namespace leasegateway
