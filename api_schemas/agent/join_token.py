"""The join token: what an agent needs to know of a control plane in order to join it, in one line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

_FORM = re.compile(r"CWJOIN-1-([0-9a-f]{40})-([0-9a-z]{4,40})-([0-9a-f]{48})")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """``pin`` tells the right control plane from an impostor before anything secret is said; ``secret`` is what lets an agent in.

    ``id`` is the name by which the token is listed and revoked.
    """

    pin: str
    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The line that is handed to agents."""
        return f"CWJOIN-1-{self.pin}-{self.id}-{self.secret}"

    @staticmethod
    def parse(text: str) -> JoinToken:
        """The token of that line. Raises ValueError, which does not repeat the line."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError("it is no join token, which is one line that begins with CWJOIN-1-")
        return JoinToken(*found.groups())


def pin_of(certificate: bytes) -> str:
    """The pin of an authority: the first 160 bits of the SHA-256 of its certificate (DER)."""
    return hashlib.sha256(certificate).hexdigest()[:40]
