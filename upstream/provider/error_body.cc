#include "upstream/provider/error_body.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "upstream/provider/json_reader.h"
#include "upstream/provider/json_text.h"

namespace leasegateway {
namespace {

constexpr size_t kMaxErrorMessage = 512;
constexpr size_t kMaxErrorId = 128;
constexpr size_t kMaxAgreementUrl = 2048;

// `https` and no character that an address can not have, because people are told to go there.
bool IsAgreementUrl(std::string_view text) {
  constexpr std::string_view kScheme = "https://";
  return text.size() > kScheme.size() && text.size() <= kMaxAgreementUrl &&
         text.starts_with(kScheme) && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isgraph(c);
         });
}

// What may be an error's, as it stands in the body.
struct RawError {
  std::string id;
  std::string message;     // without the envelope
  std::string data_error;  // in the envelope
  std::string agreement_url;
};

// The envelope's `data`.
bool ReadErrorData(JsonReader& in, JsonReader::Value value, RawError& error) {
  if (!in.IsType(value, JsonReader::Type::object)) return in.Skip(value);
  return in.ReadObject(value, [&](std::string_view key, JsonReader::Value field) {
    if (key == "error") return in.ReadStringIfAny(field, error.data_error);
    if (key == "agreement_url") return in.ReadStringIfAny(field, error.agreement_url);
    return in.Skip(field);
  });
}

bool ReadError(JsonReader& in, simdjson::padded_string_view text, RawError& error) {
  return in.ReadDocument(text, [&](std::string_view key, JsonReader::Value value) {
    if (key == "id") return in.ReadStringIfAny(value, error.id);
    if (key == "message") return in.ReadStringIfAny(value, error.message);
    if (key == "agreement_url") return in.ReadStringIfAny(value, error.agreement_url);
    if (key == "data") return ReadErrorData(in, value, error);
    return in.Skip(value);
  });
}

}  // namespace

UpstreamErrorBody DecodeError(const PaddedText& body) {
  const simdjson::padded_string_view text = TextOf(body);
  JsonReader in;
  RawError error;
  UpstreamErrorBody result;
  if (!ReadError(in, text, error)) {
    if (!in.has_bad_text()) return result;
    JsonReader again;
    const PaddedText mended(MendTexts(text));
    if (!ReadError(again, TextOf(mended), error)) return result;
  }
  result.id = Printable(error.id, kMaxErrorId);
  result.message =
      Printable(error.data_error.empty() ? error.message : error.data_error, kMaxErrorMessage);
  if (IsAgreementUrl(error.agreement_url)) result.agreement_url = std::move(error.agreement_url);
  return result;
}

}  // namespace leasegateway
