#include "upstream/availability/caching_lease_api.h"

#include <utility>

#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

std::optional<BytesAnswer> ToBytes(std::optional<Found> found) {
  if (!found) return std::nullopt;
  return BytesAnswer{std::move(found->reply), found->outcome};
}

absl::StatusOr<BytesAnswer> ToBytes(absl::StatusOr<Found> found) {
  if (!found.ok()) return found.status();
  if (!found->status.ok()) return found->status;
  return BytesAnswer{std::move(found->reply), found->outcome};
}

AvailabilityAnswer ToAvailability(Found found) {
  return {std::move(found.numbers), found.version, found.outcome};
}

}  // namespace

CachingLeaseApi::CachingLeaseApi(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                                 CacheEnvironment environment, std::shared_ptr<SharedLists> shared)
    : account_(std::make_shared<CachedAccount>(std::move(inner), policy, std::move(environment),
                                               std::move(shared))) {
  account_->Start();
}

CachingLeaseApi::~CachingLeaseApi() { account_->Stop(); }

void CachingLeaseApi::SetListener(std::function<void()> listener) {
  account_->SetListener(std::move(listener));
}

std::optional<AvailabilityAnswer> CachingLeaseApi::PeekAvailability(MaxStaleness max_staleness) {
  auto found = account_->PeekAvailable(max_staleness);
  if (!found) return std::nullopt;
  return ToAvailability(*std::move(found));
}

std::optional<BytesAnswer> CachingLeaseApi::PeekLeases(MaxStaleness max_staleness) {
  return ToBytes(account_->PeekLeases(max_staleness));
}

std::optional<BytesAnswer> CachingLeaseApi::PeekNumber(std::string_view phone_number,
                                                       MaxStaleness max_staleness) {
  auto found = account_->PeekNumber(phone_number, max_staleness);
  if (found && !found->status.ok()) return std::nullopt;  // FindNumber has the error
  return ToBytes(std::move(found));
}

asio::awaitable<absl::StatusOr<AvailabilityAnswer>> CachingLeaseApi::FindAvailability(
    CallContext context) {
  auto found = co_await account_->FindAvailable(std::move(context));
  if (!found.ok()) co_return found.status();
  co_return ToAvailability(*std::move(found));
}

asio::awaitable<absl::StatusOr<BytesAnswer>> CachingLeaseApi::FindLeases(CallContext context) {
  co_return ToBytes(co_await account_->FindLeases(std::move(context)));
}

asio::awaitable<absl::StatusOr<BytesAnswer>> CachingLeaseApi::FindNumber(CallContext context,
                                                                         std::string phone_number) {
  auto finding = account_->FindNumber(std::move(context), std::move(phone_number));
  co_return ToBytes(co_await std::move(finding));
}

std::optional<std::vector<AvailabilityChange>> CachingLeaseApi::ChangesSince(
    std::uint64_t version) {
  return account_->ChangesSince(version);
}

CachingLeaseApi::Stats CachingLeaseApi::stats() const { return account_->stats(); }

void CachingLeaseApi::FoundLeased(const v1::Lease& lease) {
  Write write;
  write.effect = Write::Effect::kLeased;
  write.phone_number = lease.phone_number();
  write.lease = lease;
  account_->Written(std::move(write));
}

void CachingLeaseApi::FoundTaken(const std::string& phone_number) {
  Write write;
  write.effect = Write::Effect::kGone;
  write.phone_number = phone_number;
  account_->Written(std::move(write));
}

void CachingLeaseApi::FoundEnded(const std::string& phone_number, const std::string& lease_id) {
  Write write;
  write.effect = Write::Effect::kEnded;
  write.phone_number = phone_number;
  write.lease.set_lease_id(lease_id);
  account_->Written(std::move(write));
}

asio::awaitable<absl::StatusOr<AnyReply>> CachingLeaseApi::Call(CallContext context,
                                                                Operation operation) {
  switch (IdOf(operation)) {
    case UpstreamOperation::kListAvailableNumbers:
      co_return co_await ReadAvailable(std::move(context));
    case UpstreamOperation::kListLeases:
      co_return co_await ReadLeases(std::move(context));
    case UpstreamOperation::kGetNumber:
      co_return co_await ReadNumber(std::move(context), PhoneNumberOf(operation));
    case UpstreamOperation::kGetLease: {
      auto number = co_await ReadNumber(std::move(context), PhoneNumberOf(operation));
      if (!number.ok()) co_return number.status();
      auto lease = TakeLease(std::get<Reply<v1::Number>>(*std::move(number)));
      if (!lease.ok()) co_return lease.status();
      co_return AnyReply(*std::move(lease));
    }
    default:
      break;
  }
  context.stats->cache.emplace();
  auto calling = account_->inner().Call(std::move(context), operation);
  auto reply = co_await std::move(calling);
  if (auto write = WriteOf(operation, reply)) account_->Written(*std::move(write));
  co_return reply;
}

asio::awaitable<absl::StatusOr<AnyReply>> CachingLeaseApi::ReadAvailable(CallContext context) {
  auto found = co_await FindAvailability(std::move(context));
  if (!found.ok()) co_return found.status();
  auto list = ParseReply<v1::ListAvailableNumbersResponse>(found->numbers->list_reply());
  Reply<NumberList> reply;
  reply.value.Swap(list.mutable_numbers());
  reply.metadata.Swap(list.mutable_metadata());
  co_return AnyReply(std::move(reply));
}

asio::awaitable<absl::StatusOr<AnyReply>> CachingLeaseApi::ReadNumber(CallContext context,
                                                                      std::string phone_number) {
  auto found = co_await FindNumber(std::move(context), std::move(phone_number));
  if (!found.ok()) co_return found.status();
  auto response = ParseReply<v1::GetNumberResponse>(found->reply);
  Reply<v1::Number> reply;
  reply.value.Swap(response.mutable_number());
  reply.metadata.Swap(response.mutable_metadata());
  co_return AnyReply(std::move(reply));
}

asio::awaitable<absl::StatusOr<AnyReply>> CachingLeaseApi::ReadLeases(CallContext context) {
  auto found = co_await FindLeases(std::move(context));
  if (!found.ok()) co_return found.status();
  auto list = ParseReply<v1::ListLeasesResponse>(found->reply);
  Reply<LeaseList> reply;
  reply.value.Swap(list.mutable_leases());
  reply.metadata.Swap(list.mutable_metadata());
  co_return AnyReply(std::move(reply));
}

}  // namespace leasegateway
