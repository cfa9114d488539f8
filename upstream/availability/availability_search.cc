#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/availability_table.h"
#include "upstream/availability/digit_pattern.h"

namespace leasegateway {
namespace {

using Table = AvailabilityTable;
using Rows = std::vector<std::uint32_t>;
using Texts = google::protobuf::RepeatedPtrField<std::string>;

// --- the filter ----------------------------------------------------------------------------------

// Words of a filter, as a table has them.
class WordSet {
 public:
  WordSet(const Texts& texts, const Table::Words& words) {
    for (const std::string& text : texts) {
      if (const auto id = words.Find(absl::AsciiStrToLower(text))) {
        ids_.push_back(*id);
      } else {
        all_known_ = false;
      }
    }
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  }
  bool Contains(std::uint32_t id) const { return std::binary_search(ids_.begin(), ids_.end(), id); }
  // Both take sorted words.
  bool Includes(const std::vector<std::uint32_t>& ids) const {
    return std::includes(ids_.begin(), ids_.end(), ids.begin(), ids.end());
  }
  bool IsIncludedIn(const std::vector<std::uint32_t>& ids) const {
    return all_known_ && std::includes(ids.begin(), ids.end(), ids_.begin(), ids_.end());
  }

 private:
  Rows ids_;
  bool all_known_ = true;
};

// The codes of a column that match: those in [first, last), unless `allowed` says which.
struct Condition {
  const Table::Column* column = nullptr;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::vector<std::uint8_t> allowed;  // by code
  std::size_t row_count = 0;          // with such a code
};

Condition InRange(const Table::Column& column, std::size_t first, std::size_t last) {
  Condition condition{.column = &column,
                      .first = static_cast<std::uint32_t>(first),
                      .last = static_cast<std::uint32_t>(std::max(first, last)),
                      .allowed = {},
                      .row_count = 0};
  condition.row_count = column.Begin(condition.last) - column.Begin(condition.first);
  return condition;
}

template <typename Values, typename Matches>
Condition AnyOf(const Table::Column& column, const Values& values, Matches matches) {
  Condition condition{.column = &column, .first = 0, .last = 0, .allowed = {}, .row_count = 0};
  condition.allowed.reserve(values.size());
  for (std::uint32_t code = 0; code < values.size(); ++code) {
    condition.allowed.push_back(matches(values[code]) ? 1 : 0);
    if (condition.allowed.back() != 0) {
      condition.row_count += column.Begin(code + 1) - column.Begin(code);
    }
  }
  return condition;
}

class Filter {
 public:
  Filter(const v1::AvailabilityFilter& filter, const Table& table) : table_(table) {
    AddPlace(filter);
    AddCarrier(filter);
    AddTraits(filter);
    AddHealth(filter);
    if (filter.has_max_monthly_rate()) {
      AddCeiling(filter.max_monthly_rate(), table.monthly_rate, table.monthly_rates);
    }
    if (filter.has_max_upfront_fee()) {
      AddCeiling(filter.max_upfront_fee(), table.upfront_fee, table.upfront_fees);
    }
    AddDigits(filter);
    std::erase_if(conditions_, [&](const Condition& c) { return c.row_count == table.size(); });
    std::sort(conditions_.begin(), conditions_.end(),
              [](const Condition& a, const Condition& b) { return a.row_count < b.row_count; });
  }

  bool matches_all() const { return conditions_.empty() && patterns_.empty(); }
  // The rows that match but for the removed ones, in their own order or in any.
  Rows Find(const Rows& removed, bool by_row) const;

 private:
  void AddPlace(const v1::AvailabilityFilter& filter);
  void AddCarrier(const v1::AvailabilityFilter& filter);
  void AddTraits(const v1::AvailabilityFilter& filter);
  void AddHealth(const v1::AvailabilityFilter& filter);
  void AddCeiling(const google::type::Money& ceiling, const Table::Column& column,
                  const std::vector<Table::Price>& prices);
  void AddDigits(const v1::AvailabilityFilter& filter);
  void AddPrefix(std::string_view digits);

