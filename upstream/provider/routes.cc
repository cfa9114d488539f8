#include "upstream/provider/routes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "upstream/provider/json_codec.h"
#include "upstream/provider/request_bodies.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

template <typename T>
using Decoded = absl::StatusOr<Reply<T>>;

// The plus sign percent-encoded, as the provider's SDKs send it.
std::string InPath(const std::string& phone_number) {
  return absl::StrReplaceAll(phone_number, {{"+", "%2B"}});
}

// The two lists answer 404 when there is nothing to list. Only the provider's own 404 counts: a
// proxy's page must not look like an empty account.
template <typename List>
Decoded<List> EmptyIfNotFound(const absl::Status& status) {
  if (ReasonOf(status) != reason::kNumberNotFound) return status;
  const auto metadata = MetadataOf(status);
  Reply<List> empty;
  if (const auto id = metadata.find("upstream_error_id"); id != metadata.end()) {
    empty.metadata.set_upstream_request_id(id->second);
  }
  return empty;
}

template <typename List>
Decoded<List> DecodeConditional(const absl::StatusOr<Answer>& answer,
                                Decoded<List> (*decode)(const PaddedText&)) {
  if (!answer.ok()) return EmptyIfNotFound<List>(answer.status());
  Decoded<List> reply = Reply<List>();
  if (!answer->is_unchanged) reply = decode(answer->body);
  if (!reply.ok()) return reply;
  reply->validators = answer->validators;
  reply->is_unchanged = answer->is_unchanged;
  return reply;
}

// One function each for an operation's route and reply.

Route RouteTo(const operation::ListAvailableNumbers& list) {
  return {"GET", "GET /leases", "/leases", "", true, list.known};
}
Decoded<NumberList> Decode(const operation::ListAvailableNumbers&,
                           const absl::StatusOr<Answer>& answer) {
  return DecodeConditional<NumberList>(answer, DecodeAvailableNumbers);
}

Route RouteTo(const operation::GetNumber& get) {
  return {"GET", "GET /{number}", absl::StrCat("/", InPath(get.phone_number)), ""};
}
Decoded<v1::Number> Decode(const operation::GetNumber&, const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  return DecodeNumber(answer->body);
}

Route RouteTo(const operation::CreateLease& create) {
  return {"POST", "POST /lease/{number}", absl::StrCat("/lease/", InPath(create.phone_number)),
          EncodeCreateLease(create.method)};
}
Decoded<v1::Lease> Decode(const operation::CreateLease&, const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  return DecodeLease(answer->body);
}

Route RouteTo(const operation::ListLeases& list) {
  return {"GET", "GET /leased", "/leased", "", true, list.known};
}
Decoded<LeaseList> Decode(const operation::ListLeases&, const absl::StatusOr<Answer>& answer) {
  return DecodeConditional<LeaseList>(answer, DecodeLeases);
}

Route RouteTo(const operation::GetLease& get) {
  return RouteTo(operation::GetNumber{get.phone_number});
}
Decoded<v1::Lease> Decode(const operation::GetLease&, const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  auto number = DecodeNumber(answer->body);
  if (!number.ok()) return number.status();
  return TakeLease(*std::move(number));
}

Route RouteTo(const operation::TerminateLease& terminate) {
  return {"DELETE", "DELETE /leased/{number}",
          absl::StrCat("/leased/", InPath(terminate.phone_number)), ""};
}
Decoded<v1::Termination> Decode(const operation::TerminateLease&,
                                const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  return DecodeTermination(answer->body);
}

Route RouteTo(const operation::ConfigureFailover& configure) {
  return {"POST", "POST /{number}/configure",
          absl::StrCat("/", InPath(configure.phone_number), "/configure"),
          EncodeFailover(configure.failover)};
}
Decoded<v1::Failover> Decode(const operation::ConfigureFailover&,
                             const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  return DecodeFailover(answer->body);
}

// The paths of call forwarding are alike; `end` is what comes after that of the state.
Route ForwardingRoute(std::string_view method, const std::string& phone_number,
                      std::string_view end, std::string body) {
  const std::string tail = absl::StrCat("/call_forwarding", std::string(end));
  return {std::string(method), absl::StrCat(std::string(method), " /lease/{number}", tail),
          absl::StrCat("/lease/", InPath(phone_number), tail), std::move(body)};
}
Decoded<v1::CallForwarding> DecodeForwarding(const absl::StatusOr<Answer>& answer) {
  if (!answer.ok()) return answer.status();
  return DecodeCallForwarding(answer->body);
}

Route RouteTo(const operation::GetCallForwarding& get) {
  return ForwardingRoute("GET", get.phone_number, "", "");
}
Decoded<v1::CallForwarding> Decode(const operation::GetCallForwarding&,
                                   const absl::StatusOr<Answer>& answer) {
  return DecodeForwarding(answer);
}

Route RouteTo(const operation::EnableCallForwarding& enable) {
  return ForwardingRoute("POST", enable.phone_number, "/enable",
                         EncodeEnableCallForwarding(enable.forward_to));
}
Decoded<v1::CallForwarding> Decode(const operation::EnableCallForwarding&,
                                   const absl::StatusOr<Answer>& answer) {
  return DecodeForwarding(answer);
}

Route RouteTo(const operation::DisableCallForwarding& disable) {
  return ForwardingRoute("POST", disable.phone_number, "/disable", "");
}
Decoded<v1::CallForwarding> Decode(const operation::DisableCallForwarding&,
                                   const absl::StatusOr<Answer>& answer) {
  return DecodeForwarding(answer);
}

}  // namespace

Route RouteOf(const Operation& operation) {
  return std::visit([](const auto& known) { return RouteTo(known); }, operation);
}

absl::StatusOr<AnyReply> DecodeReply(const Operation& operation,
                                     const absl::StatusOr<Answer>& answer) {
  return std::visit(
      [&](const auto& known) -> absl::StatusOr<AnyReply> {
        auto reply = Decode(known, answer);
        if (!reply.ok()) return reply.status();
        return AnyReply(*std::move(reply));
      },
      operation);
}

absl::Status CheckReply(const Operation& operation, const AnyReply& reply) {
  const auto* create = std::get_if<operation::CreateLease>(&operation);
  if (create == nullptr) return absl::OkStatus();
  const std::string& leased = std::get<Reply<v1::Lease>>(reply).value.phone_number();
  if (leased.empty() || leased == create->phone_number) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                   absl::StrCat("the provider's answer to the lease of ", create->phone_number,
                                " is of ", leased));
}

}  // namespace leasegateway
