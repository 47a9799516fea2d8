"""The authority, the join tokens and the certified agents: read from the database as they are asked for, for all control planes on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, insert, inspect, select, text

from controlplane.domain.enrolment import CertifiedAgent, KeptToken
from controlplane.store.tables import AuthorityRow, CertifiedAgentRow, JoinTokenRow

_AUTHORITIES = cast(Table, inspect(AuthorityRow).local_table)
_TOKENS = cast(Table, inspect(JoinTokenRow).local_table)
_AGENTS = cast(Table, inspect(CertifiedAgentRow).local_table)
_FIRST = text("INSERT INTO authorities (name, certificate, private_key) VALUES (:name, :certificate, :private_key) ON CONFLICT DO NOTHING")
_FIND_AGENT = select(_AGENTS).where(_AGENTS.c.agent == bindparam("wanted"))  # made once: it is asked for with every report
Connect = Callable[[], Connection]


class Authorities:
    """Certificate authorities by name, as certificate and private key (PEM)."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def get(self, name: str) -> tuple[str, str] | None:
        """The authority of that name."""
        found = self._connect().execute(select(_AUTHORITIES).where(_AUTHORITIES.c.name == name)).mappings().first()
        return None if found is None else (found["certificate"], found["private_key"])

    def put_first(self, name: str, certificate: str, private_key: str) -> tuple[str, str]:
        """Write an authority down unless there is one of that name; answers the one that there is, whoever was first."""
        self._connect().execute(_FIRST, {"name": name, "certificate": certificate, "private_key": private_key})
        return self.get(name) or (certificate, private_key)


class JoinTokens:
    """Join tokens by id."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def all(self) -> list[KeptToken]:
        """Every token, the newest first."""
        rows = self._connect().execute(select(_TOKENS).order_by(_TOKENS.c.created_at.desc(), _TOKENS.c.token.desc())).mappings()
        return [_token_of(row) for row in rows]

    def get(self, token: str) -> KeptToken | None:
        """The token of that id."""
        row = self._connect().execute(select(_TOKENS).where(_TOKENS.c.token == token)).mappings().first()
        return None if row is None else _token_of(row)

    def save(self, token: KeptToken) -> None:
        """Write a token down in place of its former value."""
        self._connect().execute(delete(_TOKENS).where(_TOKENS.c.token == token.id))
        row = {"token": token.id, "secret_hash": token.secret_hash, "created_at": token.created_at, "expires_at": token.expires_at}
        self._connect().execute(insert(_TOKENS).values(**row, revoked_at=token.revoked_at))


class CertifiedAgents:
    """Certified agents by name."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def get(self, agent: str) -> CertifiedAgent | None:
        """The agent of that name, if it is certified."""
        row = self._connect().execute(_FIND_AGENT, {"wanted": agent}).mappings().first()
        if row is None:
            return None
        times = {name: _aware(row[name]) for name in ("certified_at", "expires_at")}
        return CertifiedAgent(agent=row["agent"], zone=row["zone"], key_print=row["key_print"], **times)

    def save(self, agent: CertifiedAgent) -> None:
        """Write an agent down in place of its former value."""
        self.forget(agent.agent)
        row = {"agent": agent.agent, "zone": agent.zone, "key_print": agent.key_print, "certified_at": agent.certified_at}
        self._connect().execute(insert(_AGENTS).values(**row, expires_at=agent.expires_at))

    def forget(self, agent: str) -> None:
        """Its certificate holds no more."""
        self._connect().execute(delete(_AGENTS).where(_AGENTS.c.agent == agent))


def _token_of(row: RowMapping) -> KeptToken:
    times: dict[str, Any] = {name: _aware(row[name]) if row[name] else None for name in ("created_at", "expires_at", "revoked_at")}
    return KeptToken(id=row["token"], secret_hash=row["secret_hash"], **times)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
