"""A relay between a client and a server that breaks every connection off after so many bytes of answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


@contextlib.contextmanager
def breaking_relay(endpoint: str, after: int) -> Iterator[tuple[str, list[int]]]:
    """The URL to ask in place of ``endpoint``, and, growing, how many bytes each connection had brought when it was broken off."""
    parts = urlsplit(endpoint)
    broken: list[int] = []
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # the relay ended
                    return
                server = socket.create_connection((parts.hostname, parts.port))
                ends.extend((client, server))
                for work in (lambda c=client, s=server: _pump(c, s, None, broken), lambda c=client, s=server: _pump(s, c, after, broken)):
                    threads.append(threading.Thread(target=work))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", broken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for end in ends:
                _shut(end)
            for thread in threads:
                thread.join()


def _pump(source: socket.socket, target: socket.socket, at_most: int | None, broken: list[int]) -> None:
    """Pass on what comes until either end is closed; whoever ends first ends both ways."""
    done = 0
    with source:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)
                done += len(block)
                if at_most is not None and done > at_most:
                    broken.append(done)
                    break
        for end in (source, target):
            _shut(end)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended already
        end.shutdown(socket.SHUT_RDWR)
