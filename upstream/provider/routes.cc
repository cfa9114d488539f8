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

// One function each for an operation's route and reply.

Route RouteTo(const operation::ListAvailableNumbers&) {
  return {"GET", "GET /leases", "/leases", ""};
}
Decoded<NumberList> Decode(const operation::ListAvailableNumbers&,
                           const absl::StatusOr<std::string>& body) {
  return body.ok() ? DecodeAvailableNumbers(*body) : EmptyIfNotFound<NumberList>(body.status());
}

Route RouteTo(const operation::GetNumber& get) {
  return {"GET", "GET /{number}", absl::StrCat("/", InPath(get.phone_number)), ""};
}
Decoded<v1::Number> Decode(const operation::GetNumber&, const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  return DecodeNumber(*body);
}

Route RouteTo(const operation::CreateLease& create) {
  return {"POST", "POST /lease/{number}", absl::StrCat("/lease/", InPath(create.phone_number)),
          EncodeCreateLease(create.method)};
}
Decoded<v1::Lease> Decode(const operation::CreateLease&, const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  return DecodeLease(*body);
}

Route RouteTo(const operation::ListLeases&) { return {"GET", "GET /leased", "/leased", ""}; }
Decoded<LeaseList> Decode(const operation::ListLeases&, const absl::StatusOr<std::string>& body) {
  return body.ok() ? DecodeLeases(*body) : EmptyIfNotFound<LeaseList>(body.status());
}

Route RouteTo(const operation::GetLease& get) {
  return RouteTo(operation::GetNumber{get.phone_number});
}
Decoded<v1::Lease> Decode(const operation::GetLease&, const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  auto number = DecodeNumber(*body);
  if (!number.ok()) return number.status();
  return TakeLease(*std::move(number));
}

Route RouteTo(const operation::TerminateLease& terminate) {
  return {"DELETE", "DELETE /leased/{number}",
          absl::StrCat("/leased/", InPath(terminate.phone_number)), ""};
}
Decoded<v1::Termination> Decode(const operation::TerminateLease&,
                                const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  return DecodeTermination(*body);
}

Route RouteTo(const operation::ConfigureFailover& configure) {
  return {"POST", "POST /{number}/configure",
          absl::StrCat("/", InPath(configure.phone_number), "/configure"),
          EncodeFailover(configure.failover)};
}
Decoded<v1::Failover> Decode(const operation::ConfigureFailover&,
                             const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  return DecodeFailover(*body);
}

// The paths of call forwarding are alike; `end` is what comes after that of the state.
Route ForwardingRoute(std::string_view method, const std::string& phone_number,
                      std::string_view end, std::string body) {
  const std::string tail = absl::StrCat("/call_forwarding", std::string(end));
  return {std::string(method), absl::StrCat(std::string(method), " /lease/{number}", tail),
          absl::StrCat("/lease/", InPath(phone_number), tail), std::move(body)};
}
Decoded<v1::CallForwarding> DecodeForwarding(const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  return DecodeCallForwarding(*body);
}

Route RouteTo(const operation::GetCallForwarding& get) {
  return ForwardingRoute("GET", get.phone_number, "", "");
}
Decoded<v1::CallForwarding> Decode(const operation::GetCallForwarding&,
                                   const absl::StatusOr<std::string>& body) {
  return DecodeForwarding(body);
}

Route RouteTo(const operation::EnableCallForwarding& enable) {
  return ForwardingRoute("POST", enable.phone_number, "/enable",
                         EncodeEnableCallForwarding(enable.forward_to));
}
Decoded<v1::CallForwarding> Decode(const operation::EnableCallForwarding&,
                                   const absl::StatusOr<std::string>& body) {
  return DecodeForwarding(body);
}

Route RouteTo(const operation::DisableCallForwarding& disable) {
  return ForwardingRoute("POST", disable.phone_number, "/disable", "");
}
Decoded<v1::CallForwarding> Decode(const operation::DisableCallForwarding&,
                                   const absl::StatusOr<std::string>& body) {
  return DecodeForwarding(body);
}

}  // namespace

Route RouteOf(const Operation& operation) {
  return std::visit([](const auto& known) { return RouteTo(known); }, operation);
}

absl::StatusOr<AnyReply> DecodeReply(const Operation& operation,
                                     const absl::StatusOr<std::string>& body) {
  return std::visit(
      [&](const auto& known) -> absl::StatusOr<AnyReply> {
        auto reply = Decode(known, body);
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
