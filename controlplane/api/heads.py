"""Bounds what comes before a request's body. Its parser would take a line or headers of any length."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 64 << 10
"""Bytes of a request's line and its headers. The largest form is a body; a presigned URL has some hundreds."""

MOST_HEADERS = 100


class TooLargeHeadError(Exception):
    """The head of the request is larger than is read. The parser turns it into a 400, and the connection is closed."""


class BoundedProtocol(HttpToolsProtocol):
    """Reads requests whose heads are not too large, and closes the connection of any other."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self._in_head, self._unfinished, self._head = True, 0, 0

    def data_received(self, data: bytes) -> None:
        """Of a part of the head that does not end, no more than the bound and what came at once is held."""
        if self._in_head and self._unfinished > LARGEST_HEAD:
            self.send_400_response("Request header fields too large.")
            return
        before = self._in_head
        super().data_received(data)
        self._unfinished = self._unfinished + len(data) if before and self._in_head else 0

    def on_message_begin(self) -> None:
        """The head begins."""
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        if len(self.headers) >= MOST_HEADERS:
            raise TooLargeHeadError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next head may begin."""
        self._in_head = True
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > LARGEST_HEAD:
            raise TooLargeHeadError
