#include "upstream/leasing/journal/sqlite/journal_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using testing::HasSubstr;

// --- damage -------------------------------------------------------------------------------------

// Entries that are told, the files as a killed process leaves them, and what the log had before the
// last of them.
struct Image {
  std::vector<v1::Operation> told;
  std::string file;
  std::string log;
  std::size_t log_before_last = 0;
};

class DamagedFileTest : public SqliteJournalTest {
 protected:
  // In the file: the first `in_file`; in the log: the others.
  Image Make(int in_file, int in_log) {
    Image image;
    Open();
    for (int i = 0; i < in_file; ++i) image.told.push_back(MustBegin(absl::StrCat("id-", i)));
    Open();
    for (int i = 0; i < in_log; ++i) {
      if (i == in_log - 1) image.log_before_last = fs::file_size(Log());
      image.told.push_back(MustBegin(absl::StrCat("id-", in_file + i)));
    }
    image.file = Read(path_);
    if (in_log > 0) image.log = Read(Log());
    Close();
    if (in_log == 0) image.file = Read(path_);
    return image;
  }
  fs::path Log() const { return path_.string() + "-wal"; }
  void Put(const std::string& file, const std::string& log) {
    fs::remove(Log());
    Overwrite(path_, file);
    if (!log.empty()) Overwrite(Log(), log);
  }

  struct Outcome {
    bool opened = false;
    int found = 0;  // as they were told, from the first on without a gap
  };
  // Whatever happened to the file, no operation is another one than was told.
  Outcome Look(const Image& image) {
    Outcome outcome;
    auto opened = SqliteJournal::Open(MakeOptions());
    if (!opened.ok()) {
      ExpectUnavailable(opened.status(), path_);
      return outcome;
    }
    outcome.opened = true;
    journal_ = *std::move(opened);
    if (!callers_) callers_.emplace();
    bool gap = false;
    for (const auto& operation : image.told) {
      const auto found = Find(operation.request_id());
      if (!found.ok()) ExpectUnavailable(found.status(), "");
      const bool there = found.ok() && *found;
      if (there) {
        EXPECT_EQ((*found)->entry.operation.SerializeAsString(), operation.SerializeAsString());
      }
      gap = gap || !there;
      if (!gap) ++outcome.found;
    }
    const auto adopted = callers_->Get(journal_->Adopt("acme", 1'000, false));
    if (adopted.ok()) {
      EXPECT_GE(static_cast<int>(adopted->size()), outcome.found);
    }
    journal_.reset();
    return outcome;
  }

  std::mt19937 random_{20240229};
  std::size_t Below(std::size_t limit) { return random_() % limit; }
};

TEST_F(DamagedFileTest, ChangedBytesAreRefusedOrHarmless) {
  const Image image = Make(40, 0);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string file = image.file;
    const std::size_t at = Below(file.size());
    for (std::size_t i = at; i < std::min(file.size(), at + 1 + Below(16)); ++i) {
      file[i] = static_cast<char>(random_());
    }
    Put(file, "");
    const auto outcome = Look(image);
    if (!outcome.opened) {
      ++refused;
    } else {
      EXPECT_EQ(outcome.found, 40) << "round " << round;
    }
  }
  EXPECT_GT(refused, 30);
}

TEST_F(DamagedFileTest, CutFileIsRefused) {
  const Image image = Make(40, 0);
  for (int round = 0; round < 100; ++round) {
    Put(image.file.substr(0, 1 + Below(image.file.size() - 1)), "");
    EXPECT_FALSE(Look(image).opened);
  }
}

TEST_F(DamagedFileTest, ChangedLogLosesNothingBeforeTheChange) {
  const Image image = Make(10, 10);
  Put(image.file, image.log);
  EXPECT_EQ(Look(image).found, 20);
  for (int round = 0; round < 200; ++round) {
    std::string log = image.log;
    const std::size_t at = Below(log.size());
    log[at] = static_cast<char>(log[at] ^ (1 + Below(255)));
    Put(image.file, log);
    const auto outcome = Look(image);
    EXPECT_TRUE(!outcome.opened || outcome.found >= 10);
  }
}

// SQLite would begin anew and delete the log, with all that was told.
TEST_F(DamagedFileTest, LogWithoutItsFileIsRefusedAndKept) {
  const Image image = Make(0, 10);
  Put("", image.log);
  ExpectUnavailable(TryOpen(), "lost or empty");
  fs::remove(path_);
  ExpectUnavailable(TryOpen(), "lost or empty");
  EXPECT_EQ(Read(Log()), image.log);
  Put(image.file, image.log);
  EXPECT_EQ(Look(image).found, 10);
}

TEST_F(DamagedFileTest, TornLastTransactionLosesNothingElse) {
  const Image image = Make(10, 10);
  ASSERT_LT(image.log_before_last, image.log.size());
  for (int round = 0; round < 200; ++round) {
    std::string log = image.log;
    const std::size_t at = image.log_before_last + Below(image.log.size() - image.log_before_last);
    if (round % 2 == 0) {
      log.resize(at);
    } else {
      for (std::size_t i = at; i < log.size(); ++i) log[i] = static_cast<char>(random_());
    }
    Put(image.file, log);
    const auto outcome = Look(image);
    EXPECT_TRUE(outcome.opened);
    EXPECT_GE(outcome.found, 19);
  }
}

// What SQLite's own check can't see.
TEST_F(DamagedFileTest, ChangedContentsAreRefused) {
  Make(5, 0);
  Sql("UPDATE operation SET"
      " operation = CAST(replace(CAST(operation AS TEXT), 'caller', 'cellar') AS BLOB)"
      " WHERE request_id = 'id-3'");
  ExpectUnavailable(TryOpen(), "damaged");
}

// --- opening ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, NewFileIsForItsOwner) {
  Open();
  MustBegin("a");
  for (const auto& entry : fs::directory_iterator(directory_)) {
    EXPECT_EQ(fs::status(entry.path()).permissions(),
              fs::perms::owner_read | fs::perms::owner_write)
        << entry.path();
  }
}

