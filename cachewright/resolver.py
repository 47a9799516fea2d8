"""Names of endpoints without root: asks a Cachewright server's own DNS, and has this process resolve through it.

```python
resolver = Resolver("127.0.0.1", 8353)
with resolver.in_use():
    redis.Redis("orders.7abc2d.ng.0001.use1.cache.cachewright.internal").set("greeting", "hello")
```
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from dnslib import QTYPE, RCODE, DNSError, DNSRecord
from dnslib.label import DNSLabelError

DEFAULT_PORT = 8353
_TRIES = 2
_LARGEST = 4096


class Resolver:
    """Asks one server for the names below one suffix. Nothing is remembered: each name is asked for whenever it is needed."""

    def __init__(self, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, suffix: str = "cache.cachewright.internal",
                 timeout: float = 1.0) -> None:  # fmt: skip
        self._server = (host, port)
        self._suffix = suffix.strip(".").lower()
        self._timeout = timeout

    def resolve(self, name: str) -> list[str]:
        """The addresses that the name leads to now, in the order they were given. Raises socket.gaierror where it leads nowhere."""
        found: list[str] = []
        for kind in ("A", "AAAA"):
            reply = self._ask(name, kind)
            if reply.header.rcode == RCODE.NXDOMAIN:
                raise socket.gaierror(socket.EAI_NONAME, f"{name} is the name of nothing; see what Describe says")
            if reply.header.rcode != RCODE.NOERROR:
                raise socket.gaierror(socket.EAI_FAIL, f"the server answers {RCODE.get(reply.header.rcode)} for {name}")
            found += [str(record.rdata) for record in reply.rr if record.rtype in (QTYPE.A, QTYPE.AAAA)]
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, f"no node does what {name} is for at this moment; try again")
        return found

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, ``socket.getaddrinfo`` asks here for names below the suffix, in every thread: so do libraries that connect by it."""
        former = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
            name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
            if not isinstance(name, str) or not self._is_ours(name):
                return list(former(host, port, family, type, proto, flags))
            wanted = [address for address in self.resolve(name) if family in (socket.AF_UNSPEC, _family(address))]
            if not wanted:
                raise socket.gaierror(socket.EAI_NONAME, f"{name} has no address of that family")
            return [entry for address in wanted for entry in former(address, port, family, type, proto, flags)]

        socket.getaddrinfo = getaddrinfo
        try:
            yield
        finally:
            socket.getaddrinfo = former

    def _is_ours(self, name: str) -> bool:
        return name.rstrip(".").lower().endswith(f".{self._suffix}")

    def _ask(self, name: str, kind: str) -> DNSRecord:
        try:
            question = DNSRecord.question(name, kind)
            reply = self._exchange(question, socket.SOCK_DGRAM)
            return self._exchange(question, socket.SOCK_STREAM) if reply.header.tc else reply
        except (DNSError, DNSLabelError, UnicodeError) as strange:
            raise socket.gaierror(socket.EAI_FAIL, f"{name} was not answered sensibly: {strange}") from strange
        except OSError as failed:
            host, port = self._server
            why = f"no name server answers at {host}:{port} ({failed}); is it `cachewright serve --dns`, and that its place?"
            raise socket.gaierror(socket.EAI_AGAIN, why) from failed

    def _exchange(self, question: DNSRecord, kind: socket.SocketKind) -> DNSRecord:
        packet: bytes = question.pack()
        with socket.socket(_family(self._server[0]), kind) as asking:
            asking.settimeout(self._timeout)
            asking.connect(self._server)  # so that nobody else is heard
            answer = _over_tcp(asking, packet) if kind is socket.SOCK_STREAM else _over_udp(asking, packet)
        reply = DNSRecord.parse(answer)
        if reply.header.id != question.header.id:
            raise DNSError("the answer is not to that question")
        return reply


def _over_udp(asking: socket.socket, packet: bytes) -> bytes:
    for _ in range(_TRIES - 1):
        asking.send(packet)
        with contextlib.suppress(TimeoutError):
            return asking.recv(_LARGEST)
    asking.send(packet)
    return asking.recv(_LARGEST)


def _over_tcp(asking: socket.socket, packet: bytes) -> bytes:
    asking.sendall(len(packet).to_bytes(2, "big") + packet)
    with asking.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(2), "big"))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


__all__ = ["DEFAULT_PORT", "Resolver"]
