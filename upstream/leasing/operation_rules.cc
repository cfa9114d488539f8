#include "upstream/leasing/operation_rules.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/sha.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "upstream/availability/number_filter.h"
#include "upstream/availability/order_by.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

template <typename Request>
std::string FingerprintOf(Request request) {
  request.clear_request_id();
  // Said or not, it is the account that it is written down for.
  request.clear_account();
  if constexpr (requires { request.clear_validate_only(); }) request.clear_validate_only();
  std::string text(request.GetTypeName());
  {
    google::protobuf::io::StringOutputStream stream(&text);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    static_cast<void>(request.SerializeToCodedStream(&coded));  // a string takes all
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

absl::Status Precondition(std::string_view reason, const std::string& subject,
                          const std::string& message) {
  auto status = MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
  AddPrecondition(status, reason, subject, message);
  return status;
}

std::string Show(const google::type::Money& amount) {
  std::string text = absl::StrFormat("%d.%09d", amount.units(), amount.nanos());
  while (text.ends_with("0") && text[text.size() - 3] != '.') text.pop_back();
  return absl::StrCat(text, " ", amount.currency_code());
}

bool IsSame(const google::type::Money& a, const google::type::Money& b) {
  return a.currency_code() == b.currency_code() && a.units() == b.units() && a.nanos() == b.nanos();
}

}  // namespace

v1::OperationKind KindOf(const Arguments& arguments) {
  constexpr v1::OperationKind kKinds[] = {v1::OPERATION_KIND_LEASE, v1::OPERATION_KIND_LEASE_ANY,
                                          v1::OPERATION_KIND_TERMINATE};
  return kKinds[arguments.index()];
}

std::string Fingerprint(v1::CreateLeaseRequest request) {
  return FingerprintOf(std::move(request));
}
std::string Fingerprint(v1::LeaseAnyNumberRequest request) {
  return FingerprintOf(std::move(request));
}
std::string Fingerprint(v1::TerminateLeaseRequest request) {
  return FingerprintOf(std::move(request));
}

Fate FateOf(const absl::Status& failure) {
  auto metadata = MetadataOf(failure);
  if (metadata["request_sent"] == "false") return Fate::kNotSent;
  const std::string why = ReasonOf(failure);
  // A write that is on the wire runs to its end, so these two ended before it.
  if (why == reason::kDeadline || why == reason::kCancelled) return Fate::kNotSent;
  return IsRefusal(failure) ? Fate::kRefused : Fate::kLost;
}

bool IsRefusal(const absl::Status& failure) {
  auto metadata = MetadataOf(failure);
  // Something in between may answer while the request goes on its way.
  return metadata["http_status"].starts_with('4') &&
         metadata[std::string(kFromProviderKey)] != "false" &&
         ReasonOf(failure) != reason::kUpstreamMalformed;
}

bool IsFinal(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  for (const std::string_view final_reason :
       {reason::kUpstreamRejected, reason::kNumberNotAvailable, reason::kNotLeased,
        reason::kNumberNotFound, reason::kAlreadyLeased, reason::kPriceChanged,
        reason::kLeaseChanged}) {
    if (why == final_reason) return true;
  }
  return false;
}

bool IsOfItsCaller(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  return why == reason::kDeadline || why == reason::kCancelled || why == reason::kStopping ||
         why == reason::kNotApplied || why == reason::kOverloaded ||
         why == reason::kJournalUnavailable;
}

bool IsGone(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  return why == reason::kNumberNotAvailable || why == reason::kAlreadyLeased ||
         why == reason::kNumberNotFound || why == reason::kUpstreamRejected ||
         why == reason::kNoMatchingNumber;
}

absl::Status CheckLeasable(const v1::Number& number) {
  const std::string& phone_number = number.phone_number();
  if (number.has_lease()) {
    auto status = MakeError(absl::StatusCode::kAlreadyExists, reason::kAlreadyLeased,
                            absl::StrCat("the account leased ", phone_number,
                                         " before this request, as ", number.lease().lease_id()),
                            {{"lease_id", number.lease().lease_id()}});
    v1::Lease lease = number.lease();
    lease.set_phone_number(phone_number);
    status.SetPayload(absl::StrCat("type.googleapis.com/", lease.GetTypeName()),
                      absl::Cord(lease.SerializeAsString()));
    return status;
  }
  if (number.status() != v1::NUMBER_STATUS_LEASED &&
      number.status() != v1::NUMBER_STATUS_UNAVAILABLE) {
    return absl::OkStatus();
  }
  return Precondition(reason::kNumberNotAvailable, phone_number,
                      absl::StrCat(phone_number, " can't be leased: its status is \"",
                                   number.provider_status(), "\""));
}

absl::Status OvertakenError(const std::string& phone_number) {
  return Precondition(reason::kNumberNotAvailable, phone_number,
                      absl::StrCat(phone_number,
                                   " can't be leased: another request of this "
                                   "account, which came first, has leased it"));
}

absl::Status CheckPrice(const v1::Pricing& expected, const v1::Number& number) {
  const auto check = [&](bool is_set, const google::type::Money& wanted, bool is_known,
                         const google::type::Money& asked, const char* field) {
    if (!is_set || (is_known && IsSame(wanted, asked))) return absl::OkStatus();
    return Precondition(
        reason::kPriceChanged, number.phone_number(),
        absl::StrCat("expected_price.", field, ": ", Show(wanted), ": ", number.phone_number(),
                     is_known ? absl::StrCat(" costs ", Show(asked)) : " has no such price",
                     " now"));
  };
  const v1::Pricing& now = number.pricing();
  absl::Status status = check(expected.has_monthly_rate(), expected.monthly_rate(),
                              now.has_monthly_rate(), now.monthly_rate(), "monthly_rate");
  if (!status.ok()) return status;
  return check(expected.has_upfront_fee(), expected.upfront_fee(), now.has_upfront_fee(),
               now.upfront_fee(), "upfront_fee");
}

absl::Status CheckLease(const v1::Number& number, const std::string& lease_id) {
  if (!number.has_lease()) {
    return Precondition(reason::kNotLeased, number.phone_number(),
                        absl::StrCat("the account does not lease ", number.phone_number()));
  }
  if (lease_id.empty() || number.lease().lease_id() == lease_id) return absl::OkStatus();
  return Precondition(
      reason::kLeaseChanged, number.phone_number(),
      absl::StrCat("lease_id: \"", lease_id, "\": the account's lease of ", number.phone_number(),
                   " is ", number.lease().lease_id(), " now"));
}

absl::Status CheckMatching(const v1::LeaseAnyNumberRequest& request, const v1::Number& number) {
  const absl::Status status = CheckLeasable(number);
  if (!status.ok() || NumberFilter(request.filter()).Matches(number)) return status;
  return MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                   absl::StrCat(number.phone_number(), " matches the filter no more"));
}

