#include "service/admin/admin_request.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/fields.hpp>
#include <string_view>

#include "absl/strings/ascii.h"

namespace leasegateway {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using http::field;

std::optional<AdminAnswer> RefusalOf(const http::request_header<>& header) {
  constexpr auto kBad = http::status::bad_request;
  // The parser took no second one after "chunked", and no length beside it.
  if (header.count(field::transfer_encoding) > 0 &&
      (header.version() < 11 || !beast::iequals(header[field::transfer_encoding], "chunked"))) {
    return AdminFailure(kBad, "a Transfer-Encoding other than chunked is not taken");
  }
  const auto length = header[field::content_length];
  if (header.count(field::content_length) > 1 ||
      !std::all_of(length.begin(), length.end(), absl::ascii_isdigit)) {
    return AdminFailure(kBad, "more than one Content-Length");
  }
  const auto hosts = header.count(field::host);
  if (hosts > 1 || (hosts == 0 && header.version() >= 11)) {
    return AdminFailure(kBad, "there must be one Host");
  }
  if (header.count(field::expect) > 0 && header.version() >= 11 && !ExpectsContinue(header)) {
    return AdminFailure(http::status::expectation_failed, "only 100-continue may be expected");
  }
  return std::nullopt;
}

std::optional<AdminAnswer> RefusalOf(const boost::system::error_code& error) {
  if (error.category() != make_error_code(http::error::bad_version).category() ||
      error == http::error::end_of_stream || error == http::error::partial_message) {
    return std::nullopt;
  }
  http::status status = http::status::bad_request;
  if (error == http::error::header_limit) {
    status = http::status::request_header_fields_too_large;
  } else if (error == http::error::body_limit || error == http::error::buffer_overflow) {
    status = http::status::payload_too_large;
  }
  const auto words = http::obsolete_reason(status);
  return AdminFailure(status, std::string_view(words.data(), words.size()));
}

bool ExpectsContinue(const http::request_header<>& header) {
  return header.version() >= 11 && header.count(field::expect) == 1 &&
         beast::iequals(header[field::expect], "100-continue");
}

}  // namespace leasegateway