  const Table& table_;
  std::vector<Condition> conditions_;  // the fewest rows first
  std::vector<DigitPattern> patterns_;
};

void Filter::AddPlace(const v1::AvailabilityFilter& filter) {
  if (filter.countries().empty() && filter.regions().empty() && filter.cities().empty()) return;
  const WordSet countries(filter.countries(), table_.words);
  const WordSet regions(filter.regions(), table_.words);
  const WordSet cities(filter.cities(), table_.words);
  conditions_.push_back(AnyOf(table_.place, table_.places, [&](const Table::Place& place) {
    return (filter.countries().empty() || countries.Contains(place.country)) &&
           (filter.regions().empty() || regions.Contains(place.region)) &&
           (filter.cities().empty() || cities.Contains(place.city));
  }));
}

void Filter::AddCarrier(const v1::AvailabilityFilter& filter) {
  if (filter.carriers().empty()) return;
  const WordSet carriers(filter.carriers(), table_.words);
  conditions_.push_back(AnyOf(table_.carrier, table_.carriers,
                              [&](std::uint32_t word) { return carriers.Contains(word); }));
}

void Filter::AddTraits(const v1::AvailabilityFilter& filter) {
  if (filter.channels().empty() && !filter.has_intl_sms() && !filter.has_e911_capable() &&
      !filter.has_allowed_requirements() && filter.statuses().empty()) {
    return;
  }
  const WordSet channels(filter.channels(), table_.words);
  const WordSet allowed(filter.allowed_requirements().requirements(), table_.words);
  const auto is = [](Table::Traits::Flag flag, bool value) {
    return flag == (value ? Table::Traits::Flag::kTrue : Table::Traits::Flag::kFalse);
  };
  conditions_.push_back(
      AnyOf(table_.traits, table_.traits_values, [&](const Table::Traits& traits) {
        const auto& statuses = filter.statuses();
        return channels.IsIncludedIn(traits.channels) &&
               (!filter.has_intl_sms() || is(traits.intl_sms, filter.intl_sms())) &&
               (!filter.has_e911_capable() || is(traits.e911_capable, filter.e911_capable())) &&
               (!filter.has_allowed_requirements() || allowed.Includes(traits.requirements)) &&
               (statuses.empty() ||
                std::find(statuses.begin(), statuses.end(), traits.status) != statuses.end());
      }));
}

void Filter::AddHealth(const v1::AvailabilityFilter& filter) {
  if (filter.has_min_reputation()) {
    const auto& values = table_.reputations;
    const auto first = std::lower_bound(values.begin(), values.end(), filter.min_reputation());
    conditions_.push_back(InRange(table_.reputation,
                                  static_cast<std::size_t>(first - values.begin()), values.size()));
  }
  if (filter.has_max_previous_owners()) {
    const auto& values = table_.previous_owners_values;
    const auto last = std::upper_bound(values.begin(), values.end(), filter.max_previous_owners());
    conditions_.push_back(
        InRange(table_.previous_owners, 0, static_cast<std::size_t>(last - values.begin())));
  }
}

void Filter::AddCeiling(const google::type::Money& ceiling, const Table::Column& column,
                        const std::vector<Table::Price>& prices) {
  const auto currency = table_.currencies.Find(absl::AsciiStrToLower(ceiling.currency_code()));
  if (!currency) {
    conditions_.push_back(InRange(column, 0, 0));
    return;
  }
  const auto first = std::partition_point(
      prices.begin(), prices.end(), [&](const Table::Price& p) { return p.currency < *currency; });
  const auto last = std::upper_bound(
      first, prices.end(),
      Table::Price{.currency = *currency, .units = ceiling.units(), .nanos = ceiling.nanos()});
  conditions_.push_back(InRange(column, static_cast<std::size_t>(first - prices.begin()),
                                static_cast<std::size_t>(last - prices.begin())));
}

void Filter::AddPrefix(std::string_view digits) {
  const PhoneKeyRange range = KeysBeginningWith(digits);
  const Rows& rows = table_.phone_number.rows;
  const auto place_of = [&](PhoneKey key) {
    return static_cast<std::size_t>(
        std::lower_bound(rows.begin(), rows.end(), key,
                         [&](std::uint32_t row, PhoneKey k) { return table_.keys[row] < k; }) -
        rows.begin());
  };
  conditions_.push_back(InRange(table_.phone_number, place_of(range.first), place_of(range.last)));
}

void Filter::AddDigits(const v1::AvailabilityFilter& filter) {
  const auto without_plus = [](std::string_view digits) {
    if (digits.starts_with('+')) digits.remove_prefix(1);
    return digits;
  };
  const std::string_view prefix = without_plus(filter.number_prefix());
  if (!prefix.empty()) AddPrefix(prefix);
  if (!filter.number_suffix().empty()) patterns_.emplace_back("*" + filter.number_suffix());
  if (!filter.number_contains().empty()) {
    patterns_.emplace_back("*" + filter.number_contains() + "*");
  }
  const std::string_view pattern = without_plus(filter.number_pattern());
  if (!pattern.empty()) {
    patterns_.emplace_back(pattern);
    const std::string_view start = pattern.substr(0, pattern.find_first_of("?*"));
    if (!start.empty()) AddPrefix(start);
  }
}

// Keeps the rows that match; nothing stands for all rows of a table. Without branches, since no one
// can foretell them.
template <typename Matches>
void KeepIf(std::optional<Rows>& rows, std::uint32_t table_size, Matches matches) {
  std::size_t kept = 0;
  if (rows) {
    for (const std::uint32_t row : *rows) {
      (*rows)[kept] = row;
      kept += matches(row) ? 1 : 0;
    }
  } else {
    rows.emplace(table_size);
    for (std::uint32_t row = 0; row < table_size; ++row) {
      (*rows)[kept] = row;
      kept += matches(row) ? 1 : 0;
    }
  }
  rows->resize(kept);
}

void Keep(const Condition& condition, std::optional<Rows>& rows) {
  const auto& codes = condition.column->codes;
  const auto size = static_cast<std::uint32_t>(codes.size());
  if (condition.allowed.empty()) {
    const std::uint32_t first = condition.first;
    const std::uint32_t width = condition.last - first;
    KeepIf(rows, size, [first, width, codes = codes.data()](std::uint32_t row) {
      return codes[row] - first < width;
    });
  } else {
    KeepIf(rows, size,
           [allowed = condition.allowed.data(), codes = codes.data()](std::uint32_t row) {
             return allowed[codes[row]] != 0;
           });
  }
}

// The rows that the column lists for the condition's codes.
Rows Listed(const Condition& condition) {
  const Table::Column& column = *condition.column;
  Rows rows;
  rows.reserve(condition.row_count);
  const auto append = [&](std::uint32_t first, std::uint32_t last) {
    const auto begin = column.rows.begin();
    rows.insert(rows.end(), begin + static_cast<std::ptrdiff_t>(column.Begin(first)),
                begin + static_cast<std::ptrdiff_t>(column.Begin(last)));
  };
  if (condition.allowed.empty()) append(condition.first, condition.last);
  for (std::uint32_t code = 0; code < condition.allowed.size(); ++code) {
    if (condition.allowed[code] != 0) append(code, code + 1);
  }
  return rows;
}

Rows Filter::Find(const Rows& removed, bool by_row) const {
  std::optional<Rows> rows;
  auto condition = conditions_.begin();
  // Listed rows are not in order, and sorting many takes longer than looking at all.
  if (condition != conditions_.end() && (!by_row || condition->row_count <= table_.size() / 16)) {
    rows = Listed(*condition++);
  }
  for (; condition != conditions_.end(); ++condition) Keep(*condition, rows);
  for (const DigitPattern& pattern : patterns_) {
    KeepIf(rows, table_.size(), [&, keys = table_.keys.data()](std::uint32_t row) {
      return pattern.Matches(keys[row]);
    });
  }
  if (!removed.empty() || !rows) {
    std::vector<bool> is_removed(table_.size());
    for (const std::uint32_t row : removed) is_removed[row] = true;
    KeepIf(rows, table_.size(), [&](std::uint32_t row) { return !is_removed[row]; });
  }
  if (by_row && !std::is_sorted(rows->begin(), rows->end())) {
    std::sort(rows->begin(), rows->end());
  }
  return *std::move(rows);
}

// --- the order -----------------------------------------------------------------------------------

// A column, read up or down.
struct SortColumn {
  std::uint32_t RankOf(std::uint32_t row) const { return Turn(column->codes[row]); }
  // From a code to its place, and back.
  std::uint32_t Turn(std::uint32_t code) const {
    return descending && code != column->missing ? column->missing - 1 - code : code;
  }

