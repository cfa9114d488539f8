#include "upstream/leasing/operation_record.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
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

OperationRecord::OperationRecord(std::shared_ptr<OperationJournal> journal, v1::Operation operation)
    : journal_(std::move(journal)), operation_(std::move(operation)) {}

asio::awaitable<absl::StatusOr<bool>> OperationRecord::Begin(OperationJournal::Entry intent) {
  const std::string fingerprint = intent.fingerprint;
  intent.operation.set_state(v1::OPERATION_STATE_INTENDED);
  const std::string request_id = intent.operation.request_id();
  auto beginning = journal_->Begin(std::move(intent));
  auto begun = co_await std::move(beginning);
  if (!begun.ok()) co_return begun.status();
  if (begun->existed && begun->entry.fingerprint != fingerprint) {
    co_return RequestIdReusedError(request_id);
  }
  operation_ = std::move(begun->entry.operation);
  co_return begun->existed;
}

asio::awaitable<absl::Status> OperationRecord::MarkIntended() {
  v1::Operation intended = operation_;
  intended.set_state(v1::OPERATION_STATE_INTENDED);
  intended.clear_settlement();
  intended.clear_error();
  return Write(std::move(intended));
}

asio::awaitable<absl::Status> OperationRecord::MarkSent(const std::string& phone_number,
                                                        const v1::Number& number) {
  v1::Operation sent = operation_;
  sent.set_state(v1::OPERATION_STATE_SENT);
  sent.set_phone_number(phone_number);
  if (sent.kind() == v1::OPERATION_KIND_TERMINATE) {
    sent.set_lease_id(number.lease().lease_id());
    if (number.lease().billing().has_price()) {
      *sent.mutable_price() = number.lease().billing().price();
    }
  } else if (number.has_pricing()) {
    *sent.mutable_price() = number.pricing();
  }
  return Write(std::move(sent));
}

asio::awaitable<absl::Status> OperationRecord::MarkUnknown() {
  v1::Operation unknown = operation_;
  unknown.set_state(v1::OPERATION_STATE_UNKNOWN);
  return Write(std::move(unknown));
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

asio::awaitable<absl::Status> OperationRecord::Write(v1::Operation operation) {
  auto updating = journal_->Update(operation);
  absl::Status status = co_await std::move(updating);
  if (status.ok()) operation_ = std::move(operation);
  co_return status;
}

}  // namespace leasegateway
