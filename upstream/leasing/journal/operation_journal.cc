#include "upstream/leasing/journal/operation_journal.h"

#include <utility>

namespace leasegateway {

namespace asio = boost::asio;

asio::awaitable<absl::Status> CheckSpending(std::shared_ptr<OperationJournal> journal,
                                            std::shared_ptr<const SpendingRules> rules,
                                            Spender spender, SpendingPrice price) {
  if (!rules || rules->empty()) co_return absl::OkStatus();
  if (auto status = CheckOnePurchase(*rules, spender, price); !status.ok()) co_return status;
  if (!LimitsSums(*rules, price.currency)) co_return absl::OkStatus();
  auto asking = journal->Spent({spender.account, spender.caller});
  const auto used = co_await std::move(asking);
  if (!used.ok()) co_return used.status();
  co_return CheckSpending(*rules, spender, price, *used);
}

}  // namespace leasegateway
