"""Encryption in transit, on which control plane and agent must agree. Knows no library, so that the domain may use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from hashlib import sha256

_LONG_ENOUGH = 16


class TransitMode(StrEnum):
    """Whom a node that speaks TLS also serves: with ``preferred`` those who do not, at the same port; with ``required`` nobody else."""

    PREFERRED = "preferred"
    REQUIRED = "required"


@dataclass(frozen=True)
class Certified:
    """What the nodes of one topology prove who they are with: all PEM. ``certificate`` was signed by ``authority``, which clients trust."""

    certificate: str
    private_key: str = field(repr=False)
    authority: str


@dataclass(frozen=True)
class Transit:
    """How clients, replicas and the cluster bus of a node are encrypted.

    ``native`` says that the engine speaks TLS itself, at its own port; otherwise the agent's relay stands before it, and the engine itself
    listens where only its host comes in.
    """

    mode: TransitMode
    native: bool
    certified: Certified

    @cached_property
    def digest(self) -> str:
        """A short text that two have in common only if they are equal. It tells nothing of what they are."""
        parts = (self.mode.value, str(self.native), self.certified.certificate, self.certified.private_key, self.certified.authority)
        return sha256("\n".join(parts).encode()).hexdigest()[:_LONG_ENOUGH]
