#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LOGGED_LISTS_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LOGGED_LISTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/availability/availability.h"
#include "upstream/availability/shared_bytes.h"
#include "upstream/availability/shared_lists.h"
#include "upstream/availability/write_overlay.h"

namespace leasegateway {

// The lists of an account as of one entry of the shared log. A plain value; what it points to is
// immutable.
struct LoggedLists {
  struct List {
    std::shared_ptr<const Availability> numbers;  // of kNumbers; null: not known
    ReplyBytes leases;             // of kLeases, a ListLeasesResponse; null: not known
    std::uint64_t changed_at = 0;  // the latest entry that made a difference to it
    SharedFetch fetch;

    bool is_known() const { return numbers != nullptr || leases; }
    // The reply that the list is, perhaps without what follows its entries; empty when it is not
    // known.
    std::string_view reply() const;
  };
  const List& operator[](SharedList list) const { return lists[static_cast<std::size_t>(list)]; }
  List& operator[](SharedList list) { return lists[static_cast<std::size_t>(list)]; }

  std::uint64_t log = 0;  // 0: nothing was read yet
  std::uint64_t sequence = 0;
  std::int64_t mark = 0;  // of entry `sequence`
  std::array<List, kSharedLists> lists;
};

// After the page's entries that follow `before`; those that it has already, it skips. A list whose
// entry can't be applied is not known from there on, until it comes as a whole. `pin` keeps bytes.
LoggedLists Advance(const LoggedLists& before, const LogPage& page, const PinBytes& pin);

// The writes among the page's entries that follow entry `after` without a gap. One that can't be
// read has an unknown effect on no number in particular.
struct EnteredWrite {
  std::uint64_t sequence = 0;
  std::uint64_t writer = 0;
  std::uint64_t writer_count = 0;
  Write write;
};
std::vector<EnteredWrite> WritesIn(const LogPage& page, std::uint64_t after);

// The list that was restored, as it belongs into a LoggedLists of entry `at`. Not known when it
// can't be read.
LoggedLists::List Restored(SharedList list, const RestoredList& restored, std::uint64_t at,
                           const SharedFetch& fetch, const PinBytes& pin);

// A refresh that makes of the list of `lists` the provider's answer `reply`, serialised. It is
// stored as a whole where the difference isn't much smaller or the log has no whole any more, and
// beside the difference now and then.
RefreshToLog RefreshOf(SharedList list, const LoggedLists& lists, std::string_view reply);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_LOGGED_LISTS_H_
