"""Who a certificate of our own authority is for. Its names are the role, never an address: agents and control planes may move.

A control plane and every agent have a DNS name that exists in certificates only. Who connects asks for it in the handshake, so that
the TLS library itself refuses another agent, or an agent in the control plane's place. A URI says the same with the agent's zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONTROL_PLANE_HOST = "control-plane.cachewright.internal"
CONTROL_PLANE_URI = "cachewright://control-plane"
_AGENT_URI = re.compile(r"cachewright://agent/([a-z0-9-]+)/([a-z0-9-]{1,63})")


@dataclass(frozen=True, slots=True)
class Identity:
    """A control plane, or the agent of that name in that zone."""

    agent: str | None = None
    zone: str | None = None

    @property
    def is_control_plane(self) -> bool:
        """Whether it may give orders."""
        return self.agent is None

    @property
    def host(self) -> str:
        """The DNS name in its certificate."""
        return CONTROL_PLANE_HOST if self.agent is None else agent_host(self.agent)

    @property
    def uri(self) -> str:
        """The URI in its certificate."""
        return CONTROL_PLANE_URI if self.agent is None else f"cachewright://agent/{self.zone}/{self.agent}"

    def __str__(self) -> str:
        return "the control plane" if self.agent is None else f"{self.agent} in {self.zone}"


def agent_host(agent: str) -> str:
    """The DNS name in an agent's certificate."""
    return f"{agent}.agents.cachewright.internal"


def identity_in(certificate: Mapping[str, Any] | None) -> Identity | None:
    """Whom a verified certificate is for, as the ssl module shows it; None when it is for nobody we know."""
    names = [name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]
    if names == [CONTROL_PLANE_URI]:
        return Identity()
    found = _AGENT_URI.fullmatch(names[0]) if len(names) == 1 else None
    return Identity(agent=found[2], zone=found[1]) if found else None
