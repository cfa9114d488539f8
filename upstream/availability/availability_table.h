#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_TABLE_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_TABLE_H_

// For availability*.cc alone.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/availability/digit_pattern.h"
#include "upstream/availability/order_by.h"
#include "upstream/availability/shared_bytes.h"

namespace leasegateway {

// That a vector holds on the heap.
template <typename T>
std::size_t BytesOf(const std::vector<T>& values) {
  return values.capacity() * sizeof(T);
}

// What numbers are searched by, apart from where they are kept.
struct AvailabilityColumns {
  // Numbers words, in lower case, from 0 on.
  class Words {
   public:
    std::uint32_t Add(std::string word) {
      return ids_.try_emplace(std::move(word), static_cast<std::uint32_t>(ids_.size()))
          .first->second;
    }
    std::optional<std::uint32_t> Find(std::string_view word) const {
      const auto found = ids_.find(absl::string_view(word.data(), word.size()));
      if (found == ids_.end()) return std::nullopt;
      return found->second;
    }
    // Renumbers them by their texts. Returns the new id of each old one.
    std::vector<std::uint32_t> Sort();
    std::size_t MemoryBytes() const;

   private:
    absl::flat_hash_map<std::string, std::uint32_t> ids_;
  };

  // What the rows have in one respect, as codes for the different values, from 0 on. A condition
  // is looked at once a code; the rows of a code are at hand.
  struct Column {
    std::uint32_t CodeCount() const {
      return static_cast<std::uint32_t>(starts.empty() ? rows.size() : starts.size() - 1);
    }
    // Where the rows of a code begin in `rows`; they end where those of the next begin.
    std::size_t Begin(std::uint32_t code) const { return starts.empty() ? code : starts[code]; }
    std::size_t MemoryBytes() const;

    std::vector<std::uint32_t> codes;   // by row
    std::vector<std::uint32_t> rows;    // grouped by code
    std::vector<std::uint32_t> starts;  // by code, and the end; empty: each code has one row
  };
  // A column whose codes are in the order of the values. The last code is for rows without a value;
  // the phone number's column, where no row is without, lacks it. The rows of a code are in the
  // order of their phone numbers.
  struct OrderedColumn : Column {
    std::uint32_t missing = 0;
  };

  struct Place {
    template <typename H>
    friend H AbslHashValue(H h, const Place& p) {
      return H::combine(std::move(h), p.country, p.region, p.city);
    }
    bool operator==(const Place&) const = default;

    std::uint32_t country = 0, region = 0, city = 0;  // words
  };
  // What has few values, in one column, so that conditions on it cost no more than one.
  struct Traits {
    enum class Flag : std::uint8_t { kUnknown, kFalse, kTrue };
    template <typename H>
    friend H AbslHashValue(H h, const Traits& t) {
      return H::combine(std::move(h), t.status, t.intl_sms, t.e911_capable, t.channels,
                        t.requirements);
    }
    bool operator==(const Traits&) const = default;

    int status = 0;  // NumberStatus
    Flag intl_sms = Flag::kUnknown;
    Flag e911_capable = Flag::kUnknown;
    std::vector<std::uint32_t> channels, requirements;  // words, sorted, each once
  };
  struct Price {
    template <typename H>
    friend H AbslHashValue(H h, const Price& p) {
      return H::combine(std::move(h), p.currency, p.units, p.nanos);
    }
    friend auto operator<=>(const Price&, const Price&) = default;

    std::uint32_t currency = 0;
    std::int64_t units = 0;
    std::int32_t nanos = 0;
  };

  std::uint32_t size() const { return static_cast<std::uint32_t>(keys.size()); }
  const OrderedColumn& ColumnOf(OrderKey::Field field) const;
  std::size_t MemoryBytes() const;

  std::vector<PhoneKey> keys;  // by row

  Words words;  // of places, carriers and traits
  Column place, carrier, traits;
  std::vector<Place> places;            // by code
  std::vector<std::uint32_t> carriers;  // by code: words
  std::vector<Traits> traits_values;    // by code

  Words currencies;  // ids in the order of the texts
  OrderedColumn monthly_rate, upfront_fee, reputation, previous_owners, create_time, phone_number;
  // By code, so sorted.
  std::vector<Price> monthly_rates, upfront_fees;
  std::vector<double> reputations;
  std::vector<std::int32_t> previous_owners_values;
};

// A number's entry that lists of an AvailabilityHistory share, and how many rows refer to it.
using SharedEntry = std::pair<const std::string, std::uint32_t>;

// All that a snapshot has but its list and metadata, so that snapshots which leave out numbers
// share it.
struct AvailabilityTable : AvailabilityColumns {
  // Rows by phone number.
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(PhoneKey key) const { return absl::Hash<std::uint64_t>()(key.bits); }
    std::size_t operator()(std::uint32_t row) const { return (*this)((*keys)[row]); }
    const std::vector<PhoneKey>* keys;
  };
  struct KeyEqual {
    using is_transparent = void;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(std::uint32_t row, PhoneKey key) const { return (*keys)[row] == key; }
    const std::vector<PhoneKey>* keys;
  };

  AvailabilityTable() : index(0, KeyHash{&keys}, KeyEqual{&keys}) {}
  AvailabilityTable(const AvailabilityTable&) = delete;
  AvailabilityTable& operator=(const AvailabilityTable&) = delete;

  // The number as a field of a ListAvailableNumbersResponse, and of a GetNumberResponse.
  std::string_view Entry(std::uint32_t row) const {
    if (!entries.empty()) return entries[row]->first;
    return number_replies->view().substr(offsets[row],
                                         offsets[row + 1] - offsets[row] - metadata_field.size());
  }
  // The columns of the numbers whose keys are there.
  void FillColumns(const std::vector<const v1::Number*>& numbers);
  std::size_t MemoryBytes() const;

  std::string metadata_field;  // as it ends each GetNumberResponse
  std::size_t left_out = 0;

  absl::flat_hash_set<std::uint32_t, KeyHash, KeyEqual> index;
  std::shared_ptr<const SharedBytes> number_replies;
  std::vector<std::uint64_t> offsets;  // of a row's reply, and the end

  // Of a list in an AvailabilityHistory, which owns them: by row, instead of index and replies.
  std::vector<SharedEntry*> entries;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_TABLE_H_
