#include "upstream/availability/availability_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/ascii.h"

namespace leasegateway {
namespace {

using Table = AvailabilityTable;

// A byte a slot besides the value.
template <typename Table>
std::size_t BytesOfHash(const Table& table) {
  return table.capacity() * (sizeof(typename Table::value_type) + 1);
}

// Groups the rows by code; within a code they are in the order of `rows`.
void Group(const std::vector<std::uint32_t>& rows, std::size_t code_count, Table::Column& column) {
  column.starts.assign(code_count + 1, 0);
  for (const std::uint32_t code : column.codes) ++column.starts[code + 1];
  std::partial_sum(column.starts.begin(), column.starts.end(), column.starts.begin());
  column.rows.resize(rows.size());
  std::vector<std::uint32_t> next(column.starts.begin(), column.starts.end() - 1);
  for (const std::uint32_t row : rows) column.rows[next[column.codes[row]]++] = row;
}

// Numbers the different values as they come.
template <typename Value>
class Encoder {
 public:
  std::uint32_t Encode(const Value& value) {
    const auto [found, is_new] =
        codes_.try_emplace(value, static_cast<std::uint32_t>(values_.size()));
    if (is_new) values_.push_back(value);
    return found->second;
  }
  std::vector<Value> TakeValues() {
    values_.shrink_to_fit();
    return std::move(values_);
  }

 private:
  absl::flat_hash_map<Value, std::uint32_t> codes_;
  std::vector<Value> values_;
};

// Numbers the different values in their order and fills in the column. Returns the values.
template <typename Value>
std::vector<Value> Rank(const std::vector<std::optional<Value>>& values,
                        const std::vector<std::uint32_t>& rows, Table::OrderedColumn& column) {
  constexpr std::uint32_t kMissing = ~std::uint32_t{0};
  Encoder<Value> encoder;
  column.codes.reserve(values.size());
  for (const std::optional<Value>& value : values) {
    column.codes.push_back(value ? encoder.Encode(*value) : kMissing);
  }
  const std::vector<Value> found = encoder.TakeValues();
  std::vector<std::uint32_t> sorted(found.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::sort(sorted.begin(), sorted.end(),
            [&](std::uint32_t a, std::uint32_t b) { return found[a] < found[b]; });
  std::vector<std::uint32_t> ranks(found.size());
  std::vector<Value> result;
  result.reserve(found.size());
  for (const std::uint32_t code : sorted) {
    ranks[code] = static_cast<std::uint32_t>(result.size());
    result.push_back(found[code]);
  }
  column.missing = static_cast<std::uint32_t>(result.size());
  for (std::uint32_t& code : column.codes) {
    code = code == kMissing ? column.missing : ranks[code];
  }
  Group(rows, result.size() + 1, column);
  return result;
}

// Adds words to a table in lower case. Looks the provider's spelling up first, because there are
// few; their texts must stay where they are.
class Spellings {
 public:
  explicit Spellings(Table::Words& words) : words_(words) {}
  std::uint32_t Add(const std::string& word) {
    const auto found = ids_.find(word);
    if (found != ids_.end()) return found->second;
    const std::uint32_t id = words_.Add(absl::AsciiStrToLower(word));
    ids_.emplace(word, id);
    return id;
  }
  // Their ids, sorted, each once.
  std::vector<std::uint32_t> AddSet(const google::protobuf::RepeatedPtrField<std::string>& words) {
    std::vector<std::uint32_t> ids;
    ids.reserve(static_cast<std::size_t>(words.size()));
    for (const std::string& word : words) ids.push_back(Add(word));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  }

 private:
  Table::Words& words_;
  absl::flat_hash_map<absl::string_view, std::uint32_t> ids_;
};

Table::Traits::Flag FlagOf(bool known, bool value) {
  using Flag = Table::Traits::Flag;
  return !known ? Flag::kUnknown : value ? Flag::kTrue : Flag::kFalse;
}

void EncodeWords(const std::vector<const v1::Number*>& numbers, Table& table) {
  Spellings words(table.words);
  Encoder<Table::Place> places;
  Encoder<std::uint32_t> carriers;
  Encoder<Table::Traits> traits;
  for (Table::Column* column : {&table.place, &table.carrier, &table.traits}) {
    column->codes.reserve(numbers.size());
  }
  for (const v1::Number* number : numbers) {
    const v1::Location& location = number->location();
    table.place.codes.push_back(places.Encode({.country = words.Add(location.country()),
                                               .region = words.Add(location.region()),
                                               .city = words.Add(location.city())}));
    table.carrier.codes.push_back(carriers.Encode(words.Add(number->carrier())));
    const v1::Capabilities& capabilities = number->capabilities();
    table.traits.codes.push_back(
        traits.Encode({.status = number->status(),
                       .intl_sms = FlagOf(capabilities.has_intl_sms(), capabilities.intl_sms()),
                       .e911_capable = FlagOf(number->has_e911_capable(), number->e911_capable()),
                       .channels = words.AddSet(capabilities.channels()),
                       .requirements = words.AddSet(number->requirements())}));
  }
  table.places = places.TakeValues();
  table.carriers = carriers.TakeValues();
  table.traits_values = traits.TakeValues();
  std::vector<std::uint32_t> rows(numbers.size());
  std::iota(rows.begin(), rows.end(), 0);
  Group(rows, table.places.size(), table.place);
  Group(rows, table.carriers.size(), table.carrier);
  Group(rows, table.traits_values.size(), table.traits);
}

void RankPhoneNumbers(Table& table) {
  Table::OrderedColumn& column = table.phone_number;
  column.rows.resize(table.size());
  std::iota(column.rows.begin(), column.rows.end(), 0);
  std::sort(column.rows.begin(), column.rows.end(),
            [&](std::uint32_t a, std::uint32_t b) { return table.keys[a] < table.keys[b]; });
  column.codes.resize(table.size());
  for (std::uint32_t i = 0; i < table.size(); ++i) column.codes[column.rows[i]] = i;
  column.missing = table.size();
}

void RankPrices(const std::vector<const v1::Number*>& numbers, Table& table) {
  using Prices = std::vector<std::optional<Table::Price>>;
  Prices monthly_rates(numbers.size());
  Prices upfront_fees(numbers.size());
  Spellings currencies(table.currencies);
  const auto price_of = [&](const google::type::Money& amount) {
    return Table::Price{.currency = currencies.Add(amount.currency_code()),
                        .units = amount.units(),
                        .nanos = amount.nanos()};
  };
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    const v1::Pricing& pricing = numbers[row]->pricing();
    if (pricing.has_monthly_rate()) monthly_rates[row] = price_of(pricing.monthly_rate());
    if (pricing.has_upfront_fee()) upfront_fees[row] = price_of(pricing.upfront_fee());
  }
  const std::vector<std::uint32_t> new_ids = table.currencies.Sort();
  for (Prices* prices : {&monthly_rates, &upfront_fees}) {
    for (std::optional<Table::Price>& price : *prices) {
      if (price) price->currency = new_ids[price->currency];
    }
  }
  table.monthly_rates = Rank(monthly_rates, table.phone_number.rows, table.monthly_rate);
  table.upfront_fees = Rank(upfront_fees, table.phone_number.rows, table.upfront_fee);
}

void RankOthers(const std::vector<const v1::Number*>& numbers, Table& table) {
  std::vector<std::optional<double>> reputations(numbers.size());
  std::vector<std::optional<std::int32_t>> previous_owners(numbers.size());
  std::vector<std::optional<std::pair<std::int64_t, std::int32_t>>> times(numbers.size());
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    const v1::Number& number = *numbers[row];
    if (number.has_health()) {
      previous_owners[row] = number.health().previous_owners();
      // Something that is no number has no place in an order. The sum makes 0.0 of -0.0.
      const double reputation = number.health().reputation() + 0.0;
      if (!std::isnan(reputation)) reputations[row] = reputation;
    }
    if (number.has_create_time()) {
      times[row].emplace(number.create_time().seconds(), number.create_time().nanos());
    }
  }
  const std::vector<std::uint32_t>& rows = table.phone_number.rows;
  table.reputations = Rank(reputations, rows, table.reputation);
  table.previous_owners_values = Rank(previous_owners, rows, table.previous_owners);
  Rank(times, rows, table.create_time);
}

}  // namespace

