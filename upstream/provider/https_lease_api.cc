#include "upstream/provider/https_lease_api.h"

#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "upstream/cancellation.h"
#include "upstream/provider/error_body.h"
#include "upstream/provider/http_error.h"
#include "upstream/provider/json_codec.h"
#include "upstream/provider/request_bodies.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

// The plus sign percent-encoded, as the provider's SDKs send it.
std::string InPath(const std::string& phone_number) {
  return absl::StrReplaceAll(phone_number, {{"+", "%2B"}});
}

void SetFetchTime(v1::ResponseMetadata& metadata) {
  const auto now = absl::ToUnixNanos(absl::Now());
  metadata.mutable_fetch_time()->set_seconds(now / 1'000'000'000);
  metadata.mutable_fetch_time()->set_nanos(static_cast<int>(now % 1'000'000'000));
}

// The two lists answer 404 when there is nothing to list. Only the provider's own 404 counts: a
// proxy's page must not look like an empty account.
template <typename List>
absl::StatusOr<Reply<List>> EmptyIfNotFound(absl::StatusOr<Reply<List>> reply) {
  if (reply.ok() || ReasonOf(reply.status()) != reason::kNumberNotFound) return reply;
  const auto metadata = MetadataOf(reply.status());
  Reply<List> empty;
  if (const auto id = metadata.find("upstream_error_id"); id != metadata.end()) {
    empty.metadata.set_upstream_request_id(id->second);
  }
  SetFetchTime(empty.metadata);
  return empty;
}

}  // namespace

HttpsLeaseApi::HttpsLeaseApi(const asio::any_io_executor& executor,
                             std::shared_ptr<asio::ssl::context> tls, const HttpsOptions& https,
                             Options options)
    : executor_(executor),
      https_(https),
      options_(std::move(options)),
      dns_(executor, https.host, https.port, https.dns_ttl),
      pool_(executor, std::move(tls), https) {}

template <typename T>
absl::StatusOr<Reply<T>> HttpsLeaseApi::Decode(
    UpstreamOperation operation, std::string_view route, CallStats& stats,
    const absl::StatusOr<std::string>& body,
    absl::StatusOr<Reply<T>> (*decode)(std::string_view)) const {
  if (!body.ok()) return body.status();
  auto reply = decode(*body);
  if (reply.ok()) {
    SetFetchTime(reply->metadata);
    stats.upstream_request_id = reply->metadata.upstream_request_id();
    options_.tolerated->Note(operation, route, reply->tolerated, Clock::now());
  }
  return reply;
}

HttpRequest HttpsLeaseApi::MakeRequest(const Operation& operation, const TraceContext& span) const {
  HttpRequest request(operation.verb, options_.base_path + operation.path, 11);
  request.set(http::field::host, options_.host_header);
  request.set(http::field::authorization, options_.authorization());
  request.set(http::field::user_agent, options_.user_agent);
  request.set(http::field::accept, "application/json");
  request.set(http::field::accept_encoding, "identity");
  request.set("traceparent", span.Traceparent());
  if (!span.tracestate.empty()) request.set("tracestate", span.tracestate);
  if (!operation.body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = operation.body;
  }
  if (!operation.body.empty() || operation.verb == http::verb::post) request.prepare_payload();
  return request;
}

asio::awaitable<absl::Status> HttpsLeaseApi::Connect(HttpsConnection& connection,
                                                     Deadline deadline) {
  const auto give_up = std::min(deadline, Clock::now() + https_.resolve_timeout);
  const auto began = Clock::now();
  auto addresses = co_await dns_.Lookup(give_up);
  https_.phases->Observe(Phase::kResolve, Clock::now() - began);
  if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
  if (!addresses.ok()) {
    if (Clock::now() >= deadline) co_return DeadlineError("looking up the provider's address");
    co_return addresses.status();
  }
  co_return co_await connection.Connect(*std::move(addresses), deadline);
}

asio::awaitable<absl::StatusOr<std::string>> HttpsLeaseApi::Perform(CallContext context,
                                                                    Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  using Failure = HttpsConnection::Result::Failure;
  const auto started = Clock::now();
  auto lease = co_await pool_.Acquire(context.deadline);
  if (!lease.ok()) co_return lease.status();

  HttpsConnection::Result result;
  for (;;) {
    if (co_await Cancelled()) co_return CancelledError(operation.route);
    if (Clock::now() >= context.deadline) co_return DeadlineError(operation.route);
    ++context.stats->attempts;
    const bool pooled = (*lease)->connected();
    if (!pooled) {
      const absl::Status connected = co_await Connect(**lease, context.deadline);
      if (!connected.ok()) {
        spdlog::debug("upstream {} call={}: {}", operation.route, context.call_id,
                      std::string(connected.message()));
        co_return connected;
      }
      // A connection that was cancelled just as it was ready has sent nothing yet.
      if (co_await Cancelled()) co_return CancelledError(operation.route);
    }
    const TraceContext span = context.trace ? NewSpan(*context.trace) : NewTrace();
    auto exchange =
        (*lease)->Exchange(MakeRequest(operation, span), context.deadline, operation.is_write());
    result = co_await std::move(exchange);
    const bool died_idle =
        pooled && result.failure == Failure::kTransport && !result.timed_out && !result.got_byte;
    if (!died_idle || operation.is_write()) break;
    lease->Renew();
  }
  spdlog::debug(
      "upstream {} call={} status={} time_ms={} {}", operation.route, context.call_id,
      result.failure == Failure::kNone ? result.response.result_int() : 0,
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started).count(),
      result.cause);

  switch (result.failure) {
    case Failure::kNone:
      break;
    case Failure::kCancelled:
      co_return CancelledError(operation.route);
    case Failure::kBodyTooLarge:
    case Failure::kNotHttp:
      co_return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                          absl::StrCat("the provider's answer to ", operation.route,
                                       " can't be read: ", result.cause));
    case Failure::kTransport:
      if (result.timed_out && !operation.is_write() && Clock::now() >= context.deadline) {
        co_return DeadlineError(operation.route);
      }
      co_return FromTransport(
          operation.route, result.cause,
          result.tls_alert ? reason::kUpstreamTls : reason::kUpstreamUnreachable,
          RequestState::kSent, operation.is_write());
  }
  if (result.reusable) lease->Recycle();
  auto& response = result.response;
  if (http::to_status_class(response.result_int()) == http::status_class::successful) {
    co_return std::move(response.body());
  }
  HttpFailure failure;
  failure.status = static_cast<int>(response.result_int());
  failure.body = std::move(response.body());
  failure.retry_after = std::string(response[http::field::retry_after]);
  failure.is_write = operation.is_write();
  failure.operation = operation.route;
  if (failure.status == 404 && !DecodeError(failure.body).recognized) {
    co_return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                        absl::StrCat("the answer 404 to ", operation.route,
                                     " is not the provider's: is upstream_url right?"),
                        {{"http_status", "404"}});
  }
  co_return FromHttp(failure, std::chrono::system_clock::now());
}

