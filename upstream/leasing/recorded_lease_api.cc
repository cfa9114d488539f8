#include "upstream/leasing/recorded_lease_api.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "upstream/availability/order_by.h"
#include "upstream/leasing/operation_life.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

// The lease that would be made.
void Describe(const v1::Number& number, v1::BillingMethod method, v1::Lease* lease) {
  lease->set_phone_number(number.phone_number());
  *lease->mutable_number() = number;
  lease->mutable_billing()->set_method(
      method == v1::BILLING_METHOD_UNSPECIFIED ? v1::BILLING_METHOD_MONTHLY : method);
  if (number.has_pricing()) *lease->mutable_billing()->mutable_price() = number.pricing();
}

// Fills the reply to a purchase.
template <typename Response>
absl::StatusOr<Response> Leased(absl::StatusOr<Outcome> outcome, Response response) {
  if (!outcome.ok()) return outcome.status();
  response.mutable_lease()->Swap(outcome->operation.mutable_lease());
  response.mutable_metadata()->Swap(&outcome->metadata);
  return response;
}

// Whether a purchase of the number keeps the caller's limits as they are now.
asio::awaitable<absl::Status> MayBuy(std::shared_ptr<const LeasingParts> parts, CallContext context,
                                     v1::Number number, v1::BillingMethod method) {
  return CheckSpending(parts->journal, context.spending, {parts->options.account, context.caller},
                       PriceOf(number.pricing(), method));
}

asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> AvailabilityOf(
    std::shared_ptr<CachingLeaseApi> api, CallContext context) {
  auto finding = api->FindAvailability(std::move(context));
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  co_return std::move(found->numbers);
}

}  // namespace

RecordedLeaseApi::RecordedLeaseApi(std::shared_ptr<LeaseApi> api, Memory memory,
                                   std::shared_ptr<OperationJournal> journal, Options options,
                                   asio::any_io_executor executor, CallEnvironment environment)
    : parts_(std::make_shared<const LeasingParts>(
          LeasingParts{std::move(api), std::move(memory), std::move(journal), std::move(options),
                       std::move(environment)})),
      locks_(std::make_shared<NumberLocks>(parts_->environment)),
      flights_(std::make_shared<FlightTable>(
          executor, parts_->environment,
          FlightTable::Limits{parts_->options.max_open, parts_->options.margin},
          [parts = parts_, locks = locks_](std::shared_ptr<Flight> flight) {
            return OperationLife::Run(
                std::make_shared<OperationLife>(parts, locks, std::move(flight)));
          })),
      adoption_(std::make_shared<Adoption>(parts_, locks_, flights_, executor)),
      reader_(std::make_shared<const OperationReader>(parts_->journal, parts_->options.account)) {}

RecordedLeaseApi::Memory RecordedLeaseApi::MemoryOf(std::shared_ptr<CachingLeaseApi> api) {
  Memory memory;
  memory.availability = [api](CallContext context) {
    return AvailabilityOf(api, std::move(context));
  };
  memory.leased = [api](const v1::Lease& lease) { api->FoundLeased(lease); };
  memory.taken = [api](const std::string& phone_number) { api->FoundTaken(phone_number); };
  memory.ended = [api](const std::string& phone_number, const std::string& lease_id) {
    api->FoundEnded(phone_number, lease_id);
  };
  return memory;
}

RecordedLeaseApi::~RecordedLeaseApi() {
  adoption_->Stop();
  flights_->Stop();
}

asio::awaitable<absl::Status> RecordedLeaseApi::Recover() {
  const auto adoption = adoption_;
  auto adopting = adoption->AdoptAll();
  const absl::Status status = co_await std::move(adopting);
  // A journal that other processes have as well may be away for a while.
  if (!status.ok() && parts_->options.adopt_interval.count() == 0) co_return status;
  if (const std::size_t count = flights_->size(); count > 0)
    spdlog::info("{} operations are open", count);
  adoption->Start();
  co_return absl::OkStatus();
}

template <typename Request>
asio::awaitable<absl::StatusOr<Outcome>> RecordedLeaseApi::Execute(CallContext context,
                                                                   Request request) {
  const auto flights = flights_;
  std::string fingerprint = Fingerprint(request);
  auto executing =
      flights->Execute(std::move(context), std::move(fingerprint), Arguments(std::move(request)));
  auto outcome = co_await std::move(executing);
  if (outcome.ok() && !outcome->status.ok()) co_return outcome->status;
  co_return outcome;
}

asio::awaitable<absl::StatusOr<v1::CreateLeaseResponse>> RecordedLeaseApi::CreateLease(
    CallContext context, v1::CreateLeaseRequest request) {
  if (request.validate_only()) {
    auto trying = TryCreateLease(std::move(context), std::move(request));
    co_return co_await std::move(trying);
  }
  v1::CreateLeaseResponse response;
  response.set_request_id(context.request_id);
  auto executing = Execute(std::move(context), std::move(request));
  co_return Leased(co_await std::move(executing), std::move(response));
}