TEST_F(SqliteJournalTest, EmptyFileBecomesAJournal) {
  Overwrite(path_, "");
  Open();
  MustBegin("a");
  Open();
  EXPECT_TRUE(Has("a"));
}

TEST_F(SqliteJournalTest, EmptyDatabaseOfVersionZeroIsMigrated) {
  Sql("VACUUM");
  Open();
  MustBegin("a");
  Close();
  // Fails unless the version is 3.
  Sql("CREATE TEMP TABLE version (v INTEGER CHECK (v = 3));"
      "INSERT INTO version SELECT user_version FROM pragma_user_version");
}

TEST_F(SqliteJournalTest, ForeignFilesAreRefusedAndLeftAsTheyAre) {
  Sql("CREATE TABLE recipe (name TEXT); INSERT INTO recipe VALUES ('soup')");
  const auto before = Read(path_);
  ExpectUnavailable(TryOpen(), "of something else");
  EXPECT_EQ(Read(path_), before);

  Overwrite(path_, std::string(10'000, 'x'));
  ExpectUnavailable(TryOpen(), "not one of SQLite");
  EXPECT_EQ(Read(path_), std::string(10'000, 'x'));
}

TEST_F(SqliteJournalTest, NewerVersionIsRefused) {
  Open();
  Close();
  Sql("PRAGMA user_version = 7");
  const auto status = TryOpen();
  ExpectUnavailable(status, path_);
  ExpectUnavailable(status, "version 7");
  ExpectUnavailable(status, "up to 3");
}

TEST_F(SqliteJournalTest, FileOfVersionOneIsMigratedWithItsCallers) {
  Open();
  for (const char* id : {"a", "b"}) MustBegin(id);
  ASSERT_TRUE(Update(WithState(MakeEntry("b").operation, v1::OPERATION_STATE_SENT)).ok());
  Close();
  Sql("DROP TABLE spending; DROP INDEX operation_list_caller; DROP INDEX operation_list_kind;"
      "DROP INDEX operation_passing; ALTER TABLE operation DROP COLUMN caller;"
      "PRAGMA user_version = 1");
  Open();
  auto query = QueryOf("acme");
  query.caller = "caller of b";
  EXPECT_THAT(ListIds(query), testing::ElementsAre("b"));
  EXPECT_EQ((*Find("b"))->entry.operation.state(), v1::OPERATION_STATE_SENT);
  MustBegin("c");
}

TEST_F(SqliteJournalTest, RowWithAnotherCallerThanItsOperationIsDamaged) {
  Open();
  MustBegin("a");
  Close();
  Sql("UPDATE operation SET caller = 'other'");
  ExpectUnavailable(TryOpen(), "damaged");
}

TEST_F(SqliteJournalTest, SecondOpenerIsRefused) {
  Open();
  MustBegin("a");
  ExpectUnavailable(TryOpen(), "another process");
  MustBegin("b");
  Close();
  // And a process of its own, that holds it until it is told to end.
  int ready[2], end[2];
  ASSERT_EQ(pipe(ready) + pipe(end), 0);
  const pid_t child = fork();
  char byte = 0;
  if (child == 0) {
    close(end[1]);
    Open();
    const bool told = write(ready[1], "x", 1) == 1;
    const auto ended = read(end[0], &byte, 1);
    _exit(told && ended == 0 ? 0 : 1);
  }
  close(end[0]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ExpectUnavailable(TryOpen(), "another process");
  close(end[1]);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  Open();
  EXPECT_TRUE(Has("a") && Has("b"));
}

TEST_F(SqliteJournalTest, PathsThatCanNotBeUsedAreRefused) {
  const fs::path good = path_;
  path_ = directory_ / "nowhere" / "journal.db";
  ExpectUnavailable(TryOpen(), "there is no directory");
  path_ = directory_;
  ExpectUnavailable(TryOpen(), "no regular file");
  path_ = good;
  auto options = MakeOptions();
  options.retention = hours(23);
  EXPECT_EQ(SqliteJournal::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SqliteJournalTest, WithoutTheRightToWriteItIsRefused) {
  Open();
  Close();
  chmod(path_.c_str(), 0444);
  chmod(directory_.c_str(), 0755);
  const auto as_nobody = [this] {
    return InChild([this]() -> std::string {
      if (geteuid() == 0 && setuid(65'534) != 0) return "still root";
      const auto status = TryOpen();
      return absl::StrCat(ReasonOf(status), " ", std::string(status.message()));
    });
  };
  EXPECT_THAT(as_nobody(), HasSubstr("can't be written to"));
  fs::remove(path_);
  chmod(directory_.c_str(), 0555);
  EXPECT_THAT(as_nobody(), HasSubstr("can't be made: Permission denied"));
  chmod(directory_.c_str(), 0755);
}

}  // namespace
}  // namespace leasegateway