absl::Status CheckAllowed(const Arguments& arguments, const v1::Number& number, bool overtaken,
                          const std::string& lease_id) {
  if (const auto* create = std::get_if<v1::CreateLeaseRequest>(&arguments)) {
    absl::Status status = CheckLeasable(number);
    if (number.has_lease() && overtaken) return OvertakenError(number.phone_number());
    if (status.ok()) status = CheckPrice(create->expected_price(), number);
    return status;
  }
  if (const auto* any = std::get_if<v1::LeaseAnyNumberRequest>(&arguments)) {
    return CheckMatching(*any, number);
  }
  // Without a word of the caller's, the lease that it tried to end before: a newer one is not
  // meant.
  const std::string& asked = std::get<v1::TerminateLeaseRequest>(arguments).lease_id();
  return CheckLease(number, asked.empty() ? lease_id : asked);
}

absl::Status RequestIdReusedError(const std::string& request_id) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                   absl::StrCat("request_id: \"", request_id,
                                "\": names another request already: one with other arguments, or "
                                "of another caller"));
}

absl::Status OutcomeUnknownError(const std::string& request_id, const std::string& cause) {
  return MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                   absl::StrCat("whether it was done is not known yet (", cause,
                                "); the gateway goes on finding out: send the same request again, "
                                "or look with GetOperation"),
                   {{"operation", request_id}});
}

absl::Status OwnershipLostError(const std::string& request_id) {
  return MakeError(absl::StatusCode::kAborted, reason::kOwnershipLost,
                   absl::StrCat("another process goes on with operation ", request_id));
}

absl::Status StoppingError() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kStopping, "the gateway is stopping",
                   {{"request_sent", "false"}});
}

absl::Status NotAppliedError(const std::string& why) {
  auto status =
      MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied,
                absl::StrCat("it was not done: ", why, "; the same request can be sent again"));
  SetRetryDelay(status, std::chrono::milliseconds(100));
  return status;
}

absl::Status NotSentError(absl::Status status) {
  AddMetadata(status, "request_sent", "false");
  return status;
}

google::rpc::Status ToProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(std::string(status.message()));
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& payload) {
    auto& detail = *proto.add_details();
    detail.set_type_url(std::string(type_url));
    detail.set_value(std::string(payload));
  });
  return proto;
}

absl::Status FromProto(const google::rpc::Status& proto) {
  absl::Status status(static_cast<absl::StatusCode>(proto.code()), proto.message());
  for (const auto& detail : proto.details()) {
    status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return status;
}

}  // namespace leasegateway
