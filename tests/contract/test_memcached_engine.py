"""Memcached as we start it and talk to it, and the front's idea of its protocol, against the real program."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

from agents.engines.engine import EngineUnreachableError
from agents.engines.memcached import ITEM, MemcachedEngine, MemcachedSession
from agents.engines.memcached_arguments import SOCKET, arguments
from agents.relay_front import Front, config_answer
from agents.socket_path import socket_path
from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.node import EngineBinary, NodeSpec, Role
from controlplane.domain.parameters import values_of

MEBIBYTE = 1024 * 1024
PROGRAM = shutil.which("memcached")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="memcached is not installed")


def a_spec(parameters: dict[str, str] | None = None) -> NodeSpec:
    return NodeSpec(
        key="uid.0001", generation=1, binary=EngineBinary(engine="memcached", version="1.6.18", path=PROGRAM or ""), zone="us-east-1a",
        address="127.101.0.1", port=11211, role=Role.NONE, epoch=1, memory=64 * MEBIBYTE, threads=2, parameters=parameters or {}, front=True,
    )  # fmt: skip


@contextmanager
def running(spec: NodeSpec, folder: Path) -> Iterator[MemcachedEngine]:
    """The program of this host, started with the spec in the node's folder and ready."""
    engine, home = MemcachedEngine(folder), folder / "nodes" / spec.key
    home.mkdir(parents=True)
    with (home / "launch.log").open("w") as log:
        process = subprocess.Popen([spec.binary.path, *arguments(spec)], cwd=home, stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or engine.is_ready(spec))
            assert process.poll() is None, engine.why_it_ended(home)
            yield engine
        finally:
            process.kill()
            process.wait()


FRONTED = a_spec()
LISTED = FRONTED.model_copy(update={"discovery": DiscoveryList(version=7, nodes="127.101.0.1|127.101.0.1|11211")})


@pytest.mark.parametrize("family", ["memcached1.5", "memcached1.6"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"no_modern": "0"},
        {"max_item_size": "1024"},
        {"max_item_size": "1048577", "slab_chunk_max": "1000"},
        {"max_item_size": "134217728", "slab_chunk_max": "1"},
        {"slab_chunk_max": "134217728"},
        {"slab_automove": "1", "slab_reassign": "1", "lru_crawler": "1", "lru_maintainer": "1", "maxconns_fast": "1", "track_sizes": "1"},
        {"hash_algorithm": "murmur3", "idle_timeout": "86400", "chunk_size_growth_factor": "1.1", "chunk_size": "96"},
        {"cas_disabled": "1", "disable_flush_all": "1", "error_on_memory_exhausted": "1", "binding_protocol": "ascii"},
    ],
    ids=str,
)
def test_it_starts_with_any_values_a_group_may_have(tmp_path: Path, family: str, values: dict[str, str]) -> None:
    spec = a_spec({**values_of(family, cluster_mode=False), **values})
    with running(spec, tmp_path) as engine:
        assert engine.open(spec).observe().discovery == 0


def test_the_list_is_kept_and_put_back(tmp_path: Path) -> None:
    with running(LISTED, tmp_path) as engine:
        session = engine.open(LISTED)
        assert isinstance(session, MemcachedSession)
        assert not session.assume(LISTED, session.observe())  # it was just stored; the next look sees it
        seen = session.observe()
        assert (seen.discovery, session.assume(LISTED, seen)) == (7, True)
        with session._connect() as client:
            client.sendall(b"get %s\r\nflush_all\r\n" % ITEM)
            assert client.recv(4096).startswith(b"VALUE %s 0 32\r\n7\n127.101.0.1|127.101.0.1|11211\n\r\nEND\r\n" % ITEM)
        wait_until(lambda: session.observe().discovery == 0)
        assert not session.assume(LISTED, session.observe())
        assert session.observe().discovery == 7


def test_a_list_for_which_there_is_no_room_does_not_hold_up_anything(tmp_path: Path) -> None:
    long = LISTED.model_copy(update={"parameters": {"max_item_size": "1024"}, "discovery": DiscoveryList(version=9, nodes="x" * 3000)})
    with running(long, tmp_path) as engine:
        session = engine.open(long)
        assert not session.assume(long, session.observe())
        assert (session.observe().discovery, session.assume(long, session.observe())) == (9, True)


