#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "absl/status/status.h"
#include "upstream/provider/error_body.h"
#include "upstream/provider/json_codec.h"
#include "upstream/provider/whose_answer.h"
#include "upstream/upstream_error.h"

namespace {

// A reply is read, or it is malformed; there is no third.
void Check(const absl::Status& status) {
  if (status.ok()) return;
  if (status.code() != absl::StatusCode::kInternal) std::abort();
  if (leasegateway::ReasonOf(status) != leasegateway::reason::kUpstreamMalformed) std::abort();
}

// As above; and what a reply was taken in spite of is explained, and a list is never all of it.
template <typename List>
void CheckList(const absl::StatusOr<leasegateway::Reply<List>>& reply) {
  Check(reply.status());
  if (!reply.ok()) return;
  const leasegateway::Tolerated& tolerated = reply->tolerated;
  for (std::size_t kind = 0; kind < tolerated.counts.size(); ++kind) {
    if ((tolerated.counts[kind] > 0) == tolerated.first[kind].empty()) std::abort();
  }
  if (tolerated.of(leasegateway::Tolerated::Kind::kItem) > 0 && reply->value.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CheckList(leasegateway::DecodeAvailableNumbers(body));
  CheckList(leasegateway::DecodeLeases(body));
  Check(leasegateway::DecodeNumber(body).status());
  Check(leasegateway::DecodeLease(body).status());
  Check(leasegateway::DecodeTermination(body).status());
  Check(leasegateway::DecodeFailover(body).status());
  Check(leasegateway::DecodeCallForwarding(body).status());
  const leasegateway::UpstreamErrorBody error = leasegateway::DecodeError(body);
  for (const int status : {200, 400}) leasegateway::WhoseAnswer(status, body);
  if (error.message.size() > 512 || error.agreement_url.size() > 2048) std::abort();
  return 0;
}