std::vector<std::uint32_t> AvailabilityColumns::Words::Sort() {
  std::vector<std::pair<std::string, std::uint32_t>> sorted(ids_.begin(), ids_.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::uint32_t> new_ids(sorted.size());
  for (std::uint32_t id = 0; id < sorted.size(); ++id) {
    new_ids[sorted[id].second] = id;
    ids_[sorted[id].first] = id;
  }
  return new_ids;
}

std::size_t AvailabilityColumns::Words::MemoryBytes() const {
  const std::size_t without_heap = std::string().capacity();
  std::size_t bytes = BytesOfHash(ids_);
  for (const auto& [word, id] : ids_) {
    if (word.capacity() > without_heap) bytes += word.capacity() + 1;
  }
  return bytes;
}

std::size_t AvailabilityColumns::Column::MemoryBytes() const {
  return BytesOf(codes) + BytesOf(rows) + BytesOf(starts);
}

const AvailabilityColumns::OrderedColumn& AvailabilityColumns::ColumnOf(
    OrderKey::Field field) const {
  switch (field) {
    case OrderKey::Field::kMonthlyRate:
      return monthly_rate;
    case OrderKey::Field::kUpfrontFee:
      return upfront_fee;
    case OrderKey::Field::kReputation:
      return reputation;
    case OrderKey::Field::kPreviousOwners:
      return previous_owners;
    case OrderKey::Field::kCreateTime:
      return create_time;
    case OrderKey::Field::kPhoneNumber:
      break;
  }
  return phone_number;
}

std::size_t AvailabilityColumns::MemoryBytes() const {
  std::size_t bytes = sizeof(*this) + BytesOf(keys) + words.MemoryBytes() + BytesOf(places) +
                      BytesOf(carriers) + BytesOf(traits_values) + currencies.MemoryBytes() +
                      BytesOf(monthly_rates) + BytesOf(upfront_fees) + BytesOf(reputations) +
                      BytesOf(previous_owners_values);
  for (const Traits& each : traits_values) {
    bytes += BytesOf(each.channels) + BytesOf(each.requirements);
  }
  for (const Column* column : {&place, &carrier, &traits}) bytes += column->MemoryBytes();
  for (const OrderedColumn* column :
       {&monthly_rate, &upfront_fee, &reputation, &previous_owners, &create_time, &phone_number}) {
    bytes += column->MemoryBytes();
  }
  return bytes;
}

std::size_t AvailabilityTable::MemoryBytes() const {
  std::size_t bytes = sizeof(*this) - sizeof(AvailabilityColumns) +
                      AvailabilityColumns::MemoryBytes() + metadata_field.capacity() +
                      BytesOfHash(index) + BytesOf(offsets) + BytesOf(entries);
  if (number_replies) bytes += number_replies->view().size();
  return bytes;
}

void AvailabilityTable::FillColumns(const std::vector<const v1::Number*>& numbers) {
  EncodeWords(numbers, *this);
  RankPhoneNumbers(*this);
  RankPrices(numbers, *this);
  RankOthers(numbers, *this);
}

}  // namespace leasegateway