LeaseApiResult<NumberList> HttpsLeaseApi::ListAvailableNumbers(CallContext context) {
  Operation operation{http::verb::get, "GET /leases", "/leases", ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return EmptyIfNotFound(Decode(UpstreamOperation::kListAvailableNumbers, route, *stats, body,
                                   DecodeAvailableNumbers));
}

LeaseApiResult<v1::Number> HttpsLeaseApi::GetNumber(CallContext context, std::string phone_number) {
  Operation operation{http::verb::get, "GET /{number}", "/" + InPath(phone_number), ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kGetNumber, route, *stats, body, DecodeNumber);
}

LeaseApiResult<v1::Lease> HttpsLeaseApi::CreateLease(CallContext context, std::string phone_number,
                                                     v1::BillingMethod method) {
  Operation operation{http::verb::post, "POST /lease/{number}", "/lease/" + InPath(phone_number),
                      EncodeCreateLease(method)};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  auto reply = Decode(UpstreamOperation::kCreateLease, route, *stats, body, DecodeLease);
  if (reply.ok() && !reply->value.phone_number().empty() &&
      reply->value.phone_number() != phone_number) {
    co_return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                        absl::StrCat("the provider's answer to the lease of ", phone_number,
                                     " is of ", reply->value.phone_number()));
  }
  co_return reply;
}

LeaseApiResult<LeaseList> HttpsLeaseApi::ListLeases(CallContext context) {
  Operation operation{http::verb::get, "GET /leased", "/leased", ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return EmptyIfNotFound(
      Decode(UpstreamOperation::kListLeases, route, *stats, body, DecodeLeases));
}

LeaseApiResult<v1::Lease> HttpsLeaseApi::GetLease(CallContext context, std::string phone_number) {
  auto number = co_await GetNumber(std::move(context), std::move(phone_number));
  if (!number.ok()) co_return number.status();
  co_return TakeLease(*std::move(number));
}

LeaseApiResult<v1::Termination> HttpsLeaseApi::TerminateLease(CallContext context,
                                                              std::string phone_number) {
  Operation operation{http::verb::delete_, "DELETE /leased/{number}",
                      "/leased/" + InPath(phone_number), ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kTerminateLease, route, *stats, body, DecodeTermination);
}

LeaseApiResult<v1::Failover> HttpsLeaseApi::ConfigureFailover(CallContext context,
                                                              std::string phone_number,
                                                              v1::Failover failover) {
  Operation operation{http::verb::post, "POST /{number}/configure",
                      absl::StrCat("/", InPath(phone_number), "/configure"),
                      EncodeFailover(failover)};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kConfigureFailover, route, *stats, body, DecodeFailover);
}

LeaseApiResult<v1::CallForwarding> HttpsLeaseApi::GetCallForwarding(CallContext context,
                                                                    std::string phone_number) {
  Operation operation{http::verb::get, "GET /lease/{number}/call_forwarding",
                      absl::StrCat("/lease/", InPath(phone_number), "/call_forwarding"), ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kGetCallForwarding, route, *stats, body,
                   DecodeCallForwarding);
}

LeaseApiResult<v1::CallForwarding> HttpsLeaseApi::EnableCallForwarding(CallContext context,
                                                                       std::string phone_number,
                                                                       std::string forward_to) {
  Operation operation{http::verb::post, "POST /lease/{number}/call_forwarding/enable",
                      absl::StrCat("/lease/", InPath(phone_number), "/call_forwarding/enable"),
                      EncodeEnableCallForwarding(forward_to)};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kEnableCallForwarding, route, *stats, body,
                   DecodeCallForwarding);
}

LeaseApiResult<v1::CallForwarding> HttpsLeaseApi::DisableCallForwarding(CallContext context,
                                                                        std::string phone_number) {
  Operation operation{http::verb::post, "POST /lease/{number}/call_forwarding/disable",
                      absl::StrCat("/lease/", InPath(phone_number), "/call_forwarding/disable"),
                      ""};
  const auto stats = context.stats;
  const std::string route = operation.route;
  const auto body = co_await Perform(std::move(context), std::move(operation));
  co_return Decode(UpstreamOperation::kDisableCallForwarding, route, *stats, body,
                   DecodeCallForwarding);
}

}  // namespace leasegateway
