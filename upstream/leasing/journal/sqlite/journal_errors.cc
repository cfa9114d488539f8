#include "upstream/leasing/journal/sqlite/journal_errors.h"

#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"

namespace leasegateway {

absl::Status JournalUnavailable(std::string_view message) {
  return JournalError(message,
                      "The operator of the gateway must see to the file that it keeps its record "
                      "of purchases in.");
}

absl::Status DamagedEntryError() {
  return JournalUnavailable(
      "the operation journal: an entry is damaged, its contents don't match its checksum");
}

absl::Status JournalFailed(const SqliteDatabase& database, int code, std::string_view doing) {
  return JournalUnavailable(absl::StrCat("the operation journal can't be ", std::string(doing),
                                         ": ", DescribeSqlite(code, database.message())));
}

absl::Status JournalRefused(const std::string& path, std::string_view why) {
  return JournalUnavailable(absl::StrCat("the operation journal ", path, ": ", std::string(why)));
}

}  // namespace leasegateway