asio::awaitable<absl::StatusOr<v1::CreateLeaseResponse>> RecordedLeaseApi::TryCreateLease(
    CallContext context, v1::CreateLeaseRequest request) {
  const auto parts = parts_;
  const auto reader = reader_;
  v1::CreateLeaseResponse response;
  response.set_request_id(context.request_id);
  auto checking = reader->CheckUnused(context, Fingerprint(request));
  const absl::Status unused = co_await std::move(checking);
  if (!unused.ok()) co_return unused;
  context.max_staleness = milliseconds(0);
  auto looking = parts->api->Perform(context, operation::GetNumber{request.phone_number()});
  const auto look = co_await std::move(looking);
  if (!look.ok()) co_return look.status();
  absl::Status status = CheckLeasable(look->value);
  if (status.ok()) status = CheckPrice(request.expected_price(), look->value);
  if (!status.ok()) co_return status;
  auto allowing = MayBuy(parts, context, look->value, request.billing_method());
  const absl::Status allowed = co_await std::move(allowing);
  if (!allowed.ok()) co_return allowed;
  Describe(look->value, request.billing_method(), response.mutable_lease());
  *response.mutable_metadata() = look->metadata;
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::LeaseAnyNumberResponse>> RecordedLeaseApi::LeaseAnyNumber(
    CallContext context, v1::LeaseAnyNumberRequest request) {
  if (request.validate_only()) {
    auto trying = TryLeaseAnyNumber(std::move(context), std::move(request));
    co_return co_await std::move(trying);
  }
  v1::LeaseAnyNumberResponse response;
  response.set_request_id(context.request_id);
  auto executing = Execute(std::move(context), std::move(request));
  co_return Leased(co_await std::move(executing), std::move(response));
}

asio::awaitable<absl::StatusOr<v1::LeaseAnyNumberResponse>> RecordedLeaseApi::TryLeaseAnyNumber(
    CallContext context, v1::LeaseAnyNumberRequest request) {
  const auto parts = parts_;
  const auto reader = reader_;
  v1::LeaseAnyNumberResponse response;
  response.set_request_id(context.request_id);
  auto checking = reader->CheckUnused(context, Fingerprint(request));
  const absl::Status unused = co_await std::move(checking);
  if (!unused.ok()) co_return unused;
  const auto order = ParseOrderBy(request.order_by());
  if (!order.ok()) co_return order.status();
  auto finding = parts->memory.availability(context);
  const auto numbers = co_await std::move(finding);
  if (!numbers.ok()) co_return numbers.status();
  const auto page = (*numbers)->Search(request.filter(), *order, 0,
                                       static_cast<std::size_t>(parts->options.max_candidates));
  context.max_staleness = milliseconds(0);
  absl::Status last = MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                                "no number that can be leased matches the filter");
  for (const std::uint32_t row : page.rows) {
    auto looking = parts->api->Perform(
        context, operation::GetNumber{(*numbers)->NumberAt(row).phone_number()});
    const auto look = co_await std::move(looking);
    absl::Status status = look.status();
    if (look.ok()) status = CheckMatching(request, look->value);
    if (!status.ok() && IsGone(status)) continue;
    if (!status.ok()) co_return status;
    auto allowing = MayBuy(parts, context, look->value, request.billing_method());
    const absl::Status allowed = co_await std::move(allowing);
    if (IsForItsPrice(allowed)) {
      last = allowed;
      continue;
    }
    if (!allowed.ok()) co_return allowed;
    Describe(look->value, request.billing_method(), response.mutable_lease());
    *response.mutable_metadata() = look->metadata;
    co_return response;
  }
  co_return last;
}

asio::awaitable<absl::StatusOr<v1::TerminateLeaseResponse>> RecordedLeaseApi::TerminateLease(
    CallContext context, v1::TerminateLeaseRequest request) {
  v1::TerminateLeaseResponse response;
  response.set_request_id(context.request_id);
  auto executing = Execute(std::move(context), std::move(request));
  auto outcome = co_await std::move(executing);
  if (!outcome.ok()) co_return outcome.status();
  response.mutable_termination()->Swap(outcome->operation.mutable_termination());
  response.mutable_metadata()->Swap(&outcome->metadata);
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::Operation>> RecordedLeaseApi::GetOperation(
    CallContext context, std::string request_id) {
  const auto reader = reader_;
  auto getting = reader->Get(std::move(context), std::move(request_id));
  co_return co_await std::move(getting);
}

asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> RecordedLeaseApi::ListOperations(
    CallContext context, v1::ListOperationsRequest request) {
  const auto reader = reader_;
  auto listing = reader->List(std::move(context), std::move(request));
  co_return co_await std::move(listing);
}

asio::awaitable<absl::StatusOr<SpendingCounts>> RecordedLeaseApi::Spent(std::string caller) {
  const auto parts = parts_;
  auto asking = parts->journal->Spent({parts->options.account, std::move(caller)});
  co_return co_await std::move(asking);
}

RecordedLeaseApi::Stats RecordedLeaseApi::stats() const {
  Stats stats;
  stats.open = flights_->size();
  stats.oldest = flights_->oldest();
  stats.adopted = parts_->counts->adopted;
  stats.ownership_lost = parts_->counts->lost;
  stats.joined = parts_->counts->joined;
  stats.refused_by_spending = parts_->spending->refused;
  stats.overruns = parts_->spending->overruns;
  return stats;
}

}  // namespace leasegateway