def test_a_session_says_when_it_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError):
        MemcachedEngine(tmp_path).open(FRONTED).observe()


def test_nothing_of_it_can_be_saved() -> None:
    assert MemcachedEngine.keeps_data is False


# ---- what the engine takes for a command -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a running engine."""
    folder = tmp_path_factory.mktemp("engine")
    with running(FRONTED, folder), socket_path(folder / "nodes" / FRONTED.key / SOCKET) as path:
        yield path


WORDS = [b"set", b"add", b"ms", b"cas", b"append", b"k", b"0", b"38", b"-1", b"+38", b"38x", b"x", b"noreply", b"\t38", b"38\r", b"38\0x", b"S38", b"T0",
         b"q", b"b", b"-0", b"", b"k" * 251, b"k" * 250, b"4294967296", b"4294967334", b"18446744073709551615", b"18446744073709551616",
         b"-18446744073709551615", b"\t", b"\r", b"2147483646", b"set\0", b"I", b"MA", b"MZ", b"F1", b"Fx", b"Tx", b"C1", b"config", b"get"]  # fmt: skip
USUAL = [[b"set", b"k", b"0", b"0", b"38"], [b"cas", b"k", b"0", b"0", b"38", b"7"], [b"ms", b"k", b"38"], [b"add", b"k", b"0", b"0", b"38"], [b"ms", b"k", b"38"]]


def a_line(chance: random.Random) -> bytes:
    """A storage command as it should be, with up to three words replaced, added or left out."""
    words = list(chance.choice(USUAL))
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(words))
        words[at : at + chance.randint(0, 1)] = [chance.choice(WORDS)] * (chance.random() < 0.9)
        words = words or [b""]
    return b" ".join(words) + chance.choice([b"\r\n", b"\n"])


LISTED_AS = b"1\nhere|here|1\n"
QUESTION = b"config get cluster\r\n"
NOTHING = b"mn".ljust(len(QUESTION) - 2) + b"\r\n"


def talk(place: str, stream: bytes, front: Front | None) -> bytes:
    """All that the engine answers to a stream, as a client behind a front hears it, or one without."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(place)
        connection.settimeout(10)
        connection.sendall(front.to_engine(stream) if front else stream)
        connection.shutdown(socket.SHUT_WR)
        heard = front.answered() if front else b""
        while data := connection.recv(65536):
            heard += front.to_client(data) if front else data
        return heard


@pytest.mark.parametrize("first", range(0, 2000, 200))
def test_any_line_is_followed_by_a_value_for_the_front_exactly_when_it_is_for_the_engine(place: str, first: int) -> None:
    """Twelve commands follow the line. Those that are no value are answered, by the engine itself and, as questions, by the front."""
    for seed in range(first, first + 200):
        line = a_line(random.Random(seed))
        plain = talk(place, line + NOTHING * 12, None)
        asked = talk(place, line + QUESTION * 12, Front(lambda: LISTED_AS))
        assert asked.count(config_answer(LISTED_AS)) == plain.count(b"MN\r\n"), line


def test_a_long_conversation_is_the_same_behind_a_front(place: str) -> None:
    chance = random.Random(7)
    value = b"config get cluster\r\nset k 0 0 2\r\nNF k0\r\n"
    parts: list[tuple[bytes, bytes]] = []
    for number in range(2000):
        key = b"key%d" % (number % 50)
        parts.append(chance.choice([
            (b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b""), (b"get %s %s\r\n" % (key, key), b""), (b"mg %s v k\r\n" % key, b""),
            (b"delete %s noreply\r\n" % key, b""), (b"nonsense\r\n", b""), (b"config set cluster 0 1\r\n", b""),
            (b"ms %s %d\r\n%s\r\n" % (key, len(value), value), b""), (b"mn\r\n", QUESTION),
        ]))  # fmt: skip
    plain = talk(place, b"flush_all\r\n" + b"".join(usual for usual, _ in parts), None)
    asked = talk(place, b"flush_all\r\n" + b"".join(question or usual for usual, question in parts), Front(lambda: LISTED_AS))
    assert asked == plain.replace(b"MN\r\n", config_answer(LISTED_AS))
    assert asked.count(config_answer(LISTED_AS)) > 100
