"""A webhook: JSON is posted to one URL, and anything but a success is a reason to try again, or not to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping

import httpx

from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.domain.delivery_place import DeliveryPlace

_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_LONGEST = 20.0  # seconds for which an answer may trickle in
_READ = 2048  # bytes of an answer that anybody looks at
_REFUSES = frozenset({403, 404, 410})


class Webhook:
    """Keeps its connections. Redirects are not followed, and no proxy is asked: what is posted goes where the operator said."""

    def __init__(self, place: DeliveryPlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def post(self, said: object, headers: Mapping[str, str] | None = None) -> None:
        """Returns once it was taken. Raises ReceiverAwayError, and ReceiverRefusedError for 403, 404 and 410."""
        body = json.dumps(said, ensure_ascii=False).encode()
        sent = {"Content-Type": "application/json; charset=UTF-8", "User-Agent": "Cachewright", **(headers or {})}
        try:
            with self._opened().stream("POST", self._place.url, content=body, headers=sent) as answer:
                status, told = answer.status_code, _beginning(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            raise ReceiverAwayError(f"{self._place.shown} does not answer: {str(failed) or type(failed).__name__}") from failed
        if 200 <= status < 300:
            return
        why = f"{self._place.shown} answers {status}" + (f": {told}" if told else "")
        if status in _REFUSES:
            raise ReceiverRefusedError(why)
        raise ReceiverAwayError(f"{why} (redirects are not followed)" if 300 <= status < 400 else why)

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _opened(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False)
            return self._client


def _beginning(answer: httpx.Response) -> str:
    """The first words of an answer, on one line. The rest is not read, nor is one waited for that trickles in."""
    came, until = b"", time.monotonic() + _LONGEST
    for piece in answer.iter_raw():
        came += piece
        if len(came) >= _READ or time.monotonic() > until:
            break
    return " ".join(came[:200].decode(errors="replace").split())
