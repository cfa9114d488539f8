// Any bytes as an answer of HTTP: header, body in gzip or not, what is said of whose it is and of
// the list that it has, and the request that goes out with that afterwards.

#include <zlib.h>

#include <algorithm>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "upstream/inflater.h"
#include "upstream/provider/conditional.h"
#include "upstream/provider/http_error.h"
#include "upstream/provider/whose_answer.h"
#include "upstream/transport/padded_text.h"
#include "upstream/transport/reply_body.h"
#include "upstream/upstream_error.h"

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using leasegateway::Inflater;
using leasegateway::PaddedText;
using leasegateway::ReplyBody;

void Demand(bool holds) {
  if (!holds) std::abort();
}

// One member of a gzip file: fuzzers make none that is right.
std::string Gzip(std::string_view text) {
  z_stream stream{};
  Demand(deflateInit2(&stream, 1, Z_DEFLATED, MAX_WBITS + 16, 1, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  Demand(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Where a parser may read past the end.
void CheckPadding(const PaddedText& text) {
  const std::string_view view = text.view();
  for (std::size_t i = 0; view.data() != nullptr && i < PaddedText::kPadding; ++i) {
    Demand(view.data()[view.size() + i] == '\0');
  }
}

struct Inflated {
  Inflater::Outcome outcome = Inflater::Outcome::kOk;
  std::string text;
  friend bool operator==(const Inflated&, const Inflated&) = default;
};
Inflated Inflate(std::string_view bytes, std::size_t piece, std::size_t limit) {
  Inflater inflater(Inflater::Format::kGzip, limit);
  PaddedText text;
  Inflated inflated;
  while (!bytes.empty() && inflated.outcome == Inflater::Outcome::kOk) {
    inflated.outcome = inflater.Put(bytes.substr(0, piece), text);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (inflated.outcome == Inflater::Outcome::kOk) inflated.outcome = inflater.Finish();
  if (inflated.outcome == Inflater::Outcome::kCorrupt) Demand(!inflater.problem().empty());
  Demand(text.size() <= limit + 1);
  Demand((text.size() > limit) == (inflated.outcome == Inflater::Outcome::kTooLarge));
  CheckPadding(text);
  // What is broken may have been given out or not when that is found.
  if (inflated.outcome == Inflater::Outcome::kOk) inflated.text = text.view();
  return inflated;
}

void CheckInflater(std::string_view bytes, std::size_t piece) {
  constexpr std::size_t kLimit = 1 << 16;
  const Inflated whole = Inflate(bytes, bytes.size() + 1, kLimit);
  Demand(whole == Inflate(bytes, piece, kLimit));
  const std::string gzip = Gzip(bytes);
  Demand(Inflate(gzip, piece, bytes.size()) ==
         Inflated{Inflater::Outcome::kOk, std::string(bytes)});
  if (!bytes.empty()) {
    for (const std::size_t limit : {bytes.size() - 1, bytes.size() / 2}) {
      Demand(Inflate(gzip, piece, limit).outcome == Inflater::Outcome::kTooLarge);
    }
  }
  Demand(Inflate(gzip.substr(0, gzip.size() - 1), piece, bytes.size()).outcome ==
         Inflater::Outcome::kCutOff);
  Demand(Inflate(gzip + "\n", piece, bytes.size()).outcome == Inflater::Outcome::kTrailing);
}

// What goes out is one request with these fields and no others.
void CheckConditions(const http::fields& answer) {
  const leasegateway::Validators known = leasegateway::ValidatorsOf(answer);
  Demand(known.etag.size() <= 1'024 && known.last_modified.size() <= 29);
  Demand(known.etag.empty() || (known.etag.size() >= 2 && known.etag.ends_with('"')));
  Demand(known.etag.empty() || known.etag.starts_with('"') || known.etag.starts_with("W/\""));
  http::request<http::string_body> request(http::verb::get, "/leases", 11);
  leasegateway::SetConditions(known, request);
  std::ostringstream out;
  out << request;
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  beast::error_code error;
  const std::string sent = out.str();
  const std::size_t used = parser.put(boost::asio::buffer(sent), error);
  Demand(!error && used == sent.size() && parser.is_done());
  const auto& read = parser.get();
  Demand(std::distance(read.begin(), read.end()) ==
         (known.etag.empty() ? 0 : 1) + (known.last_modified.empty() ? 0 : 1));
  Demand(read[http::field::if_none_match] == known.etag);
  Demand(read[http::field::if_modified_since] == known.last_modified);
  Demand(leasegateway::Confirms(answer, known) == !known.empty());
  Demand(!leasegateway::Confirms(answer, {}));
}

void CheckError(const leasegateway::HttpFailure& failure) {
  const bool is_middlemans =
      leasegateway::WhoseAnswer(failure.status, failure.body) == leasegateway::Author::kMiddleman;
  const bool is_success = failure.status >= 200 && failure.status < 300;
  if (is_success && !is_middlemans) return;
  const std::chrono::system_clock::time_point now;
  const absl::Status status =
      is_success ? leasegateway::FromMiddleman(failure, now) : leasegateway::FromHttp(failure, now);
  Demand(!status.ok() && !leasegateway::ReasonOf(status).empty());
  auto metadata = leasegateway::MetadataOf(status);
  Demand((metadata[std::string(leasegateway::kFromProviderKey)] == "false") == is_middlemans);
  for (const char* key : {"server", "via", "content_type"}) Demand(metadata[key].size() <= 64);
  for (const char c : status.message()) Demand(!is_middlemans || (c >= ' ' && c <= '~'));
  if (is_middlemans) {
    Demand(leasegateway::ReasonOf(status) == (failure.is_write
                                                  ? leasegateway::reason::kOutcomeUnknown
                                                  : leasegateway::reason::kUpstreamIntermediary));
  }
}

// As HttpsConnection reads it.
void CheckAnswer(std::string_view bytes, std::size_t piece, bool takes_gzip, bool is_write) {
  constexpr std::size_t kLimit = 1 << 16;
  http::response_parser<ReplyBody> parser;
  parser.eager(true);
  parser.body_limit(std::uint64_t{kLimit});
  parser.header_limit(16 << 10);
  parser.get().body().limit = kLimit;
  parser.get().body().takes_gzip = takes_gzip;
  beast::error_code error;
  std::string pending;
  while (!parser.is_done() && !(bytes.empty() && pending.empty())) {
    const std::size_t before = pending.size();
    pending.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    const std::size_t used = parser.put(boost::asio::buffer(pending), error);
    pending.erase(0, used);
    if (error == http::error::need_more) error = {};
    if (error || (used == 0 && pending.size() == before)) break;
  }
  if (!error && parser.got_some() && !parser.is_done()) parser.put_eof(error);
  const ReplyBody::value_type& body = parser.get().body();
  Demand(body.text.size() <= kLimit + 1);
  CheckPadding(body.text);
  if (!body.problem.empty()) Demand(bool(error));
  if (!body.dropped_encoding.empty()) Demand(body.text.size() == 0);
  if (error || !parser.is_header_done()) return;
  const auto& answer = parser.get();
  CheckConditions(answer);
  leasegateway::HttpFailure failure;
  failure.status = static_cast<int>(answer.result_int());
  failure.body = std::string(body.text.view());
  failure.unread_encoding = body.dropped_encoding;
  failure.retry_after = std::string(answer[http::field::retry_after]);
  failure.content_type = std::string(answer[http::field::content_type]);
  failure.server = std::string(answer[http::field::server]);
  failure.via = std::string(answer[http::field::via]);
  failure.is_write = is_write;
  failure.operation = "GET /leases";
  failure.has_arguments = is_write;
  CheckError(failure);
}

}  // namespace

// The first two bytes choose how large the pieces are in which it comes, and what was asked.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::size_t piece = data[0] + 1U;
  const auto chosen = [flags = data[1]](int bit) { return (flags >> bit & 1) != 0; };
  const bool takes_gzip = chosen(0);
  const bool is_write = chosen(1);
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string status = chosen(2) ? "200" : chosen(3) ? "304" : "403";
  CheckAnswer(bytes, piece, takes_gzip, is_write);
  CheckAnswer("HTTP/1.1 " + status + " X\r\n" + bytes, piece, takes_gzip, is_write);
  CheckAnswer("HTTP/1.1 " + status + " X\r\ncontent-encoding: gzip\r\n\r\n" + Gzip(bytes), piece,
              takes_gzip, is_write);
  CheckInflater(bytes, piece);
  return 0;
}