  const Table::OrderedColumn* column;
  bool descending;
};

// Ends with the phone number, which settles everything.
std::vector<SortColumn> SortColumns(const Order& order, const Table& table) {
  std::vector<SortColumn> columns;
  for (const OrderKey& key : order) {
    columns.push_back({.column = &table.ColumnOf(key.field), .descending = key.descending});
    if (key.field == OrderKey::Field::kPhoneNumber) return columns;
  }
  columns.push_back({.column = &table.phone_number, .descending = false});
  return columns;
}

// The part [offset, offset + limit) of `rows` in order, in time linear in `rows` but for sorting
// the part. `offset` is less than rows.size().
Rows Select(const Rows& rows, const std::vector<SortColumn>& columns, std::size_t offset,
            std::size_t limit) {
  struct Entry {
    std::uint64_t rank;  // of the first two columns
    std::uint32_t row;
  };
  const SortColumn first = columns[0];
  const bool one_column = columns.size() == 1;
  const SortColumn second = one_column ? first : columns[1];
  const auto before = [&](const Entry& a, const Entry& b) {
    if (a.rank != b.rank) return a.rank < b.rank;
    for (std::size_t i = 2; i < columns.size(); ++i) {
      const std::uint32_t rank_a = columns[i].RankOf(a.row);
      const std::uint32_t rank_b = columns[i].RankOf(b.row);
      if (rank_a != rank_b) return rank_a < rank_b;
    }
    return false;
  };

  const std::size_t wanted = offset + std::min(limit, rows.size() - offset);
  // Takes rows until there are twice as many as wanted, then drops the later half; what is later
  // than all that were kept isn't taken any more.
  const std::size_t room = std::min(rows.size(), 2 * wanted + 64);
  std::vector<Entry> entries;
  entries.reserve(room);
  std::uint32_t last_first = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint32_t row : rows) {
    const std::uint32_t rank = first.RankOf(row);
    if (rank > last_first) continue;
    const std::uint64_t both = std::uint64_t{rank} << 32 | (one_column ? 0 : second.RankOf(row));
    if (both > last) continue;
    if (entries.size() == room) {
      const auto end = entries.begin() + static_cast<std::ptrdiff_t>(wanted);
      std::nth_element(entries.begin(), end - 1, entries.end(), before);
      entries.erase(end, entries.end());
      last = entries.back().rank;
      last_first = static_cast<std::uint32_t>(last >> 32);
      if (both > last) continue;
    }
    entries.push_back({.rank = both, .row = row});
  }
  const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(offset);
  const auto end = entries.begin() + static_cast<std::ptrdiff_t>(wanted);
  if (offset > 0) std::nth_element(entries.begin(), begin, entries.end(), before);
  std::partial_sort(begin, end, entries.end(), before);
  Rows part(wanted - offset);
  std::transform(begin, end, part.begin(), [](const Entry& entry) { return entry.row; });
  return part;
}

// The same of all rows of the table: sorts no more than the groups of equal rank that the part
// touches, as the first column has them in order.
Rows SelectOfAll(const std::vector<SortColumn>& columns, std::size_t offset, std::size_t limit) {
  const SortColumn first = columns[0];
  const Table::OrderedColumn& column = *first.column;
  const bool in_order = columns.size() == 1 || (columns.size() == 2 && !columns[1].descending &&
                                                columns[1].column->starts.empty());
  limit = std::min(limit, column.rows.size() - offset);
  Rows part;
  part.reserve(limit);
  for (std::uint32_t rank = 0; part.size() < limit; ++rank) {
    const std::uint32_t code = first.Turn(rank);
    const auto begin = column.rows.begin() + static_cast<std::ptrdiff_t>(column.Begin(code));
    const auto end = column.rows.begin() + static_cast<std::ptrdiff_t>(column.Begin(code + 1));
    const auto size = static_cast<std::size_t>(end - begin);
    if (offset >= size) {
      offset -= size;
      continue;
    }
    const std::size_t count = std::min(limit - part.size(), size - offset);
    if (in_order || size == 1) {
      const auto at = begin + static_cast<std::ptrdiff_t>(offset);
      part.insert(part.end(), at, at + static_cast<std::ptrdiff_t>(count));
    } else {
      const Rows some = Select(Rows(begin, end), columns, offset, count);
      part.insert(part.end(), some.begin(), some.end());
    }
    offset = 0;
  }
  return part;
}

}  // namespace

Availability::Page Availability::Search(const v1::AvailabilityFilter& filter, const Order& order,
                                        std::size_t offset, std::size_t limit) const {
  const Filter conditions(filter, *table_);
  if (conditions.matches_all() && removed_.empty()) {
    Page page{.rows = {}, .total = size()};
    if (offset >= size()) return page;
    if (order.empty()) {
      page.rows.resize(std::min(limit, size() - offset));
      std::iota(page.rows.begin(), page.rows.end(), static_cast<std::uint32_t>(offset));
    } else {
      page.rows = SelectOfAll(SortColumns(order, *table_), offset, limit);
    }
    return page;
  }
  const Rows rows = conditions.Find(removed_, order.empty());
  Page page{.rows = {}, .total = rows.size()};
  if (offset >= rows.size() || limit == 0) return page;
  if (order.empty()) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(offset);
    const std::size_t count = std::min(limit, rows.size() - offset);
    page.rows.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  } else {
    page.rows = Select(rows, SortColumns(order, *table_), offset, limit);
  }
  return page;
}

}  // namespace leasegateway
