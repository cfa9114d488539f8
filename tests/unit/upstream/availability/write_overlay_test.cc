#include "upstream/availability/write_overlay.h"

#include <gtest/gtest.h>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using Effect = Write::Effect;
using std::chrono::seconds;

constexpr char kNumber[] = "+13050000001";

TEST(WriteOfTest, ReadsWriteNothing) {
  EXPECT_FALSE(WriteOf(operation::GetCallForwarding{kNumber}, Reply<v1::CallForwarding>()));
  EXPECT_FALSE(WriteOf(operation::GetNumber{kNumber}, absl::UnknownError("?")));
}

TEST(WriteOfTest, TheKindOfAnOperationSaysWhatItDid) {
  Reply<v1::Lease> lease;
  lease.value.set_lease_id("l1");
  auto write = WriteOf(operation::CreateLease{kNumber, {}}, lease);
  ASSERT_TRUE(write);
  EXPECT_EQ(write->effect, Effect::kLeased);
  EXPECT_EQ(write->phone_number, kNumber);
  EXPECT_EQ(write->lease.lease_id(), "l1");
  Reply<v1::Termination> ended;
  ended.value.set_lease_id("l2");
  write = WriteOf(operation::TerminateLease{kNumber}, ended);
  ASSERT_TRUE(write);
  EXPECT_EQ(write->effect, Effect::kEnded);
  EXPECT_EQ(write->lease.lease_id(), "l2");
  write = WriteOf(operation::DisableCallForwarding{kNumber}, Reply<v1::CallForwarding>());
  ASSERT_TRUE(write);
  EXPECT_EQ(write->effect, Effect::kConfigured);
}

TEST(WriteOfTest, OnlyWhatMayHaveBeenDoneIsUnknown) {
  const Operation operation = operation::CreateLease{kNumber, {}};
  for (const auto code :
       {absl::StatusCode::kAborted, absl::StatusCode::kInternal, absl::StatusCode::kUnknown,
        absl::StatusCode::kCancelled, absl::StatusCode::kDeadlineExceeded}) {
    const auto write = WriteOf(operation, absl::Status(code, "?"));
    ASSERT_TRUE(write) << absl::StatusCodeToString(code);
    EXPECT_EQ(write->effect, Effect::kUnknown);
  }
  for (const auto code : {absl::StatusCode::kUnavailable, absl::StatusCode::kInvalidArgument,
                          absl::StatusCode::kNotFound}) {
    EXPECT_FALSE(WriteOf(operation, absl::Status(code, "no"))) << absl::StatusCodeToString(code);
  }
}

TEST(WriteOverlayTest, NumbersWritesAndForgetsOldOnes) {
  const WriteOverlay::TimePoint start{std::chrono::hours(1)};
  WriteOverlay overlay;
  EXPECT_EQ(overlay.Add({}, start, seconds(60)).sequence, 1);
  EXPECT_EQ(overlay.Add({}, start + seconds(1), seconds(60)).sequence, 2);
  EXPECT_EQ(overlay.After(0).size(), 2);
  EXPECT_EQ(overlay.After(1).size(), 1);
  EXPECT_EQ(overlay.After(2).size(), 0);
  overlay.Add({}, start + seconds(61), seconds(60));
  EXPECT_EQ(overlay.After(0).size(), 2);
  EXPECT_EQ(overlay.count(), 3);
}

TEST(WriteOverlayTest, AWriteThatTheLogNeverGetsDoesNotHoldUpLaterOnes) {
  WriteOverlay overlay;
  for (int i = 0; i < 3; ++i) overlay.Add({}, {}, seconds(60));
  overlay.SetLogged(2, 7);
  EXPECT_EQ(overlay.SeenBy(6), 0U);
  EXPECT_EQ(overlay.SeenBy(7), 2U);
}

TEST(WriteOverlayTest, NoEntryIsLaterThanTheLogsLast) {
  WriteOverlay overlay;
  overlay.Add({}, {}, seconds(60));
  overlay.SetLogged(1, 9);
  overlay.LimitLogged(5);
  EXPECT_EQ(overlay.SeenBy(5), 1U);
  overlay.LimitLogged(0);  // another log, that has none yet
  EXPECT_EQ(overlay.SeenBy(0), 1U);
}

}  // namespace
}  // namespace leasegateway
