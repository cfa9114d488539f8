#include "upstream/availability/availability.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "upstream/availability/availability_table.h"

namespace leasegateway {
namespace {

using Table = AvailabilityTable;
using ::google::protobuf::internal::WireFormatLite;

// What is before a number in both kinds of replies, so that one serialised number serves both.
constexpr std::uint32_t kEntryTag =
    WireFormatLite::MakeTag(v1::ListAvailableNumbersResponse::kNumbersFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
static_assert(int{v1::ListAvailableNumbersResponse::kNumbersFieldNumber} ==
              int{v1::GetNumberResponse::kNumberFieldNumber});

// What follows the numbers of a list.
std::string ListEnd(std::size_t total, const v1::ResponseMetadata& metadata) {
  v1::ListAvailableNumbersResponse reply;
  reply.set_total_size(static_cast<std::int32_t>(total));
  *reply.mutable_metadata() = metadata;
  return reply.SerializeAsString();
}

// What follows the number in each reply that has one.
std::string NumberEnd(const v1::ResponseMetadata& metadata) {
  v1::GetNumberResponse reply;
  *reply.mutable_metadata() = metadata;
  return reply.SerializeAsString();
}

// Returns the list; fills in `table`'s replies. Its keys are there already.
std::string Serialize(const std::vector<const v1::Number*>& numbers,
                      const v1::ResponseMetadata& metadata, const PinBytes& pin, Table& table) {
  table.metadata_field = NumberEnd(metadata);

  std::size_t list_size = 0;
  table.offsets.reserve(numbers.size() + 1);
  table.offsets.push_back(0);
  for (const v1::Number* number : numbers) {
    const std::size_t size = number->ByteSizeLong();
    const std::size_t entry_size = WireFormatLite::TagSize(1, WireFormatLite::TYPE_STRING) +
                                   WireFormatLite::LengthDelimitedSize(size);
    list_size += entry_size;
    table.offsets.push_back(table.offsets.back() + entry_size + table.metadata_field.size());
  }

  const std::string end = ListEnd(numbers.size(), metadata);
  std::string list;
  list.reserve(list_size + end.size());
  list.resize(list_size);
  {
    google::protobuf::io::ArrayOutputStream array(list.data(), static_cast<int>(list_size));
    google::protobuf::io::CodedOutputStream out(&array);
    out.SetSerializationDeterministic(true);
    for (const v1::Number* number : numbers) {
      out.WriteTag(kEntryTag);
      out.WriteVarint32(static_cast<std::uint32_t>(number->GetCachedSize()));
      number->SerializeWithCachedSizes(&out);
    }
  }

  std::string replies;
  replies.reserve(table.offsets.back());
  std::size_t place = 0;
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    const std::size_t size =
        table.offsets[row + 1] - table.offsets[row] - table.metadata_field.size();
    replies.append(list, place, size).append(table.metadata_field);
    place += size;
  }
  table.number_replies = pin(std::move(replies));
  return list += end;
}

}  // namespace

Availability::Availability(std::shared_ptr<const AvailabilityTable> table,
                           v1::ResponseMetadata metadata, std::vector<std::uint32_t> removed,
                           ReplyBytes list_reply, std::shared_ptr<const SharedBytes> number_end)
    : table_(std::move(table)),
      metadata_(std::move(metadata)),
      removed_(std::move(removed)),
      list_reply_(std::move(list_reply)),
      number_end_(std::move(number_end)) {}

std::shared_ptr<const Availability> Availability::Build(const NumberList& numbers,
                                                        const v1::ResponseMetadata& metadata,
                                                        const PinBytes& pin) {
  const auto table = std::make_shared<AvailabilityTable>();
  const auto size = static_cast<std::size_t>(numbers.size());
  table->keys.reserve(size);
  table->index.reserve(size);
  std::vector<const v1::Number*> taken;
  taken.reserve(size);
  for (const v1::Number& number : numbers) {
    const auto key = ParsePhoneKey(number.phone_number());
    if (!key || table->index.contains(*key)) {
      ++table->left_out;
      continue;
    }
    table->keys.push_back(*key);
    table->index.insert(static_cast<std::uint32_t>(taken.size()));
    taken.push_back(&number);
  }
  std::string list = Serialize(taken, metadata, pin, *table);
  table->FillColumns(taken);
  return std::shared_ptr<const Availability>(
      new Availability(table, metadata, {}, WholeReply(pin(std::move(list))), nullptr));
}

std::shared_ptr<const Availability> Availability::Without(std::string_view phone_number,
                                                          const PinBytes& pin) const {
  const std::optional<std::uint32_t> row = FindRow(phone_number);
  if (!row) return nullptr;
  std::vector<std::uint32_t> removed;
  removed.reserve(removed_.size() + 1);
  removed = removed_;
  const auto at = removed.insert(std::lower_bound(removed.begin(), removed.end(), *row), *row);

  std::size_t place = table_->offsets[*row] - *row * table_->metadata_field.size();
  for (auto before = removed.begin(); before != at; ++before) {
    place -= table_->Entry(*before).size();
  }
  const std::string_view old_list = list_reply_.view();
  const std::size_t entry_size = table_->Entry(*row).size();
  const std::size_t old_end = EntriesSize();
  const std::string end = ListEnd(size() - 1, metadata());
  std::string list;
  list.reserve(old_end - entry_size + end.size());
  list.append(old_list.substr(0, place));
  list.append(old_list.substr(place + entry_size, old_end - place - entry_size));
  list.append(end);
  return std::shared_ptr<const Availability>(new Availability(
      table_, metadata_, std::move(removed), WholeReply(pin(std::move(list))), number_end_));
}

std::shared_ptr<const Availability> Availability::Renewed(v1::ResponseMetadata metadata,
                                                          const PinBytes& pin) const {
  ReplyBytes list = list_reply_;
  list.range.size = EntriesSize();
  list.end = pin(ListEnd(size(), metadata));
  auto number_end = pin(NumberEnd(metadata));
  return std::shared_ptr<const Availability>(new Availability(
      table_, std::move(metadata), removed_, std::move(list), std::move(number_end)));
}

std::size_t Availability::EntriesSize() const {
  const std::size_t end = list_reply_.end ? 0 : ListEnd(size(), metadata()).size();
  return list_reply_.range.size - end;
}

std::size_t Availability::size() const { return table_->size() - removed_.size(); }
std::size_t Availability::left_out() const { return table_->left_out; }
std::size_t Availability::MemoryBytes() const {
  return OwnBytes() + (list_reply_ ? list_reply_.bytes->view().size() : 0) + table_->MemoryBytes();
}
std::size_t Availability::MemoryBytesBeside(const Availability& other) const {
  if (this == &other) return 0;
  std::size_t bytes = MemoryBytes();
  if (table_ == other.table_) bytes -= table_->MemoryBytes();
  if (list_reply_.bytes == other.list_reply_.bytes) bytes -= list_reply_.bytes->view().size();
  return bytes;
}
bool Availability::HasNumbersOf(const Availability& other) const {
  if (EntriesSize() != other.EntriesSize()) return false;
  return list_reply_.bytes == other.list_reply_.bytes ||
         list_reply_.view().substr(0, EntriesSize()) ==
             other.list_reply_.view().substr(0, EntriesSize());
}
std::size_t Availability::OwnBytes() const {
  return sizeof(*this) - sizeof(metadata_) + metadata_.SpaceUsedLong() + BytesOf(removed_);
}
const v1::ResponseMetadata& Availability::metadata() const { return metadata_; }

std::optional<std::uint32_t> Availability::FindRow(std::string_view phone_number) const {
  const auto key = ParsePhoneKey(phone_number);
  if (!key) return std::nullopt;
  const auto found = table_->index.find(*key);
  if (found == table_->index.end() || IsRemoved(*found)) return std::nullopt;
  return *found;
}

bool Availability::IsRemoved(std::uint32_t row) const {
  return std::binary_search(removed_.begin(), removed_.end(), row);
}

std::optional<ReplyBytes> Availability::FindNumber(std::string_view phone_number) const {
  const std::optional<std::uint32_t> row = FindRow(phone_number);
  if (!row) return std::nullopt;
  const std::size_t begin = table_->offsets[*row];
  ReplyBytes reply{table_->number_replies, {begin, table_->offsets[*row + 1] - begin}, number_end_};
  if (number_end_) reply.range.size -= table_->metadata_field.size();
  return reply;
}

void Availability::AppendNumbers(const std::vector<std::uint32_t>& rows, std::string* out) const {
  std::size_t size = out->size();
  for (const std::uint32_t row : rows) size += table_->Entry(row).size();
  out->reserve(size);
  for (const std::uint32_t row : rows) out->append(table_->Entry(row));
}

std::vector<std::uint32_t> Availability::AllRows() const {
  std::vector<std::uint32_t> rows(size());
  auto removed = removed_.begin();
  auto out = rows.begin();
  for (std::uint32_t row = 0; row < table_->size(); ++row) {
    if (removed != removed_.end() && *removed == row) {
      ++removed;
    } else {
      *out++ = row;
    }
  }
  return rows;
}

v1::Number Availability::NumberAt(std::uint32_t row) const {
  auto reply = ParseBytes<v1::GetNumberResponse>(table_->Entry(row));
  return std::move(*reply.mutable_number());
}

std::vector<NumberChange> Availability::Compare(const Availability* before,
                                                const Availability& after) {
  std::vector<NumberChange> changes;
  const AvailabilityTable& new_table = *after.table_;
  const auto add_new = [&](std::uint32_t row) {
    if (!after.IsRemoved(row)) changes.push_back({.before = {}, .after = after.NumberAt(row)});
  };
  if (before == nullptr) {
    for (const std::uint32_t row : new_table.phone_number.rows) add_new(row);
    return changes;
  }
  const AvailabilityTable& old_table = *before->table_;
  const auto add_old = [&](std::uint32_t row) {
    if (!before->IsRemoved(row)) changes.push_back({.before = before->NumberAt(row), .after = {}});
  };
  if (before->table_ == after.table_) {
    std::vector<std::uint32_t> rows;
    std::set_symmetric_difference(before->removed_.begin(), before->removed_.end(),
                                  after.removed_.begin(), after.removed_.end(),
                                  std::back_inserter(rows));
    std::sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
      return new_table.keys[a] < new_table.keys[b];
    });
    for (const std::uint32_t row : rows) {
      add_old(row);
      add_new(row);
    }
    return changes;
  }
  const auto merge = [&](std::uint32_t old_row, std::uint32_t new_row) {
    const bool was_there = !before->IsRemoved(old_row);
    const bool is_there = !after.IsRemoved(new_row);
    if (was_there && is_there && old_table.Entry(old_row) == new_table.Entry(new_row)) return;
    NumberChange change;
    if (was_there) change.before = before->NumberAt(old_row);
    if (is_there) change.after = after.NumberAt(new_row);
    if (was_there || is_there) changes.push_back(std::move(change));
  };
  auto old_row = old_table.phone_number.rows.begin();
  auto new_row = new_table.phone_number.rows.begin();
  const auto old_end = old_table.phone_number.rows.end();
  const auto new_end = new_table.phone_number.rows.end();
  while (old_row != old_end || new_row != new_end) {
    if (new_row == new_end ||
        (old_row != old_end && old_table.keys[*old_row] < new_table.keys[*new_row])) {
      add_old(*old_row++);
    } else if (old_row == old_end || new_table.keys[*new_row] < old_table.keys[*old_row]) {
      add_new(*new_row++);
    } else {
      merge(*old_row++, *new_row++);
    }
  }
  return changes;
}

}  // namespace leasegateway
