#include "upstream/availability/logged_lists.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "upstream/availability/leases_reply.h"
#include "upstream/availability/list_delta.h"

namespace leasegateway {
namespace {

// After so many entries a list is stored as a whole again, however small they are.
constexpr std::size_t kMostEntriesSinceWhole = 256;

// A list that entries are applied to, one after the other.
class Draft {
 public:
  Draft(SharedList list, const LoggedLists::List& before, const PinBytes& pin)
      : list_(list), now_(before), pin_(pin) {}

  void Apply(const LogEntry& entry);
  // `fetch`: what the head says, where the entries reach it.
  LoggedLists::List Finish(const SharedFetch* fetch);

 private:
  void ApplyWrite(const LogEntry& entry);
  void ApplyList(const LogEntry& entry);
  void TakeFromBytes(const Write& write, std::uint64_t sequence);
  void Forget() {
    now_.numbers.reset();
    now_.leases = {};
    bytes_.reset();
  }
  std::string_view reply() const { return bytes_ ? std::string_view(*bytes_) : now_.reply(); }
  bool is_known() const { return bytes_ || now_.is_known(); }
  v1::ResponseMetadata MetadataBefore() const;

  const SharedList list_;
  LoggedLists::List now_;
  const PinBytes& pin_;
  std::optional<std::string> bytes_;  // the entries, where `now_` has them no more
  v1::ResponseMetadata metadata_;     // of `now_`, when there are `bytes_`
};

v1::ResponseMetadata Draft::MetadataBefore() const {
  if (now_.numbers) return now_.numbers->metadata();
  if (now_.leases) return MetadataOfLeases(now_.leases);
  return metadata_;
}

void Draft::Apply(const LogEntry& entry) {
  if (entry.kind == LogEntry::Kind::kWrite) {
    ApplyWrite(entry);
  } else if ((entry.kind == LogEntry::Kind::kNumbers) == (list_ == SharedList::kNumbers)) {
    ApplyList(entry);
  }
}

void Draft::ApplyWrite(const LogEntry& entry) {
  if (!is_known()) return;
  const auto write = entry.is_readable ? DecodeWrite(entry.content) : std::nullopt;
  if (!write) return Forget();
  if (list_ == SharedList::kLeases) {
    if (!write->changes_leases()) return;
    metadata_ = MetadataBefore();
    auto leases = ParseBytes<v1::ListLeasesResponse>(reply());
    ApplyTo(leases, *write);
    leases.clear_metadata();
    leases.clear_total_size();
    bytes_ = SerializeInOrder(leases);
    now_.leases = {};
    now_.changed_at = entry.sequence;
    return;
  }
  if (!write->takes_from_available()) return;
  if (!now_.numbers) return TakeFromBytes(*write, entry.sequence);
  if (auto without = now_.numbers->Without(write->phone_number, pin_)) {
    now_.numbers = std::move(without);
    now_.changed_at = entry.sequence;
  }
}

void Draft::TakeFromBytes(const Write& write, std::uint64_t sequence) {
  const auto entries = EntriesOf(*bytes_);
  if (!entries) return Forget();
  std::string rest;
  rest.reserve(bytes_->size());
  for (const std::string_view entry : *entries) {
    const bool is_it =
        entry.find(write.phone_number) != std::string_view::npos &&
        ParseBytes<v1::ListAvailableNumbersResponse>(entry).numbers(0).phone_number() ==
            write.phone_number;
    if (!is_it) rest.append(entry);
  }
  if (rest.size() != bytes_->size()) now_.changed_at = sequence;
  *bytes_ = std::move(rest);
}

void Draft::ApplyList(const LogEntry& entry) {
  const bool can_be = entry.is_readable && (entry.is_whole || is_known());
  const auto before = entry.is_whole ? std::vector<std::string_view>() : EntriesOf(reply());
  auto after = can_be && before ? ApplyDelta(*before, entry.content) : std::nullopt;
  metadata_ = MetadataBefore();
  Forget();
  bytes_ = std::move(after);
  now_.changed_at = entry.sequence;
}

LoggedLists::List Draft::Finish(const SharedFetch* fetch) {
  if (fetch != nullptr) {
    // The same moment, as two exchanges tell it: the nearer guess stays.
    const auto sent = fetch->time == now_.fetch.time && now_.fetch.time != 0
                          ? std::max(fetch->sent, now_.fetch.sent)
                          : fetch->sent;
    now_.fetch = *fetch;
    now_.fetch.sent = sent;
  }
  if (!is_known()) return std::move(now_);
  v1::ResponseMetadata metadata = MetadataBefore();
  const bool is_newer = fetch != nullptr && metadata.ParseFromString(fetch->metadata);
  if (!bytes_ && (!is_newer || SerializeInOrder(MetadataBefore()) == SerializeInOrder(metadata))) {
    return std::move(now_);
  }
  if (!bytes_) {
    // Only that, and whatever is made of the list stays.
    if (now_.numbers) {
      now_.numbers = now_.numbers->Renewed(std::move(metadata), pin_);
    } else {
      now_.leases = RenewedLeases(now_.leases, std::move(metadata), pin_);
    }
  } else if (list_ == SharedList::kNumbers) {
    const auto numbers = ParseBytes<v1::ListAvailableNumbersResponse>(reply());
    now_.numbers = Availability::Build(numbers.numbers(), metadata, pin_);
  } else {
    auto leases = ParseBytes<v1::ListLeasesResponse>(reply());
    leases.set_total_size(leases.leases_size());
    *leases.mutable_metadata() = std::move(metadata);
    now_.leases = WholeReply(pin_(SerializeInOrder(leases)));
  }
  return std::move(now_);
}

// Whether the head's word of a list is newer than what is known: by its time, or because the
// database's clock was set back since. A page that is late does not look so: it is for seconds.
bool IsNewer(const SharedFetch& head, const SharedFetch& known, std::int64_t now) {
  if (head.time >= known.time) return true;
  constexpr std::chrono::microseconds kLate{std::chrono::seconds(5)};
  return now != 0 && known.time > now + kLate.count();
}

// The entry that follows; null: the page has none.
const LogEntry* Next(const LogPage& page, std::uint64_t sequence, std::size_t* place) {
  while (*place < page.entries.size() && page.entries[*place].sequence <= sequence) ++*place;
  if (*place == page.entries.size() || page.entries[*place].sequence != sequence + 1) {
    return nullptr;
  }
  return &page.entries[*place];
}

}  // namespace

std::string_view LoggedLists::List::reply() const {
  if (numbers) return numbers->list_reply().view();
  return leases ? leases.view() : std::string_view();
}

LoggedLists Advance(const LoggedLists& before, const LogPage& page, const PinBytes& pin) {
  if (page.log != before.log || page.is_lost || page.sequence < before.sequence) return before;
  Draft numbers(SharedList::kNumbers, before[SharedList::kNumbers], pin);
  Draft leases(SharedList::kLeases, before[SharedList::kLeases], pin);
  LoggedLists after = before;
  std::size_t place = 0;
  while (const LogEntry* const entry = Next(page, after.sequence, &place)) {
    numbers.Apply(*entry);
    leases.Apply(*entry);
    after.sequence = entry->sequence;
    after.mark = entry->mark;
  }
  const bool reaches_head = after.sequence == page.sequence;
  const auto fetch = [&](SharedList list) -> const SharedFetch* {
    const SharedFetch& head = page.fetches[static_cast<std::size_t>(list)];
    return reaches_head && IsNewer(head, before[list].fetch, page.time) ? &head : nullptr;
  };
  after[SharedList::kNumbers] = numbers.Finish(fetch(SharedList::kNumbers));
  after[SharedList::kLeases] = leases.Finish(fetch(SharedList::kLeases));
  return after;
}

std::vector<EnteredWrite> WritesIn(const LogPage& page, std::uint64_t after) {
  std::vector<EnteredWrite> writes;
  std::size_t place = 0;
  for (std::uint64_t sequence = after; const LogEntry* const entry = Next(page, sequence, &place);
       ++sequence) {
    if (entry->kind != LogEntry::Kind::kWrite) continue;
    auto write = entry->is_readable ? DecodeWrite(entry->content) : std::nullopt;
    if (!write) write.emplace();
    writes.push_back({entry->sequence, entry->writer, entry->writer_count, *std::move(write)});
  }
  return writes;
}

LoggedLists::List Restored(SharedList list, const RestoredList& restored, std::uint64_t at,
                           const SharedFetch& fetch, const PinBytes& pin) {
  LoggedLists::List result;
  if (restored.whole) {
    Draft draft(list, {}, pin);
    draft.Apply(*restored.whole);
    std::uint64_t sequence = restored.whole->sequence;
    for (const LogEntry& entry : restored.entries) {
      if (entry.sequence != ++sequence) break;
      draft.Apply(entry);
    }
    if (sequence >= at) result = draft.Finish(&fetch);
    if (sequence < at) result.fetch = fetch;
  } else {
    result.fetch = fetch;
  }
  return result;
}

RefreshToLog RefreshOf(SharedList list, const LoggedLists& lists, std::string_view reply) {
  RefreshToLog refresh;
  refresh.list = list;
  refresh.at = lists.sequence;
  refresh.mark = lists.mark;
  const LoggedLists::List& before = lists[list];
  const auto old_entries = EntriesOf(before.reply());
  const auto new_entries = EntriesOf(reply);
  if (!new_entries) return refresh;
  const SharedFetch& fetch = before.fetch;
  const bool is_due = lists.sequence - fetch.whole_at >= kMostEntriesSinceWhole ||
                      fetch.delta_bytes > fetch.whole_bytes;
  // Others may not have what a difference would be to.
  const bool has_base = before.is_known() && old_entries && fetch.whole_at > 0;
  if (has_base && *old_entries == *new_entries) {
    if (is_due) refresh.checkpoint = EncodeDelta({}, *new_entries);
    return refresh;
  }
  std::string whole = EncodeDelta({}, *new_entries);
  std::string delta = has_base ? EncodeDelta(*old_entries, *new_entries) : whole;
  refresh.is_whole = !has_base || delta.size() >= whole.size() / 2;
  if (!refresh.is_whole && is_due) refresh.checkpoint = whole;
  refresh.delta = refresh.is_whole ? std::move(whole) : std::move(delta);
  return refresh;
}

}  // namespace leasegateway
