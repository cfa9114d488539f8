#include "upstream/leasing/operation_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

OperationReader::OperationReader(std::shared_ptr<OperationJournal> journal, std::string account)
    : journal_(std::move(journal)), account_(std::move(account)) {}

asio::awaitable<absl::StatusOr<v1::Operation>> OperationReader::Get(std::string request_id) const {
  auto finding = journal_->Find(account_, request_id);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found) co_return std::move((*found)->entry.operation);
  co_return MakeError(absl::StatusCode::kNotFound, reason::kOperationNotFound,
                      absl::StrCat("request_id: \"", request_id,
                                   "\": the journal has no such "
                                   "purchase or termination"));
}

asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> OperationReader::List(
    v1::ListOperationsRequest request) const {
  OperationJournal::Query query;
  query.account = account_;
  query.phone_number = request.phone_number();
  if (request.state() != v1::OPERATION_STATE_UNSPECIFIED) query.state = request.state();
  query.after = request.page_token();
  if (request.page_size() > 0) query.limit = std::min(request.page_size(), 1'000);
  auto listing = journal_->List(std::move(query));
  auto page = co_await std::move(listing);
  if (!page.ok()) co_return page.status();
  v1::ListOperationsResponse response;
  for (auto& operation : page->operations) *response.add_operations() = std::move(operation);
  response.set_next_page_token(page->next);
  co_return response;
}

asio::awaitable<absl::Status> OperationReader::CheckUnused(std::string request_id,
                                                           std::string fingerprint) const {
  auto finding = journal_->Find(account_, request_id);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found && (*found)->entry.fingerprint != fingerprint)
    co_return RequestIdReusedError(request_id);
  co_return absl::OkStatus();
}

}  // namespace leasegateway
