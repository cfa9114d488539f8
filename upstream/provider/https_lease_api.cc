#include "upstream/provider/https_lease_api.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "upstream/cancellation.h"
#include "upstream/provider/conditional.h"
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

// Of a call that got no connection: because none could be opened, not because it didn't wait.
bool IsConnectError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable;
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
bool IsMiddlemans(int status, const PaddedText& body, const absl::StatusOr<AnyReply>& decoded) {
  const bool shows_envelope =
      decoded.ok() &&
      std::visit([](const auto& reply) { return ShowsEnvelope(reply.metadata); }, *decoded);
  return !shows_envelope && WhoseAnswer(status, body) == Author::kMiddleman;
}

absl::Status MalformedError(std::string_view operation, std::string_view problem,
                            const ErrorMetadata& metadata = {}) {
  return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                   absl::StrCat("the provider's answer to ", std::string(operation),
                                " can't be read: ", std::string(problem)),
                   metadata);
}

// An exchange that brought no answer.
absl::Status FailureOf(const Route& route, Deadline deadline,
                       const HttpsConnection::Result& result) {
  using Failure = HttpsConnection::Result::Failure;
  if (result.failure == Failure::kCancelled) return CancelledError(route.name);
  if (result.failure == Failure::kTooLate) return TooLateError(route.name);
  if (result.failure == Failure::kUnreadable) return MalformedError(route.name, result.cause);
  if (result.timed_out && !route.is_write() && Clock::now() >= deadline) {
    return DeadlineError(route.name);
  }
  return FromTransport(route.name, result.cause,
                       result.tls_alert ? reason::kUpstreamTls : reason::kUpstreamUnreachable,
                       RequestState::kSent, route.is_write());
}

// What an exchange brought.
absl::StatusOr<Answer> AnswerOf(const Route& route, Deadline deadline,
                                HttpsConnection::Result result, HttpFailure* header) {
  if (result.failure != HttpsConnection::Result::Failure::kNone) {
    return FailureOf(route, deadline, result);
  }
  auto& response = result.response;
  *header = HeaderOf(route, response);
  Answer answer;
  if (response.result() == http::status::not_modified && !route.known.empty()) {
    if (!Confirms(response, route.known)) {
      return MalformedError(route.name, "304, but of the list that it speaks of nobody asked",
                            {{"http_status", "304"}});
    }
    answer.is_unchanged = true;
    return answer;
  }
  if (http::to_status_class(response.result_int()) == http::status_class::successful) {
    if (route.is_list) answer.validators = ValidatorsOf(response);
    answer.body = std::move(response.body().text);
    return answer;
  }
  header->body = std::move(response.body().text);
  header->has_unread_body = response.body().is_dropped;
  return FromHttp(*header, std::chrono::system_clock::now());
}

}  // namespace

HttpsLeaseApi::HttpsLeaseApi(const asio::any_io_executor& executor,
                             std::shared_ptr<asio::ssl::context> tls, const HttpsOptions& https,
                             Options options)
    : options_(std::move(options)),
      connector_(std::make_shared<HttpsConnector>(executor, std::move(tls), https)),
      pool_(ConnectionPool::Make(
          executor, [connector = connector_] { return HttpsConnector::Open(connector); }, https)) {}

HttpsLeaseApi::~HttpsLeaseApi() {
  pool_->Stop();
  connector_->Stop();
}

HttpRequest HttpsLeaseApi::MakeRequest(const Route& route, const TraceContext& span) const {
  HttpRequest request(http::string_to_verb(route.method), options_.base_path + route.path, 11);
  request.set(http::field::host, options_.host_header);
  request.set(http::field::authorization, options_.authorization());
  request.set(http::field::user_agent, options_.user_agent);
  request.set(http::field::accept, "application/json");
  request.set(http::field::accept_encoding, route.is_list ? "gzip" : "identity");
  // Whoever keeps answers on the road has to ask the provider (RFC 9111, 5.2.1.4): a number that
  // was available a minute ago would pass for a lease that was not made.
  if (!route.is_write()) request.set(http::field::cache_control, "no-cache");
  SetConditions(route.known, request);
  request.set("traceparent", span.Traceparent());
  if (!span.tracestate.empty()) request.set("tracestate", span.tracestate);
  if (!route.body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = route.body;
  }
  if (!route.body.empty() || route.method == "POST") request.prepare_payload();
  return request;
}

