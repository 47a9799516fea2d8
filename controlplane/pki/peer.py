"""Who is at the other end of a connection, by the certificate that it has shown."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from api_schemas.agent.identity import Identity, identity_in
from controlplane.pki.signing_request import certified_key_print


@dataclass(frozen=True, slots=True)
class Peer:
    """The identity in a verified certificate, and which key it was certified to."""

    identity: Identity
    key_print: str


def peer_of(connection: ssl.SSLObject | None) -> Peer | None:
    """Who it is; None without a certificate, or with one that names nobody we know. The handshake has verified it."""
    identity = identity_in(connection.getpeercert()) if connection is not None else None
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    return Peer(identity, certified_key_print(certificate)) if identity is not None and certificate is not None else None
