#include "upstream/leasing/operation_record.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using TimePoint = CallEnvironment::TimePoint;

namespace {

google::protobuf::Timestamp After(TimePoint::duration time) {
  const auto then = (std::chrono::system_clock::now() + time).time_since_epoch();
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(then).count());
}

}  // namespace

Settled NotSent(absl::Status status) {
  Settled settled;
  settled.status = std::move(status);
  return settled;
}

Settled Stopped() {
  Settled settled;
  settled.stopped = true;
  return settled;
}

OperationRecord::OperationRecord(std::shared_ptr<OperationJournal> journal)
    : journal_(std::move(journal)) {}

OperationRecord::OperationRecord(std::shared_ptr<OperationJournal> journal,
                                 const OperationJournal::Record& found)
    : journal_(std::move(journal)) {
  Take(found);
}

void OperationRecord::Take(const OperationJournal::Record& found) {
  operation_ = found.entry.operation;
  owner_ = found.owner;
  revision_ = found.revision;
  send_before_ = TimePoint::min();
  quiet_at_ = found.quiet_at;
  if (owner_ == OperationJournal::Owner::kUs) lost_ = false;
}

asio::awaitable<absl::StatusOr<OperationRecord::Begun>> OperationRecord::Begin(
    OperationJournal::Entry intent, bool claim, bool of_any) {
  const std::string fingerprint = intent.fingerprint;
  const std::string caller = intent.operation.caller();
  intent.operation.set_state(v1::OPERATION_STATE_INTENDED);
  const std::string request_id = intent.operation.request_id();
  auto beginning = journal_->Begin(std::move(intent), claim);
  const auto begun = co_await std::move(beginning);
  if (!begun.ok()) co_return begun.status();
  if (begun->existed) {
    const OperationJournal::Entry& found = begun->record.entry;
    if (found.fingerprint != fingerprint || !(of_any || found.operation.caller() == caller)) {
      co_return RequestIdReusedError(request_id);
    }
  }
  Take(begun->record);
  co_return Begun{begun->existed, begun->claimed};
}

asio::awaitable<absl::Status> OperationRecord::Read() {
  auto finding = journal_->Find(operation_.account(), operation_.request_id());
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (!*found) co_return OwnershipLostError(operation_.request_id());
  Take(**found);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> OperationRecord::TakeOver() {
  auto taking = journal_->TakeOver(operation_.account(), operation_.request_id(), revision_);
  const auto taken = co_await std::move(taking);
  if (!taken.ok()) co_return taken.status();
  Take(*taken);
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<OperationJournal::Claimed>> OperationRecord::Claim(
    std::string phone_number) {
  auto claiming = journal_->Claim(operation_.account(), operation_.request_id(), revision_,
                                  std::move(phone_number));
  auto claimed = co_await std::move(claiming);
  if (ReasonOf(claimed.status()) == reason::kOwnershipLost) lost_ = true;
  co_return claimed;
}

asio::awaitable<absl::Status> OperationRecord::MarkIntended() {
  OperationJournal::Change change;
  change.operation = operation_;
  change.operation.set_state(v1::OPERATION_STATE_INTENDED);
  change.operation.clear_settlement();
  change.operation.clear_error();
  change.release = true;
  return Write(std::move(change));
}

asio::awaitable<absl::Status> OperationRecord::MarkSent(
    const std::string& phone_number, const v1::Number& number, milliseconds window,
    std::shared_ptr<const SpendingRules> spending) {
  OperationJournal::Change change;
  change.may_send_for = window;
  change.spending = std::move(spending);
  v1::Operation& sent = change.operation;
  sent = operation_;
  sent.set_state(v1::OPERATION_STATE_SENT);
  sent.set_phone_number(phone_number);
  if (sent.kind() == v1::OPERATION_KIND_TERMINATE) {
    sent.set_lease_id(number.lease().lease_id());
    if (number.lease().billing().has_price()) {
      *sent.mutable_price() = number.lease().billing().price();
    }
  } else if (number.has_pricing()) {
    *sent.mutable_price() = number.pricing();
  } else {
    sent.clear_price();  // of another number
  }
  return Write(std::move(change));
}

asio::awaitable<absl::Status> OperationRecord::Grant(
    milliseconds window, std::shared_ptr<const SpendingRules> spending) {
  OperationJournal::Change change;
  change.spending = std::move(spending);
  change.operation = operation_;
  change.may_send_for = window;
  return Write(std::move(change));
}

asio::awaitable<absl::Status> OperationRecord::MarkUnknown() {
  OperationJournal::Change change;
  change.operation = operation_;
  change.operation.set_state(v1::OPERATION_STATE_UNKNOWN);
  return Write(std::move(change));
}

v1::Operation OperationRecord::Concluded(const Settled& settled, TimePoint now) const {
  v1::Operation done = operation_;
  done.set_settlement(settled.settlement);
  done.set_upstream_request_id(settled.metadata.upstream_request_id());
  if (settled.status.ok()) {
    done.set_state(v1::OPERATION_STATE_SUCCEEDED);
    done.clear_error();
    if (done.kind() == v1::OPERATION_KIND_TERMINATE) {
      *done.mutable_termination() = settled.termination;
    } else {
      done.set_lease_id(settled.lease.lease_id());
      if (settled.lease.billing().has_price()) {
        *done.mutable_price() = settled.lease.billing().price();
      }
      *done.mutable_lease() = settled.lease;
    }
    if (now < settled.quiet_until) *done.mutable_settle_time() = After(settled.quiet_until - now);
    return done;
  }
  done.set_state(v1::OPERATION_STATE_FAILED);
  *done.mutable_error() = ToProto(settled.status);
  if (done.upstream_request_id().empty()) {
    const auto metadata = MetadataOf(settled.status);
    const auto id = metadata.find("upstream_error_id");
    if (id != metadata.end()) done.set_upstream_request_id(id->second);
  }
  return done;
}

asio::awaitable<absl::Status> OperationRecord::Conclude(v1::Operation done, milliseconds quiet) {
  OperationJournal::Change change;
  change.operation = std::move(done);
  change.release = true;
  change.release_after = quiet;
  return Write(std::move(change));
}

asio::awaitable<absl::Status> OperationRecord::Write(OperationJournal::Change change) {
  change.revision = revision_;
  const bool grants = change.may_send_for.count() > 0;
  v1::Operation written = change.operation;
  auto updating = journal_->Update(std::move(change));
  const auto updated = co_await std::move(updating);
  if (!updated.ok()) {
    if (ReasonOf(updated.status()) == reason::kOwnershipLost) lost_ = true;
    co_return updated.status();
  }
  operation_ = std::move(written);
  revision_ = updated->revision;
  if (grants) send_before_ = updated->send_before;
  co_return absl::OkStatus();
}

}  // namespace leasegateway
