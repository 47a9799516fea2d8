"""The relay of one agent: spreads each new connection to an endpoint over the nodes behind it.

It stands before every Memcached node as well, and answers in its place what stock Memcached does not know: ``config get cluster``.

It is a process of its own (``python -m agents.relay --folder DIR``), because connections have to outlive the agent. The agent
tells it the whole set of routes as one line of JSON on a Unix socket in that folder; the relay answers with one line that says
what it does for each. It keeps the last set it accepted in the folder and serves it again when it is restarted.

Nothing but the standard library is imported (and uvloop, if there is one): a relay is to be up within a blink, and small.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import itertools
import json
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from agents.relay_front import Front
from agents.relay_link import Backend, Link
from agents.relay_route import Route, control_path, family_of, keep_lively, read_level
from agents.relay_tls import HANDSHAKE, Terms, context_for, first_byte

log = logging.getLogger("relay")

BIND_AGAIN_AFTER = 0.5  # seconds between attempts to listen on an address that was refused
BACKLOG = 1024
LONGEST_READ = 256 * 1024  # bytes
INSIDE = "unix:"  # no backend of anybody's: a client's own connection, decrypted
LONGEST_LINE = 16 * 1024 * 1024  # bytes; some 80 000 routes


class Endpoint:
    """A route in service: its listener, its backends and their connections."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.backends: dict[str, Backend] = {}
        self.listener: socket.socket | None = None
        self.problem: str | None = None
        self._tls: ssl.SSLContext | None = None
        self._shown = ""  # the digest of the certificate that is in it
        self._inside = Backend(INSIDE)
        # Any start will do, as long as the relays of several agents do not all begin with the same replica.
        self._turn = itertools.count(os.getpid())
        self._serving: set[asyncio.Task[None]] = set()
        self._undecided: set[socket.socket] = set()  # clients that have asked for nothing yet but the list of nodes

    def spread_over(self, route: Route) -> None:
        """Take over the backends of ``route``. Connections to those that leave are closed, the others are not touched."""
        self.route = route
        for name in self.backends.keys() - set(route.backends):
            leaving = self.backends.pop(name)
            log.info("backend left  route=%s backend=%s connections=%d", route.key, name, leaving.load)
            leaving.leave()
        self.backends = {name: self.backends.get(name) or Backend(name, route.source) for name in route.backends}
        if route.tls is not None and route.tls.digest != self._shown:
            self._show(route.tls)
        if not self.backends:
            self.close()

    def _show(self, terms: Terms) -> None:
        """Have new connections see the certificate that is there now; those that are open keep theirs."""
        try:
            self._tls, self._shown = context_for(terms), terms.digest
        except OSError as unreadable:
            self._cannot_listen(f"its certificate cannot be used: {unreadable}")

    def open(self) -> None:
        """Listen, if there is a backend to lead to. What stands in the way is in ``problem`` afterwards."""
        if self.listener or not self.backends:
            return
        if self.route.tls is not None and self.route.tls.digest != self._shown:
            self._show(self.route.tls)
            if self._tls is None:
                return
        address = (self.route.address.strip("[]"), self.route.port)
        try:
            self.listener = socket.create_server(address, family=family_of(address[0]), backlog=BACKLOG)
        except OSError as refused:
            self._cannot_listen(refused.strerror or str(refused))
            return
        self.problem = None
        self.listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self.listener, self._accept, self.listener)
        log.info("listening  route=%s address=%s:%d backends=%s", self.route.key, *address, ",".join(self.backends))

    def close(self) -> None:
        """Stop listening and close every connection. The address is free when this returns."""
        for backend in self.backends.values():
            backend.leave()
        self.backends = {}
        self.problem = None
        self._inside.leave()
        self._inside = Backend(INSIDE)
        for client in self._undecided:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # who waits for its first word hears the end
        if self.listener:
            asyncio.get_running_loop().remove_reader(self.listener)
            self.listener.close()
            self.listener = None
            log.info("stopped listening  route=%s", self.route.key)

    def report(self) -> dict[str, object]:
        return {
            "key": self.route.key,
            "generation": self.route.generation,
            "listening": self.listener is not None,
            "backends": list(self.backends),
            "problem": self.problem,
            "discovery": self.route.discovery.version if self.route.discovery else 0,
            "transit": self._shown,
        }

    def _cannot_listen(self, problem: str) -> None:
        if problem != self.problem:
            route = self.route
            log.warning("cannot listen  route=%s address=%s:%d because=%r", route.key, route.address, route.port, problem)
        self.problem = problem

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, peer = listener.accept()
            client.setblocking(False)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as exhausted:
            # No descriptors or no memory: the waiting client would wake us without end, so look away for a moment.
            log.warning("cannot accept  route=%s because=%r", self.route.key, exhausted)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(BIND_AGAIN_AFTER, self._accept_again, listener)
            return
        front = Front(self._listed) if self.route.discovery else None
        if self.route.tls is not None:
            job = self._serve_encrypted(front, client, peer[0])
        else:
            job = self._serve_behind(front, client) if front else self._serve(client)
        serving = asyncio.get_running_loop().create_task(job)
        self._serving.add(serving)  # the loop itself holds tasks only weakly
        serving.add_done_callback(self._serving.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener is self.listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def _serve_encrypted(self, front: Front | None, client: socket.socket, address: str) -> None:
        """Serve a client that speaks TLS, and in clear one that may come so."""
        self._undecided.add(client)
        try:
            began = await first_byte(client)
        except OSError:
            began = b""
        finally:
            self._undecided.discard(client)
        terms = self.route.tls
        if began == HANDSHAKE and front is None:
            await self._serve(client, tls=self._tls)
        elif began == HANDSHAKE and front is not None:
            await self._serve_behind(front, await self._decrypted(client))
        elif began and (terms is None or terms.lets_in(address)):
            await (self._serve_behind(front, client) if front else self._serve(client))
        else:
            client.close()

    async def _decrypted(self, client: socket.socket) -> socket.socket:
        """What the client says in clear, where a front can read and answer it."""
        inner, outer = socket.socketpair()
        inner.setblocking(False)
        outer.setblocking(False)
        await Link(self._inside).join(client, outer, tls=self._tls)
        return inner

    async def _serve_behind(self, front: Front, client: socket.socket) -> None:
        """Answer a client that only wants the list of nodes, whether or not there is a node that lives; serve any other."""
        self._undecided.add(client)
        try:
            keep_lively(client)
            onward = await self._first_onward(front, client)
        except OSError:
            onward = b""
        finally:
            self._undecided.discard(client)
        if onward:
            await self._serve(client, front, onward)
        else:
            client.close()

    async def _first_onward(self, front: Front, client: socket.socket) -> bytes:
        """The first that is for a node; nothing when the client ends before."""
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(client, LONGEST_READ)
            onward = front.to_engine(data)
            await loop.sock_sendall(client, front.answered())
            if onward or not data:
                return onward

    async def _serve(self, client: socket.socket, front: Front | None = None, sent: bytes = b"",
                     tls: ssl.SSLContext | None = None) -> None:  # fmt: skip
        """Join a client to the first backend that takes the connection; close it when none does."""
        for backend in self._in_order():
            if server := await backend.dial():
                await Link(backend, front).join(client, server, sent, tls)
                return
        client.close()

    def _listed(self) -> bytes | None:
        """What clients that discover are told now, also those that connected when the list was another."""
        return self.route.discovery.payload if self.route.discovery else None

    def _in_order(self) -> Sequence[Backend]:
        """Best first: took connections lately, then the fewest connections, then whose turn it is."""
        now = asyncio.get_running_loop().time()
        backends = list(self.backends.values())
        first = next(self._turn) % len(backends) if backends else 0
        return sorted(backends[first:] + backends[:first], key=lambda backend: (backend.avoided_until > now, backend.load))


class Relay:
    """All endpoints of one agent, kept as the last level asked for."""

    def __init__(self, folder: Path) -> None:
        self._endpoints: dict[tuple[str, str, int], Endpoint] = {}
        self._kept = folder / "relay-routes.json"
        self._bind_again: asyncio.TimerHandle | None = None

    def serve(self, routes: Iterable[Route]) -> list[dict[str, object]]:
        """Make ``routes`` the whole set, and report on each. Doing so twice changes nothing."""
        asked = {(route.key, route.address, route.port): route for route in routes}
        # What goes is closed before anything is opened: an address may pass from one route to another.
        for identity in self._endpoints.keys() - asked.keys():
            self._endpoints.pop(identity).close()
        for identity, route in asked.items():
            self._endpoints.setdefault(identity, Endpoint(route)).spread_over(route)
        self._open_all()
        return [self._endpoints[identity].report() for identity in asked]

    def keep(self, routes: Sequence[Route]) -> None:
        """Write the set down for the next start. A full disk is no reason to stop serving."""
        text = json.dumps({"routes": [asdict(route) for route in routes]})
        try:
            if self._kept.exists() and self._kept.read_text() == text:
                return
            fresh = self._kept.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self._kept)
        except OSError as problem:
            log.warning("routes not kept  file=%s because=%r", self._kept, problem)

    def resume(self) -> None:
        """Serve the set that was kept, if there is one that can be read."""
        try:
            self.serve(read_level(self._kept.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as problem:
            log.warning("kept routes left aside  file=%s because=%r", self._kept, problem)

    def close(self) -> None:
        """Stop serving altogether. What was kept stays for the next start."""
        self.serve([])

    def _open_all(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.open()
        if self._bind_again:
            self._bind_again.cancel()
            self._bind_again = None
        if any(endpoint.problem for endpoint in self._endpoints.values()):
            self._bind_again = asyncio.get_running_loop().call_later(BIND_AGAIN_AFTER, self._open_all)


def obey(relay: Relay, line: bytes) -> dict[str, object]:
    """The answer to one control line. A line that makes no sense changes nothing."""
    try:
        routes = read_level(line)
    except ValueError as problem:
        log.warning("control line refused  because=%r", str(problem))
        return {"error": str(problem)}
    reports = relay.serve(routes)
    relay.keep(routes)
    return {"routes": reports}


async def converse(relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer control lines, one each, until the caller hangs up."""
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # where the next line starts cannot be told any more
                writer.write(b'{"error": "the line is too long"}\n')
                return
            if not line:
                return
            writer.write(json.dumps(obey(relay, line)).encode() + b"\n")
            await writer.drain()


@contextlib.asynccontextmanager
async def controlled(relay: Relay, folder: Path) -> AsyncIterator[None]:
    """Listen for control lines inside the block. The lock on the folder is held: a socket found there is a dead relay's."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    with control_path(folder) as path:
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        Path(path).chmod(0o600)
    server = await asyncio.start_unix_server(lambda r, w: converse(relay, r, w), sock=listener, limit=LONGEST_LINE)
    try:
        yield
    finally:
        server.close()
        (folder / "relay.sock").unlink(missing_ok=True)


async def relay_until_told(folder: Path) -> None:
    """Serve the kept routes, then what the control socket says, until SIGTERM."""
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, told.set)
    os.chdir(folder)  # Unix sockets of nodes are named as seen from here, for a longer path may be too long
    relay = Relay(folder)
    relay.resume()
    async with controlled(relay, folder):
        log.info("relay serves  folder=%s pid=%d", folder, os.getpid())
        await told.wait()
    relay.close()
    log.info("relay ends  pid=%d", os.getpid())


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def lock(folder: Path) -> int | None:
    """Hold the folder for the life of this process. None when another relay holds it."""
    held = os.open(folder / "relay.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def main() -> int:
    """0 after SIGTERM, 1 when another relay serves the folder."""
    parser = argparse.ArgumentParser(prog="agents.relay", description="Spread connections to reader endpoints over replicas.")
    parser.add_argument("--folder", type=Path, required=True, help="holds the control socket and the routes in service")
    folder = parser.parse_args().folder.absolute()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if lock(folder) is None:
        log.error("another relay serves this folder  folder=%s", folder)
        return 1
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client takes two descriptors
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(relay_until_told(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
