"""What is known of a crash on one line: in its order, with nothing made up where nothing is known."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from cachewright.demo.crash import Crash, Seen
from cachewright.demo.failover import show_crash, show_where_to_look
from cachewright.demo.time_line import gap, moments, since, strip
from cachewright.demo.writer import Write

BEGAN = datetime(2026, 5, 1, 12, 0, 0, 942000, tzinfo=UTC)
FORMER = {"Node": "orders-001", "ReplicationGroupId": "orders", "RunId": "first", "ProcessId": 11, "Zone": "us-east-1a", "Address": "127.101.0.1"}
FAILED_OVER = "Failover from primary node orders-001 to replica node orders-002 completed"


def at(milliseconds: float) -> datetime:
    return BEGAN + timedelta(milliseconds=milliseconds)


def event(milliseconds: float, source: str, message: str) -> dict[str, Any]:
    return {"Date": at(milliseconds), "SourceIdentifier": source, "Message": message}


GOT_OVER = Crash(
    former=FORMER,
    began=BEGAN,
    process_ended=at(9.3),
    writes=[Write(1, at(-4), "first"), Write(2, at(2.25), "first"), Write(4, at(60.5), "second"), Write(5, at(62), "second")],
    missing=0,
    elections=[{"At": at(40), "Elected": "orders-002", "Epoch": 2, "Because": "orders-001 is lost; most bytes replicated (26600)"}],
    events=[event(40, "orders-002", FAILED_OVER), event(40, "orders", FAILED_OVER), event(60, "orders-001", "Recovering cache nodes 0001")],
    back=Seen(at(150.9), {**FORMER, "ProcessId": 12, "RunId": "third"}),
    until=at(180),
    names={"first": "orders-001", "second": "orders-002", "third": "orders-001"},
)
NOT_GOT_OVER = replace(GOT_OVER, writes=GOT_OVER.writes[:2], missing=None, elections=[], events=[], back=None, until=at(15000))


def printed(known: Crash) -> list[str]:
    paper = io.StringIO()
    show_crash(Console(file=paper, highlight=False, soft_wrap=True), known)
    return paper.getvalue().splitlines()


def test_everything_stands_in_its_order() -> None:
    shown = [(since(GOT_OVER, moment.at), moment.kind) for moment in moments(GOT_OVER)]
    assert shown == [(0, "kill"), (2, "write"), (9, "process"), (40, "election"), (40, "event"), (60, "event"), (60, "write"), (150, "node")]


def test_the_sentences_name_who_did_what() -> None:
    kill, last, _, election, failed_over, recovering, first, back = [moment.says for moment in moments(GOT_OVER)]
    assert "orders-001" in kill and "SIGKILL" in kill and "11" in kill
    assert last.startswith("order:2 is the last one that orders-001")
    assert election == "orders-002 at epoch 2: orders-001 is lost; most bytes replicated (26600)"
    assert failed_over == FAILED_OVER
    assert recovering == "orders-001: Recovering cache nodes 0001"
    assert first == "order:4 is acknowledged at the same endpoint, by orders-002"
    assert back == "orders-001 is a replica in sync, zone and address as before, process 12"


def test_a_node_that_comes_back_elsewhere_is_not_called_as_before() -> None:
    assert GOT_OVER.back is not None
    moved = replace(GOT_OVER, back=Seen(at(150), {**GOT_OVER.back.node, "Zone": "us-east-1c"}))
    assert moments(moved)[-1].says == "orders-001 is a replica in sync, in us-east-1c at 127.101.0.1, process 12"


def test_an_engine_whose_node_is_not_known_is_named_by_its_run_id() -> None:
    assert any("by second" in moment.says for moment in moments(replace(GOT_OVER, names={})))


def test_what_did_not_happen_is_left_out() -> None:
    assert [moment.kind for moment in moments(NOT_GOT_OVER)] == ["kill", "write", "process"]
    assert [moment.kind for moment in moments(replace(NOT_GOT_OVER, writes=[], process_ended=None))] == ["kill"]


def test_the_gap_is_between_the_two_engines() -> None:
    assert gap(GOT_OVER) == pytest.approx(58.25)
    assert gap(NOT_GOT_OVER) is None


@pytest.mark.parametrize("until", [1, 74, 75, 76, 180, 15000])
def test_the_strip_fits_and_reaches_to_the_end(until: int) -> None:
    writes = [Write(1, at(-0.5), "first"), Write(2, at(until - 0.5), "second")]
    signs, each = strip(replace(GOT_OVER, writes=writes, until=at(until)))
    assert len(signs) <= 90
    assert signs.index("|") == 14, "the sign before the crash"
    assert signs.count("|") == 2 and 15 + (until - 0.5) // each == signs.rindex("|")


def test_a_strip_of_no_writes_is_dots() -> None:
    assert set(strip(replace(NOT_GOT_OVER, writes=[])).signs) == {"."}


def test_it_is_readable_in_a_hundred_columns() -> None:
    assert max(map(len, printed(GOT_OVER))) <= 100
    assert printed(GOT_OVER)[-1] == "  4 writes acknowledged, 0 of them missing"


def test_a_missing_write_is_not_passed_over() -> None:
    *_, counted, advice = printed(replace(GOT_OVER, missing=2))
    assert counted.endswith("2 of them missing")
    assert "WAIT" in advice


def test_a_failover_that_did_not_come_is_said_plainly() -> None:
    assert printed(NOT_GOT_OVER)[-1] == "  2 writes acknowledged, which cannot be read back now"
    paper = io.StringIO()
    show_where_to_look(Console(file=paper, soft_wrap=True), NOT_GOT_OVER, "http://there")
    assert "Within 15 s no other node took a write" in paper.getvalue()
    assert "http://there/v1/replication-groups/orders/history" in paper.getvalue()


def test_a_node_that_did_not_come_back_is_said_plainly() -> None:
    paper = io.StringIO()
    show_where_to_look(Console(file=paper, soft_wrap=True), replace(GOT_OVER, back=None), "http://there")
    assert "orders-001 was not seen back in sync" in paper.getvalue()
