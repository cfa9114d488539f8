"""Shows the judge each bar kept and missed."""

import dataclasses
import unittest

import judge


def record(calls=5, failed=(), lost=()):
    return {"calls": [[1.0, 2.0]] * calls, "failed": [[1.0, why] for why in failed],
            "lost": [[1.0, why] for why in lost]}


def good(**changes):
    seen = judge.Seen(
        idle_mib=30, peak_mib=200, settled_mib=60, timed=[1.0] * 99 + [40.0], lived_s=0.2, mild_s=1.0,
        others={"grpcio": record(), "grpc-js": record(), "watcher": record()}, cuts={"idle_frames": 3},
        must_be_cut=True, reasons=("idle_frames", "header_block"))
    return dataclasses.replace(seen, **changes)


class JudgeTest(unittest.TestCase):
    def missed(self, bars=judge.Bars(), knows_reasons=True, **changes):
        return judge.missed(good(**changes), bars, knows_reasons)

    def test_what_keeps_all_bars_passes(self):
        self.assertEqual(self.missed(), [])
        self.assertEqual(judge.row("x", good(), [])[-1], "pass")

    def test_each_bar_missed_is_said(self):
        for changes, said in (
                ({"peak_mib": 290}, ["260 MiB over idle"]),
                ({"settled_mib": 95}, ["65 MiB over idle 10 s later"]),
                ({"timed": [1.0] * 90 + [51.0] * 10}, ["p99 51 ms"]),
                ({"timed": [1.0] * 199 + [501.0]}, ["a call of 501 ms"]),
                ({"lived_s": 1.04}, ["cut after 1.0 s"]),
                ({"uncut": 2}, ["2 connections never cut"]),
                ({"wronged": 1}, ["1 connections cut that only didn't read"]),
                ({"mild_s": 3.2}, ["mild, cut after 3.2 s"]),
                ({"cuts": {"rapid_resets": 1, "idle_frames": 0}},
                 ["no connection was cut for idle_frames or header_block"]),
                ({"alive": False}, ["the gateway ended"]),
                ({"alive": False, "killed": True}, ["it took so much memory that the test ended it"])):
            self.assertEqual(self.missed(**changes), said)
            self.assertEqual(judge.row("x", good(**changes), said)[-1], "MISSED")

    def test_who_grpc_may_end_needs_no_cut_of_the_guards(self):
        self.assertEqual(self.missed(reasons=("header_block", judge.GRPC), cuts={}), [])
        self.assertEqual(self.missed(reasons=("header_block", judge.GRPC), cuts={}, uncut=2),
                         ["2 connections never cut"])

    def test_one_failed_call_or_lost_connection_of_anybody_is_missed(self):
        others = {**good().others, "slow link": record(failed=["UNAVAILABLE a", "UNAVAILABLE b"])}
        self.assertEqual(self.missed(others=others), ["slow link: 2 calls failed, such as UNAVAILABLE a"])
        others = {**good().others, "watcher": record(lost=["its watch ended"])}
        self.assertEqual(self.missed(others=others), ["watcher: 1 connections lost, such as its watch ended"])
        self.assertEqual(judge.row("x", good(others=others), [])[7], "1")

    def test_who_did_not_call_at_all_did_not_pass(self):
        self.assertEqual(self.missed(others={**good().others, "grpc-js": record(calls=0)}), ["grpc-js: no call ended"])

    def test_what_need_not_be_cut_may_stay(self):
        self.assertEqual(self.missed(must_be_cut=False, lived_s=9.0, uncut=2, mild_s=9.0, cuts={}), [])
        self.assertEqual(judge.row("x", good(must_be_cut=False), [])[8:10], ("", ""))

    def test_any_reason_does_where_none_is_named_or_known(self):
        self.assertEqual(self.missed(reasons=(), cuts={}), [])
        self.assertEqual(self.missed(knows_reasons=False, cuts={}), [])

    def test_a_busy_machine_has_more_time_and_no_more_memory(self):
        bars = judge.Bars().widened(4)
        self.assertEqual(self.missed(bars, timed=[150.0], lived_s=2.0, mild_s=6.0), [])
        self.assertEqual(self.missed(bars, timed=[201.0]), ["p99 201 ms"])
        self.assertEqual(self.missed(bars, peak_mib=290), ["260 MiB over idle"])
        self.assertEqual(judge.missed(good(others={"grpcio": record(failed=["x"])}), bars),
                         ["grpcio: 1 calls failed, such as x"])

    def test_percentiles_are_of_the_nearest_rank(self):
        self.assertEqual(judge.percentile([], 0.99), 0.0)
        self.assertEqual(judge.percentile([3, 1, 2], 0.5), 2)
        self.assertEqual(judge.percentile(range(1, 101), 0.99), 99)
        self.assertEqual(judge.percentile([7], 0.01), 7)

    def test_columns_are_aligned(self):
        lines = judge.table([judge.row("ping", good(), []), judge.row("empty_continuation", good(), ["x"])])
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[1].index("idle_frames"), lines[0].index("cut for"))
        self.assertTrue(lines[2].endswith("MISSED"))


if __name__ == "__main__":
    unittest.main()
