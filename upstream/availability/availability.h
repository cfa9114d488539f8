#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/order_by.h"
#include "upstream/availability/shared_bytes.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// What changed of one number between two snapshots. At least one side is there.
struct NumberChange {
  std::optional<v1::Number> before;
  std::optional<v1::Number> after;
};

struct AvailabilityTable;  // numbers, columns, index

// An immutable snapshot of the numbers that an account may lease: the replies to the plain reads,
// serialised, and columns for searching. Built once from one answer of the provider; one that
// leaves out a number shares all but the list with it. Thread-safe.
class Availability {
 public:
  // Of a number that is there twice, the first counts; one whose phone_number isn't E.164 doesn't
  // count. Serialises maps in a fixed order, so that equal numbers have equal bytes.
  static std::shared_ptr<const Availability> Build(const NumberList& numbers,
                                                   const v1::ResponseMetadata& metadata,
                                                   const PinBytes& pin);
  // The same without one number; null when it isn't there.
  std::shared_ptr<const Availability> Without(std::string_view phone_number,
                                              const PinBytes& pin) const;
  // The same numbers with other metadata. Shares all with it, and takes no longer the more there
  // are.
  std::shared_ptr<const Availability> Renewed(v1::ResponseMetadata metadata,
                                              const PinBytes& pin) const;

  std::size_t size() const;         // numbers
  std::size_t left_out() const;     // duplicates and others that Build did not take
  std::size_t MemoryBytes() const;  // that it holds, shared or not
  // That it holds and the other one doesn't.
  std::size_t MemoryBytesBeside(const Availability& other) const;
  // Whether it has the same numbers in the same order, each with the same fields.
  bool HasNumbersOf(const Availability& other) const;
  const v1::ResponseMetadata& metadata() const;

  // A whole ListAvailableNumbersResponse: all numbers in the provider's order. Those are in its
  // `bytes`, from their beginning on.
  const ReplyBytes& list_reply() const { return list_reply_; }
  // A GetNumberResponse; nothing when it isn't there.
  std::optional<ReplyBytes> FindNumber(std::string_view phone_number) const;

  struct Page {
    std::vector<std::uint32_t> rows;  // for AppendNumbers
    std::size_t total = 0;            // that match, on all pages together
  };
  // The matching numbers from `offset` on, `limit` at most, in `order`: without keys the provider's
  // order; where all keys are equal, by phone number, ascending. The filter has been validated.
  Page Search(const v1::AvailabilityFilter& filter, const Order& order, std::size_t offset,
              std::size_t limit) const;
  // Appends the rows as the field `numbers` of a serialised ListAvailableNumbersResponse.
  void AppendNumbers(const std::vector<std::uint32_t>& rows, std::string* out) const;

  // All rows, in the provider's order.
  std::vector<std::uint32_t> AllRows() const;
  v1::Number NumberAt(std::uint32_t row) const;

  // What is different in `after`, sorted by phone number; all of it is `after` when `before` is
  // null.
  static std::vector<NumberChange> Compare(const Availability* before, const Availability& after);

  Availability(const Availability&) = delete;
  Availability& operator=(const Availability&) = delete;

 private:
  friend class AvailabilityHistory;
  Availability(std::shared_ptr<const AvailabilityTable> table, v1::ResponseMetadata metadata,
               std::vector<std::uint32_t> removed, ReplyBytes list_reply,
               std::shared_ptr<const SharedBytes> number_end);
  // Of the list's bytes, those of the numbers.
  std::size_t EntriesSize() const;
  std::optional<std::uint32_t> FindRow(std::string_view phone_number) const;
  bool IsRemoved(std::uint32_t row) const;
  std::size_t OwnBytes() const;  // without table and list

  std::shared_ptr<const AvailabilityTable> table_;
  v1::ResponseMetadata metadata_;
  std::vector<std::uint32_t> removed_;  // rows, sorted
  ReplyBytes list_reply_;
  std::shared_ptr<const SharedBytes> number_end_;  // of each number's reply; null: the table has it
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_H_
