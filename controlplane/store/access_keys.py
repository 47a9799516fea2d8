"""Access keys: read from the database whenever a request comes with one, so that one that is revoked anywhere is refused everywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Table, bindparam, insert, inspect, select, update

from controlplane.domain.access_key import AccessKey, Role
from controlplane.store.tables import AccessKeyRow

_KEYS = cast(Table, inspect(AccessKeyRow).local_table)
_FIND = select(_KEYS).where(_KEYS.c.access_key == bindparam("wanted"))  # made once: it is asked for with every request


class AccessKeys:
    """Access keys by id."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def all(self) -> list[AccessKey]:
        """Every key, the newest first."""
        rows = self._connect().execute(select(_KEYS).order_by(_KEYS.c.created_at.desc(), _KEYS.c.access_key)).mappings()
        return [_key_of(row) for row in rows]

    def get(self, key: str) -> AccessKey | None:
        """The key of that id."""
        row = self._connect().execute(_FIND, {"wanted": key}).mappings().first()
        return None if row is None else _key_of(row)

    def add(self, key: AccessKey) -> None:
        """Write a new key down."""
        row = {"access_key": key.id, "account": key.account, "role": key.role.value, "name": key.name, "sealed_secret": key.sealed_secret,
               "created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at}  # fmt: skip
        self._connect().execute(insert(_KEYS).values(**row, last_used=key.last_used))

    def revoke(self, key: AccessKey) -> None:
        """Write down since when the key lets nobody in."""
        self._change(key.id, revoked_at=key.revoked_at)

    def was_used(self, key: str, at: datetime) -> None:
        """Write down when the key was last used."""
        self._change(key, last_used=at)

    def _change(self, key: str, **values: datetime | None) -> None:
        self._connect().execute(update(_KEYS).where(_KEYS.c.access_key == key).values(**values))


def _key_of(row: RowMapping) -> AccessKey:
    names = ("created_at", "expires_at", "revoked_at", "last_used")
    times: dict[str, Any] = {name: _aware(row[name]) if row[name] else None for name in names}
    return AccessKey(id=row["access_key"], account=row["account"], role=Role(row["role"]), name=row["name"],
                     sealed_secret=row["sealed_secret"], **times)  # fmt: skip


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
