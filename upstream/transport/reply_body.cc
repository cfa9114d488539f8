#include "upstream/transport/reply_body.h"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/system/errc.hpp>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace leasegateway {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::size_t kMaxQuotedEncoding = 64;
// How much larger JSON may be guessed to be than its gzip, so that room for it is found once.
constexpr std::uint64_t kGuessedRatio = 12;
constexpr std::uint64_t kMostReserved = 16 << 20;

beast::error_code Unreadable() { return make_error_code(boost::system::errc::bad_message); }

// The codings of all fields, in the order in which they were applied, without those that do
// nothing.
std::vector<std::string> CodingsOf(const http::header<false>& header) {
  std::vector<std::string> codings;
  const auto [begin, end] = header.equal_range(http::field::content_encoding);
  for (auto field = begin; field != end; ++field) {
    const absl::string_view value(field->value().data(), field->value().size());
    for (const absl::string_view each : absl::StrSplit(value, ',')) {
      const absl::string_view coding = absl::StripAsciiWhitespace(each);
      if (coding.empty() || absl::EqualsIgnoreCase(coding, "identity")) continue;
      codings.emplace_back(coding);
    }
  }
  return codings;
}

std::string Quoted(std::string text) {
  text.resize(std::min(text.size(), kMaxQuotedEncoding));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return !absl::ascii_isprint(c); }, ' ');
  return text;
}

std::string WordsFor(Inflater::Outcome outcome, const Inflater& inflater) {
  using Outcome = Inflater::Outcome;
  switch (outcome) {
    case Outcome::kCorrupt:
      return absl::StrCat("its gzip is broken: ", inflater.problem());
    case Outcome::kCutOff:
      return "its gzip is cut off";
    case Outcome::kTrailing:
      return "there is something behind its gzip";
    default:
      return "";
  }
}

}  // namespace

void ReplyBody::reader::init(const boost::optional<std::uint64_t>& length,
                             beast::error_code& error) {
  error = {};
  const std::vector<std::string> codings = CodingsOf(header_);
  const bool is_gzip = codings.size() == 1 && (absl::EqualsIgnoreCase(codings[0], "gzip") ||
                                               absl::EqualsIgnoreCase(codings[0], "x-gzip"));
  if (!codings.empty() && !(is_gzip && body_.takes_gzip)) {
    body_.dropped_encoding = Quoted(absl::StrJoin(codings, ", "));
    if (http::to_status_class(header_.result_int()) != http::status_class::successful) return;
    body_.problem =
        absl::StrCat("its content-encoding, which was not asked for, is ", body_.dropped_encoding);
    error = Unreadable();
    return;
  }
  if (is_gzip) inflater_.emplace(Inflater::Format::kGzip, body_.limit);
  if (!length) return;
  const std::uint64_t guessed =
      is_gzip ? std::min(kGuessedRatio * *length, kMostReserved) : *length;
  body_.text.Reserve(std::min<std::size_t>(guessed, body_.limit + 1));
}

void ReplyBody::reader::Take(std::string_view bytes, beast::error_code& error) {
  error = {};
  if (!body_.dropped_encoding.empty()) return;
  if (!inflater_) {
    // The parser's own limit has seen to it that it is not too large.
    body_.text.Append(bytes);
    return;
  }
  const Inflater::Outcome outcome = inflater_->Put(bytes, body_.text);
  if (outcome == Inflater::Outcome::kOk) return;
  if (outcome == Inflater::Outcome::kTooLarge) {
    error = http::error::body_limit;
    return;
  }
  body_.problem = WordsFor(outcome, *inflater_);
  error = Unreadable();
}

void ReplyBody::reader::finish(beast::error_code& error) {
  error = {};
  if (!inflater_) return;
  const Inflater::Outcome outcome = inflater_->Finish();
  if (outcome == Inflater::Outcome::kOk) return;
  body_.problem = WordsFor(outcome, *inflater_);
  error = Unreadable();
}

}  // namespace leasegateway
