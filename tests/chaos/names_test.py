"""Shows what is drawn for the provider's name, and that the name server does it: asked by dnslib."""

import asyncio
import collections
import os
import random
import socket
import struct
import time
import unittest

from dnslib import QTYPE, RCODE, DNSRecord

import names
import plan
import plan_names
import plan_replicas
from plan_names import HANGS, LIVING, REFUSES, Span

NAME = names.host(0)
SHORT, LONG = 0.3, 20.0  # seconds for an answer that does not come, and for one that does


class PlanTest(unittest.TestCase):
    def draw(self, first, replicas=1):
        return plan_names.draw_spans("7", first, replicas)

    def test_the_same_seed_draws_the_same(self):
        for first in range(0, 3200, plan.BATCH):
            for replicas in (1, 3):
                self.assertEqual(self.draw(first, replicas), self.draw(first, replicas))

    def test_calm_batches_have_none_and_others_have(self):
        for first in range(0, 3200, plan.BATCH):
            self.assertEqual(bool(self.draw(first)), not plan_names.is_calm(first))
            self.assertFalse(plan.is_poisoned(first) and self.draw(first))
        calm = [first for first in range(0, 3200, plan.BATCH) if plan_names.is_calm(first)]
        self.assertLess(len(calm), 10)

    def test_all_kinds_are_drawn_and_for_each_gateway(self):
        for replicas in (1, 3):
            spans = [span for first in range(0, 20_000, plan.BATCH) for span in self.draw(first, replicas)]
            self.assertEqual({span.kind for span in spans}, set(plan_names.KINDS))
            self.assertEqual({span.replica for span in spans}, set(range(replicas)))

    def test_afterwards_all_gateways_may_learn_the_name_first(self):
        for first in range(0, 3200, plan.BATCH):
            spans = plan_names.draw_spans("7", first, 3, afterwards=True)
            self.assertEqual(bool(spans), not plan_names.is_calm(first))
            self.assertTrue(all(span.spares_the_ignorant for span in spans))
            self.assertNotEqual([span.kind for span in spans] or None,
                                [span.kind for span in self.draw(first, 3)])

    def test_spans_of_a_gateway_do_not_overlap(self):
        for first in range(0, 3200, plan.BATCH):
            ends = {}
            for span in self.draw(first, 3):
                self.assertGreaterEqual(span.at, ends.get(span.replica, plan_replicas.QUIET_START))
                ends[span.replica] = span.at + span.seconds

    def test_no_answer_leaves_out_where_the_provider_is(self):
        for first in range(0, 20_000, plan.BATCH):
            for span in self.draw(first):
                about = span.about()
                self.assertIn(LIVING, about["A"])
                if span.kind.startswith("dead"):
                    self.assertTrue({REFUSES, HANGS, "::1"} & {*about["A"], *about["AAAA"]})
                    self.assertNotIn("fault", about)
                elif span.kind.startswith("late"):
                    self.assertGreater(about["delay"][span.family], 0)
                elif span.kind != "gone":
                    self.assertEqual(list(about["fault"]), [span.family])
                # That one family's name is not there would say it of the other too.
                self.assertNotEqual(about.get("fault", {}).get("A"), "nxdomain")


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.log = open(os.devnull, "wb")
        self.server = names.NameServer(1, self.log)

    def tearDown(self):
        self.server.stop()
        self.log.close()

    def packets(self, kind="A", seconds=LONG, over="udp", least=1):
        """What comes for one question, each parsed where that is possible; and the question."""
        question = DNSRecord.question(NAME, kind)
        packet = question.pack()
        if over == "tcp":
            with socket.create_connection(("127.0.0.1", self.server.port), LONG) as connection:
                connection.settimeout(seconds)
                connection.sendall(struct.pack("!H", len(packet)) + packet)
                stream = connection.makefile("rb")
                length = stream.read(2)
                return [DNSRecord.parse(stream.read(struct.unpack("!H", length)[0]))] if length else [
                    ], question
        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(seconds)
            asking.connect(("127.0.0.1", self.server.port))
            asking.send(packet)
            try:
                while len(found) < least:
                    found.append(asking.recv(65535))
            except OSError:
                pass
        return found, question

    def answer(self, kind="A", **more):
        (packet, *_), question = self.packets(kind, **more)
        answer = packet if isinstance(packet, DNSRecord) else DNSRecord.parse(packet)
        self.assertEqual(answer.header.id, question.header.id)
        return answer

    def addresses(self, kind="A", **more):
        return [str(each.rdata) for each in self.answer(kind, **more).rr if each.rtype == getattr(QTYPE, kind)]

    def tell(self, **span):
        self.server.tell(NAME, Span(0, 0, **span).about())

    def test_it_says_where_the_provider_is(self):
        self.assertEqual(self.addresses(), [LIVING])
        self.assertEqual(self.addresses("AAAA"), [])
        self.assertEqual(self.answer("AAAA").header.rcode, RCODE.NOERROR)

    def test_it_swallows_questions(self):
        self.tell(kind="swallow")
        for kind in ("A", "AAAA"):
            self.assertEqual(self.packets(kind, SHORT)[0], [])
        self.tell(kind="swallow-one", family="AAAA")
        self.assertEqual(self.packets("AAAA", SHORT)[0], [])
        self.assertEqual(self.addresses(), [LIVING])
        self.assertEqual(self.server.count()["swallow"], 3)

    def test_one_family_is_late(self):
        self.tell(kind="late-one", family="A", delay=0.5)
        start = time.monotonic()
        self.assertEqual(self.addresses(), [LIVING])
        self.assertGreaterEqual(time.monotonic() - start, 0.5)
        self.assertEqual(self.addresses("AAAA"), [])
        self.assertEqual(self.server.count(), {"delay": 1})

    def test_it_refuses(self):
        for kind, code in (("servfail", RCODE.SERVFAIL), ("refused", RCODE.REFUSED),
                           ("nxdomain", RCODE.NXDOMAIN)):
            self.tell(kind=kind)
            self.assertEqual(self.answer().header.rcode, code)

    def test_it_truncates_and_has_all_over_tcp_or_not(self):
        for kind, all_of_it in (("truncate", [LIVING]), ("cut", None)):
            self.tell(kind=kind)
            self.assertEqual((self.answer().header.tc, self.addresses()), (1, []))
            if all_of_it:
                self.assertEqual(self.addresses(over="tcp"), all_of_it)
            else:
                self.assertEqual(self.packets(over="tcp")[0], [])

    def test_it_sends_garbage_and_the_answer_to_another_question(self):
        self.tell(kind="garbage")
        found, question = self.packets(least=2)
        self.assertEqual(len(found), 2)
        for packet in found:
            self.assertNotEqual(struct.unpack("!H", packet[:2])[0], question.header.id)

    def test_it_adds_a_dead_address(self):
        self.tell(kind="dead", dead=REFUSES, dead_first=True)
        self.assertEqual(self.addresses(), [REFUSES, LIVING])
        self.tell(kind="dead", dead=HANGS)
        self.assertEqual(self.addresses(), [LIVING, HANGS])
        self.tell(kind="dead-ipv6", family="AAAA", dead="::1")
        self.assertEqual((self.addresses(), self.addresses("AAAA")), ([LIVING], ["::1"]))

    def test_it_is_gone_and_comes_back_with_what_it_was_told(self):
        self.tell(kind="nxdomain")
        self.answer()
        self.server.stop()
        self.assertEqual(self.packets(seconds=SHORT)[0], [])
        self.tell(kind="servfail")
        self.server.start()
        self.assertEqual(self.answer().header.rcode, RCODE.SERVFAIL)
        self.assertEqual(self.server.count(), {"nxdomain": 1, "servfail": 1})

    def test_a_gateway_that_does_not_know_the_name_may_learn_it_first(self):
        self.assertEqual(asyncio.run(self.strike(spares=True, knows=False)), ([], 0))
        for spares, knows in ((True, True), (False, False)):
            self.assertEqual(asyncio.run(self.strike(spares, knows)), ([{"*": "servfail"}, None], 1))

    async def strike(self, spares, knows):
        """The faults that the server is told of by a span that is cut short, and how many have struck."""
        said, looks = [], []

        class Server:
            def tell(self, name, about):
                said.append(about.get("fault"))

        def look(_):
            looks.append(knows)
            return knows

        one = names.Names.__new__(names.Names)
        one.replicas, one.server, one.spans, one.under_way = 1, Server(), collections.Counter(), set()
        span = Span(0, 1e6, "servfail", spares_the_ignorant=spares)
        striking = asyncio.create_task(one.strike([span], look))
        while not said and len(looks) < 5:
            await asyncio.sleep(0.001)
        striking.cancel()
        await asyncio.gather(striking, *one.under_way, return_exceptions=True)
        return said, one.spans["servfail"]

    def test_an_address_hangs(self):
        port = random.randrange(20_000, 32_000)
        hanging = names.Hanging(HANGS, port)
        with socket.socket() as connecting:
            connecting.settimeout(SHORT)
            with self.assertRaises(TimeoutError):
                connecting.connect((HANGS, port))
        hanging.close()


if __name__ == "__main__":
    unittest.main()
