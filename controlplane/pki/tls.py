"""TLS with certificates of our own authority, and of no other."""

from __future__ import annotations

import ssl
import tempfile
import threading
from datetime import datetime, timedelta

from api_schemas.agent.identity import Identity
from controlplane.pki.authority import Authority, Pair, Subject

_LASTS = timedelta(days=90)
_RENEWED_BEFORE = timedelta(days=30)


class PlaneTls:
    """The control plane's own certificate in the two contexts that show it: ``server`` at the agents' door, ``client`` to give orders.

    The key is made for it and lives in memory only. At the agents' door a certificate is asked for, not demanded: who joins has none.
    """

    def __init__(self, authority: Authority, now: datetime) -> None:
        self._authority = authority
        self._lock = threading.Lock()
        self.server = _trusting(ssl.PROTOCOL_TLS_SERVER, authority)
        self.server.verify_mode = ssl.CERT_OPTIONAL
        self.server.num_tickets = 0  # whoever comes back shows its certificate again
        self.client = _trusting(ssl.PROTOCOL_TLS_CLIENT, authority)
        self._renew_at = now
        self.refresh(now)

    def refresh(self, now: datetime) -> None:
        """Have another certificate when the present one has a third of its time left; connections that are open keep it."""
        with self._lock:
            if now < self._renew_at:
                return
            pair = self._authority.issue(_OURSELVES, now, _LASTS)
            for context in (self.server, self.client):
                show(context, pair)
            self._renew_at = now + _LASTS - _RENEWED_BEFORE


_IDENTITY = Identity()
_OURSELVES = Subject("control plane", "control-plane", hosts=(_IDENTITY.host,), uris=(_IDENTITY.uri,))


def show(context: ssl.SSLContext, pair: Pair) -> None:
    """Show that certificate from now on."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # 0600 and gone at once: the library reads from files only
        file.write(pair.private_key + pair.certificate)
        file.flush()
        context.load_cert_chain(file.name)


def _trusting(protocol: int, authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=authority.certificate)
    return context
