"""Measuring what runs: on one connection that is kept, again when it was closed, and never again and again within a second."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import let_pass, wait_until

from agents.metrics.sampler import Sampler
from agents.runtimes.runtime import Footprint, Handle
from api_schemas.agent.metrics import MetricsWanted, NodeMetrics
from api_schemas.agent.node import EngineBinary, NodeSpec, Role

KEY = "uid.orders-001"


class Engine:
    """Stands where an engine listens: answers each question with what it is told to say, in pieces; hangs up after ``patience`` answers."""

    def __init__(self, says: str | None = None, patience: int = 1000) -> None:
        self.says = says if says is not None else told(hits=5)
        self.patience = patience
        self.asked: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # else who waits for the next caller still takes that one
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        for _ in range(self.patience):
            asked = connection.recv(4096)
            if not asked:
                return
            self.asked.append(asked)
            for piece in (self.says[:7], self.says[7:]):
                connection.sendall(piece.encode())
                let_pass(0.005)


def told(hits: int, uptime: int = 1000) -> str:
    info = f"# Server\r\nuptime_in_seconds:{uptime}\r\nkeyspace_hits:{hits}\r\n"
    return f"${len(info)}\r\n{info}\r\n"


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[Sampler]:
    made = Sampler("agent-a", tmp_path, lambda handle: Footprint(1000, 0), every=60)
    yield made
    made.close()


def a_spec(engine: Engine, name: str = "valkey", **fields: int) -> NodeSpec:
    return NodeSpec(key=KEY, generation=1, binary=EngineBinary(engine=name, version="9.1.2", path="/bin/true"), zone="us-east-1a",
                    address="127.0.0.1", port=engine.port, role=Role.PRIMARY, epoch=1, **{"memory": 5000, **fields})  # fmt: skip


def a_handle(boot: int = 1) -> Handle:
    return Handle("process", KEY, boot, 4711, boot)


def measured(sampler: Sampler) -> NodeMetrics | None:
    found = sampler.measure(MetricsWanted(counters=True))
    return found[0] if found else None


def hits(sampler: Sampler) -> float | None:
    found = measured(sampler)
    return found.counters.get("CacheHits") if found is not None else None


def test_who_asks_has_it_measured_but_not_more_than_once_a_second(sampler: Sampler) -> None:
    engine = Engine()
    sampler.watch(a_spec(engine), a_handle())
    found = measured(sampler)
    assert found is not None and found.now is not None
    assert found.now.values["FreeableMemory"] == 4000
    engine.says = told(hits=8)
    for _ in range(5):
        assert hits(sampler) == 5
    assert len(engine.asked) == 1
    wait_until(lambda: hits(sampler) == 8)
    assert (len(engine.asked), engine.connections) == (2, 1)
    assert engine.asked[0].startswith(b"INFO server ")
    engine.close()


def test_a_connection_that_was_closed_meanwhile_is_made_anew(sampler: Sampler) -> None:
    engine = Engine(patience=1)
    sampler.watch(a_spec(engine), a_handle())
    assert hits(sampler) == 5
    engine.says = told(hits=8)
    wait_until(lambda: hits(sampler) == 8)
    assert engine.connections == 2
    engine.close()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("-BUSY it runs a script\r\n", "BUSY"),
        ("$7\r\nnothing\r\n", "uptime"),
        ("$", "does not answer"),
        ("", "does not answer"),
    ],
)
def test_what_is_no_answer_is_no_figure_and_not_the_last_one_either(sampler: Sampler, says: str, why: str) -> None:
    engine = Engine()
    sampler.watch(a_spec(engine), a_handle())
    assert hits(sampler) == 5
    engine.says = says

    def problem() -> str | None:
        found = measured(sampler)
        return found.problem if found is not None and found.now is None else None

    assert why in (wait_until(problem) or "")
    engine.close()


def test_nobody_listens(sampler: Sampler) -> None:
    engine = Engine()
    engine.close()
    sampler.watch(a_spec(engine), a_handle())
    found = measured(sampler)
    assert found is not None and found.now is None and found.problem


def test_another_process_begins_anew_and_one_that_is_forgotten_is_unknown(sampler: Sampler) -> None:
    engine = Engine(told(hits=50, uptime=3))
    sampler.watch(a_spec(engine), a_handle())
    assert hits(sampler) == 50
    sampler.watch(a_spec(engine, memory=9000), a_handle())
    assert hits(sampler) == 50
    engine.says = told(hits=2, uptime=0)
    sampler.forget(KEY)
    assert measured(sampler) is None
    sampler.watch(a_spec(engine), a_handle(boot=2))
    found = wait_until(lambda: told if (told := measured(sampler)) and told.now else None)
    assert found.now is not None
    assert found.now.values["CacheHits"] == 2
    assert sampler.measure(MetricsWanted(keys=["uid.other"])) == []
    engine.close()


def test_an_engine_that_nobody_knows_how_to_ask_runs_unmeasured(sampler: Sampler) -> None:
    engine = Engine()
    sampler.watch(a_spec(engine, "abacus"), a_handle())
    assert measured(sampler) is None
    engine.close()
