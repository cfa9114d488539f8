#include "upstream/provider/https_lease_api.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "upstream/cancellation.h"
#include "upstream/provider/whose_answer.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTooLateRetryDelay{100};

void SetFetchTime(v1::ResponseMetadata& metadata) {
  const auto now = absl::ToUnixNanos(absl::Now());
  metadata.mutable_fetch_time()->set_seconds(now / 1'000'000'000);
  metadata.mutable_fetch_time()->set_nanos(static_cast<int>(now % 1'000'000'000));
}

// Of a write that another process may send by now.
absl::Status TooLateError(std::string_view operation) {
  auto status = MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied,
                          absl::StrCat(std::string(operation),
                                       " was not sent: the time in which this process might do so "
                                       "was over before its turn came"),
                          {{"request_sent", "false"}});
  SetRetryDelay(status, kTooLateRetryDelay);
  return status;
}

// All but the body.
HttpFailure HeaderOf(const Route& route, const HttpResponse& response) {
  HttpFailure answer;
  answer.status = static_cast<int>(response.result_int());
  answer.retry_after = std::string(response[http::field::retry_after]);
  answer.content_type = std::string(response[http::field::content_type]);
  answer.server = std::string(response[http::field::server]);
  answer.via = std::string(response[http::field::via]);
  answer.is_write = route.is_write();
  answer.operation = route.name;
  answer.has_arguments = route.has_arguments();
  return answer;
}

// Whether an answer 2xx is a middleman's; `decoded` is what was read of it.
bool IsMiddlemans(int status, std::string_view body, const absl::StatusOr<AnyReply>& decoded) {
  const bool shows_envelope =
      decoded.ok() &&
      std::visit([](const auto& reply) { return ShowsEnvelope(reply.metadata); }, *decoded);
  return !shows_envelope && WhoseAnswer(status, body) == Author::kMiddleman;
}

// What an exchange brought: the answer's body, when its status is 2xx.
absl::StatusOr<std::string> BodyOf(const Route& route, Deadline deadline,
                                   HttpsConnection::Result result, HttpFailure* answer) {
  using Failure = HttpsConnection::Result::Failure;
  switch (result.failure) {
    case Failure::kNone:
      break;
    case Failure::kCancelled:
      return CancelledError(route.name);
    case Failure::kTooLate:
      return TooLateError(route.name);
    case Failure::kBodyTooLarge:
    case Failure::kNotHttp:
      return MakeError(
          absl::StatusCode::kInternal, reason::kUpstreamMalformed,
          absl::StrCat("the provider's answer to ", route.name, " can't be read: ", result.cause));
    case Failure::kTransport:
      if (result.timed_out && !route.is_write() && Clock::now() >= deadline) {
        return DeadlineError(route.name);
      }
      return FromTransport(route.name, result.cause,
                           result.tls_alert ? reason::kUpstreamTls : reason::kUpstreamUnreachable,
                           RequestState::kSent, route.is_write());
  }
  auto& response = result.response;
  *answer = HeaderOf(route, response);
  if (http::to_status_class(response.result_int()) == http::status_class::successful) {
    return std::move(response.body());
  }
  answer->body = std::move(response.body());
  return FromHttp(*answer, std::chrono::system_clock::now());
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

HttpRequest HttpsLeaseApi::MakeRequest(const Route& route, const TraceContext& span) const {
  HttpRequest request(http::string_to_verb(route.method), options_.base_path + route.path, 11);
  request.set(http::field::host, options_.host_header);
  request.set(http::field::authorization, options_.authorization());
  request.set(http::field::user_agent, options_.user_agent);
  request.set(http::field::accept, "application/json");
  request.set(http::field::accept_encoding, "identity");
  request.set("traceparent", span.Traceparent());
  if (!span.tracestate.empty()) request.set("tracestate", span.tracestate);
  if (!route.body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = route.body;
  }
  if (!route.body.empty() || route.method == "POST") request.prepare_payload();
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

asio::awaitable<absl::StatusOr<std::string>> HttpsLeaseApi::Exchange(CallContext context,
                                                                     Route route,
                                                                     HttpFailure* answer) {
  co_await asio::this_coro::throw_if_cancelled(false);
  using Failure = HttpsConnection::Result::Failure;
  const auto started = Clock::now();
  const Deadline send_before = route.is_write() ? context.send_before : Deadline::max();
  // No write waits for a connection that it can't use any more.
  const Deadline ready_by = std::min(context.deadline, send_before);
  auto lease = co_await pool_.Acquire(ready_by);
  if (!lease.ok()) {
    co_return Clock::now() < send_before ? lease.status() : TooLateError(route.name);
  }

  HttpsConnection::Result result;
  for (;;) {
    if (co_await Cancelled()) co_return CancelledError(route.name);
    if (Clock::now() >= context.deadline) co_return DeadlineError(route.name);
    ++context.stats->attempts;
    const bool pooled = (*lease)->connected();
    if (!pooled) {
      const absl::Status connected = co_await Connect(**lease, ready_by);
      if (!connected.ok() && Clock::now() >= send_before) co_return TooLateError(route.name);
      if (!connected.ok()) {
        spdlog::debug("upstream {} call={}: {}", route.name, context.call_id,
                      std::string(connected.message()));
        co_return connected;
      }
      // A connection that was cancelled just as it was ready has sent nothing yet.
      if (co_await Cancelled()) co_return CancelledError(route.name);
    }
    const TraceContext span = context.trace ? NewSpan(*context.trace) : NewTrace();
    auto exchange = (*lease)->Exchange(MakeRequest(route, span), context.deadline, route.is_write(),
                                       send_before);
    result = co_await std::move(exchange);
    const bool died_idle =
        pooled && result.failure == Failure::kTransport && !result.timed_out && !result.got_byte;
    if (!died_idle || route.is_write()) break;
    lease->Renew();
  }
  spdlog::debug(
      "upstream {} call={} status={} time_ms={} {}", route.name, context.call_id,
      result.failure == Failure::kNone ? result.response.result_int() : 0,
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started).count(),
      result.cause);

  if (result.reusable) lease->Recycle();
  co_return BodyOf(route, context.deadline, std::move(result), answer);
}

asio::awaitable<absl::StatusOr<AnyReply>> HttpsLeaseApi::Call(CallContext context,
                                                              Operation operation) {
  Route route = RouteOf(operation);
  const auto stats = context.stats;
  const std::string name = route.name;
  HttpFailure answer;
  auto exchanging = Exchange(std::move(context), std::move(route), &answer);
  const auto body = co_await std::move(exchanging);
  auto decoded = DecodeReply(operation, body);
  if (body.ok() && IsMiddlemans(answer.status, *body, decoded)) {
    answer.body = *body;
    co_return FromMiddleman(answer, std::chrono::system_clock::now());
  }
  if (!decoded.ok()) co_return decoded;
  std::visit(
      [&](auto& reply) {
        SetFetchTime(reply.metadata);
        if (body.ok()) stats->upstream_request_id = reply.metadata.upstream_request_id();
        options_.tolerated->Note(IdOf(operation), name, reply.tolerated, Clock::now());
      },
      *decoded);
  const absl::Status sound = CheckReply(operation, *decoded);
  if (!sound.ok()) co_return sound;
  co_return decoded;
}

}  // namespace leasegateway
