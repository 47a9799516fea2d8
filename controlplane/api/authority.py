"""The certificate of the authority that engines are certified by, for everybody: clients verify with it whom they talk to."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from controlplane.clock import Clock
from controlplane.reconciler.certifying import engine_authority
from controlplane.store.store import Store, StoreAwayError

_FORM = "application/x-pem-file"


class AuthorityDoor:
    """Answers ``/v1/ca.pem``. Asked before any engine was encrypted, it makes the authority."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def show(self, request: Request) -> Response:
        """The certificate as PEM."""
        try:
            return Response(await run_in_threadpool(self._certificate), media_type=_FORM)
        except StoreAwayError:
            return PlainTextResponse("The database of the control plane does not answer. Try again.\n", 503)

    def _certificate(self) -> str:
        with self._store.reading() as unit:
            if unit.authorities.get("engines") is not None:
                return engine_authority(unit, self._clock.now()).certificate
        with self._store.transaction() as unit:
            return engine_authority(unit, self._clock.now()).certificate
