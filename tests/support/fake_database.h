#ifndef LEASE_GATEWAY_TESTS_SUPPORT_FAKE_DATABASE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_FAKE_DATABASE_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// A database that answers as scripted, without rows. One thread.
class FakeDatabase final : public postgres::Database {
 public:
  struct Transaction {
    std::vector<std::string> statements;  // their names
    std::vector<std::string> parameters;  // of all of them
    std::chrono::steady_clock::time_point deadline;
  };
  std::vector<Transaction> transactions;
  // Awaited for each transaction.
  std::function<boost::asio::awaitable<absl::Status>()> answer;
  absl::Status status;  // where there is no `answer`
  bool is_reached = true;

  boost::asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Run(
      std::vector<postgres::Query> queries,
      std::chrono::steady_clock::time_point deadline) override {
    Transaction& transaction = transactions.emplace_back();
    transaction.deadline = deadline;
    for (const postgres::Query& query : queries) {
      transaction.statements.emplace_back(query.statement->name);
      for (const auto& parameter : query.parameters) {
        transaction.parameters.push_back(parameter.value().value_or("NULL"));
      }
    }
    absl::Status answered = status;
    if (answer) {
      auto answering = answer();
      answered = co_await std::move(answering);
    }
    if (!answered.ok()) co_return answered;
    co_return std::vector<postgres::Rows>();
  }
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> RunShared(
      postgres::Query query, std::chrono::steady_clock::time_point deadline) override {
    std::vector<postgres::Query> queries;
    queries.push_back(std::move(query));
    auto running = Run(std::move(queries), deadline);
    const auto answered = co_await std::move(running);
    if (!answered.ok()) co_return answered.status();
    co_return postgres::Rows();
  }
  bool is_up() const override { return is_reached; }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_FAKE_DATABASE_H_
