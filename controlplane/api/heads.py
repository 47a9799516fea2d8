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
        self._in_head, self._unfinished = True, 0

    def data_received(self, data: bytes) -> None:
        """Of a head that does not end, no more than the bound and what came at once is held."""
        if self._in_head and self._unfinished > LARGEST_HEAD:
            self.send_400_response("Request header fields too large.")
            return
        self._unfinished += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is over, and nobody is told of one that is too large."""
        self._in_head, self._unfinished = False, 0
        if len(self.headers) > MOST_HEADERS or len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEAD:
            raise TooLargeHeadError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next head may begin."""
        self._in_head, self._unfinished = True, 0
        super().on_message_complete()
