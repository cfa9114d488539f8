#include "upstream/leasing/operation_requests.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "upstream/leasing/journal/spending.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

OperationRequests::OperationRequests(std::shared_ptr<const LeasingParts> parts,
                                     std::shared_ptr<Flight> flight, const OperationRecord& record)
    : parts_(std::move(parts)), flight_(std::move(flight)), record_(record) {}

LeaseApiResult<v1::Number> OperationRequests::Look(std::string phone_number) {
  CallContext context = MakeContext();
  context.deadline = std::min(context.deadline, parts_->environment.now() + kLookTimeout);
  context.max_staleness = milliseconds(0);
  // While nobody knows what was bought, it does not wait for all callers to have had their turn.
  const auto state = record_.operation().state();
  if (state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN) {
    context.background = false;
  }
  auto getting =
      parts_->api->Perform(std::move(context), operation::GetNumber{std::move(phone_number)});
  co_return co_await std::move(getting);
}

asio::awaitable<Settled> OperationRequests::Send() {
  CallContext context = MakeContext();
  context.send_before = record_.send_before();
  const v1::Operation& record = record_.operation();
  Settled settled;
  settled.settlement = v1::OPERATION_SETTLEMENT_ANSWERED;
  if (record.kind() == v1::OPERATION_KIND_TERMINATE) {
    auto terminating =
        parts_->api->Perform(std::move(context), operation::TerminateLease{record.phone_number()});
    auto reply = co_await std::move(terminating);
    settled.status = reply.status();
    if (reply.ok()) {
      settled.termination = std::move(reply->value);
      settled.metadata = std::move(reply->metadata);
      if (settled.termination.lease_id() != record.lease_id()) {
        spdlog::error("operation {}: was to end {} of {}, the provider ended \"{}\"",
                      record.request_id(), record.lease_id(), record.phone_number(),
                      settled.termination.lease_id());
      }
    }
  } else {
    auto leasing = parts_->api->Perform(
        std::move(context), operation::CreateLease{record.phone_number(), record.billing_method()});
    auto reply = co_await std::move(leasing);
    settled.status = reply.status();
    if (reply.ok()) {
      settled.lease = std::move(reply->value);
      settled.metadata = std::move(reply->metadata);
    }
  }
  if (!settled.status.ok()) {
    const auto metadata = MetadataOf(settled.status);
    if (!metadata.contains("http_status")) settled.settlement = v1::OPERATION_SETTLEMENT_NOT_SENT;
  }
  co_return settled;
}

CallContext OperationRequests::MakeContext() const {
  const Flight::Identity& identity = flight_->identity();
  CallContext context;
  context.call_id = identity.call_id;
  context.request_id = identity.request_id;
  context.caller = identity.caller;
  context.share = identity.share;
  context.trace = identity.trace;
  context.stats = flight_->stats();
  const auto until = flight_->AwaitedUntil();
  context.background = !until.has_value();
  context.deadline = until.value_or(parts_->environment.now() + kLookTimeout);
  return context;
}

std::shared_ptr<const SpendingRules> OperationRequests::Spending() const {
  const Flight::Buyer buyer = flight_->buyer();
  const std::string& caller = record_.operation().caller();
  if (!buyer.spending || buyer.caller == caller) return buyer.spending;
  // It is another caller's purchase, and counts for that one.
  if (buyer.spending->of_another) return buyer.spending->of_another(caller);
  auto rules = std::make_shared<SpendingRules>();
  rules->account = buyer.spending->account;
  return rules;
}

milliseconds OperationRequests::Window() const {
  const auto left = flight_->deadline() - parts_->environment.now();
  return std::clamp(std::chrono::ceil<milliseconds>(left), milliseconds(1), kLongestWindow);
}

}  // namespace leasegateway
