#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_REQUEST_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_REQUEST_H_

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/system/error_code.hpp>
#include <optional>

#include "service/admin/admin_answers.h"

namespace leasegateway {

// Why a request is refused whose header Beast's parser takes, by RFC 9112 (3.2, 6.1, 6.3) and RFC
// 9110 (10.1.1): what says in two ways where it ends, or in a way that another server may read
// differently, could smuggle a second one past a proxy. Nothing: it isn't refused. The parser
// itself refuses a length beside chunked, lengths that differ, bare line feeds, and a space before
// a colon.
std::optional<AdminAnswer> RefusalOf(const boost::beast::http::request_header<>& header);

// The answer to what the parser did not take; nothing: the connection ended or is no more.
std::optional<AdminAnswer> RefusalOf(const boost::system::error_code& error);

// Whether the client waits for "100 Continue" before it sends the body.
bool ExpectsContinue(const boost::beast::http::request_header<>& header);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_REQUEST_H_
