"""The audit: one line of JSON for every request that changes something, and for every one that is refused to its caller."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api_schemas.operation import Operation
from api_schemas.secret_fields import SECRET_FIELDS
from api_schemas.shape import Shape
from controlplane.clock import Clock

log = logging.getLogger("cachewright.access")

NOTE = "cachewright.note"
"""Where an ASGI scope has what is to be written about its request."""

ANYBODY = "anonymous on loopback"
NOBODY = "nobody who is known"
REFUSALS = frozenset({
    "AccessDenied", "IncompleteSignature", "InvalidClientTokenId", "MissingAuthenticationToken", "RequestExpired", "SignatureDoesNotMatch",
})  # fmt: skip
"""Codes that say that the caller may not. Those who are refused for a while are not among them: the refusals before tell of them."""

_CLAIMED = re.compile(rb"(?:Credential=|Bearer )(CWAK[A-Z2-7]{16})\b")
_LARGEST, _KEPT = 10 << 20, 4
_LONGEST = 512  # characters of a name that came from a caller


class Note:
    """What is known of one request by now; whoever learns more writes it here."""

    request_id: str = ""
    operation: str = ""
    resource: str | None = None
    parameters: Sequence[str] = ()
    changes: bool = False
    code: str = ""

    def __init__(self, who: dict[str, str] | str = ANYBODY) -> None:
        self.asked = time.perf_counter()
        self.who = who

    def about(self, promise: Operation[Any, Any], asked: Shape) -> None:
        """What the request is about: names of its parameters, and of values none but the resource's id."""
        self.parameters = sorted(asked.model_fields_set)
        self.resource = _resource(promise, asked)


class AuditLog:
    """Appends to a file that only its owner reads. Beyond 10 MB it is put aside; four of those are kept, and the oldest goes."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """Raises OSError where the file cannot be written."""
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handler = _Private(file, maxBytes=_LARGEST, backupCount=_KEPT, encoding="utf-8")

    def write(self, note: Note, address: str, route: str) -> None:
        """One line. A file that cannot be written is told in the log; the request is answered all the same."""
        entry = {
            "time": self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": note.request_id,
            "who": note.who,
            "source": address,
            "operation": note.operation[:_LONGEST] or route[:_LONGEST],
            "resource": note.resource and note.resource[:_LONGEST],
            "parameters": list(note.parameters),
            "result": note.code or "ok",
            "milliseconds": round((time.perf_counter() - note.asked) * 1000, 1),
        }
        line = json.dumps({name: value for name, value in entry.items() if value not in (None, [])})
        self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _Private(RotatingFileHandler):
    """A file that is made for its owner's eyes only, by whatever umask."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        log.exception("the audit cannot be written  file=%s", self.baseFilename)


class Audited:
    """An ASGI application whose requests are written down, where they are to be; as those of ``who``, until somebody knows better."""

    def __init__(self, app: ASGIApp, audit: AuditLog | None = None, who: str = ANYBODY) -> None:
        self._app = app
        self._audit = audit
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._audit is None:
            await self._app(scope, receive, send)
            return
        note = scope[NOTE] = Note(self._who)
        try:
            await self._app(scope, receive, send)
        finally:
            if _is_kept(note, scope):
                self._audit.write(note, address_of(scope), _route(scope))


def note_of(scope: Any) -> Note:
    """What is to be written about the request of an ASGI scope; where nothing is, a note that nobody reads."""
    note: Note = scope.get(NOTE) or Note()
    return note


def claimed(scope: Any) -> dict[str, str] | str:
    """Who an unidentified caller says to be: the id of one of our keys, where it says one."""
    said = b" ".join([*(value for name, value in scope["headers"] if name == b"authorization"), scope["query_string"]])
    found = _CLAIMED.search(said)
    return NOBODY if found is None else {"claims": found[1].decode()}


def address_of(scope: Any) -> str:
    """Where a request comes from."""
    return str((scope.get("client") or ("",))[0])


def names_of(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The names of a form's parameters, each once, without the numbers of lists; none that could hold a value."""
    return sorted({name for key, _ in pairs if re.fullmatch("[A-Za-z]{1,64}", name := key.partition(".")[0])})


def _is_kept(note: Note, scope: Scope) -> bool:
    """Changes and refusals, and at REST what was to change something, but was refused before anybody knew what."""
    if note.changes or note.code in REFUSALS:
        return True
    unread = not note.operation and scope["path"] != "/" and "route" in scope
    return unread and scope["method"] not in ("GET", "HEAD", "OPTIONS")


def _route(scope: Scope) -> str:
    """What REST calls the request whose operation nobody got to know, such as one that was no JSON."""
    name = getattr(scope.get("route"), "name", "") if scope["path"] != "/" else ""
    return name or f"{scope['method']} {scope['path']}"


def _resource(promise: Operation[Any, Any], asked: Shape) -> str | None:
    subject = None if promise.subject is None else promise.subject.name(asked)
    if subject is not None:
        return subject
    named = [*re.findall(r"{(\w+)}", promise.path), *(name for name in type(asked).model_fields if name.endswith(("name", "_id")))]
    given = (str(value) for name in named if name not in SECRET_FIELDS and (value := getattr(asked, name, None)))
    return next(given, None)