asio::awaitable<absl::StatusOr<Answer>> HttpsLeaseApi::Exchange(CallContext context, Route route,
                                                                HttpFailure* header) {
  co_await asio::this_coro::throw_if_cancelled(false);
  using Failure = HttpsConnection::Result::Failure;
  const auto started = Clock::now();
  const Deadline send_before = route.is_write() ? context.send_before : Deadline::max();
  // No write waits for a connection that it can't use any more.
  const Deadline ready_by = std::min(context.deadline, send_before);

  HttpsConnection::Result result;
  for (;;) {
    auto acquiring = pool_->Acquire(ready_by);
    auto lease = co_await std::move(acquiring);
    if (!lease.ok()) {
      if (IsConnectError(lease.status())) ++context.stats->attempts;
      spdlog::debug("upstream {} call={}: {}", route.name, context.call_id,
                    std::string(lease.status().message()));
      co_return Clock::now() < send_before ? lease.status() : TooLateError(route.name);
    }
    // One that ended just as the connection was ready has sent nothing, and the next may have it.
    const bool cancelled = co_await Cancelled();
    if (cancelled || Clock::now() >= context.deadline) {
      lease->Recycle();
      co_return cancelled ? CancelledError(route.name) : DeadlineError(route.name);
    }
    ++context.stats->attempts;
    const TraceContext span = context.trace ? NewSpan(*context.trace) : NewTrace();
    auto exchange = (*lease)->Exchange(MakeRequest(route, span), context.deadline, route.is_write(),
                                       send_before);
    result = co_await std::move(exchange);
    if (result.reusable) lease->Recycle();
    const bool died_idle = !lease->fresh() && result.failure == Failure::kTransport &&
                           !result.timed_out && !result.got_byte;
    if (died_idle) lease->Distrust();
    if (!died_idle || route.is_write()) break;
  }
  spdlog::debug(
      "upstream {} call={} status={} time_ms={} {}", route.name, context.call_id,
      result.failure == Failure::kNone ? result.response.result_int() : 0,
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started).count(),
      result.cause);
  co_return AnswerOf(route, context.deadline, std::move(result), header);
}

asio::awaitable<absl::StatusOr<AnyReply>> HttpsLeaseApi::Call(CallContext context,
                                                              Operation operation) {
  Route route = RouteOf(operation);
  const auto stats = context.stats;
  const std::string name = route.name;
  HttpFailure header;
  auto exchanging = Exchange(std::move(context), std::move(route), &header);
  auto answer = co_await std::move(exchanging);
  auto decoded = DecodeReply(operation, answer);
  if (answer.ok() && !answer->is_unchanged && IsMiddlemans(header.status, answer->body, decoded)) {
    header.body = std::move(answer->body);
    co_return FromMiddleman(header, std::chrono::system_clock::now());
  }
  // RFC 9110, 15.3.7: no answer to a request without a Range.
  if (answer.ok() && header.status == static_cast<int>(http::status::partial_content)) {
    co_return MalformedError(name, "206, a part of it, though all was asked for",
                             {{"http_status", "206"}});
  }
  if (!decoded.ok()) co_return decoded;
  std::visit(
      [&](auto& reply) {
        SetFetchTime(reply.metadata);
        if (answer.ok()) stats->upstream_request_id = reply.metadata.upstream_request_id();
        options_.tolerated->Note(IdOf(operation), name, reply.tolerated, Clock::now());
      },
      *decoded);
  const absl::Status sound = CheckReply(operation, *decoded);
  if (!sound.ok()) co_return sound;
  co_return decoded;
}

}  // namespace leasegateway
