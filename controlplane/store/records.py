"""Events, tags, subnet groups, parameter groups and facts: small records that are read from the database as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, delete, insert, inspect, select
from sqlmodel import SQLModel

from controlplane.domain.events import Event
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.subnet_group import SubnetGroup
from controlplane.domain.topology import World
from controlplane.domain.user import User, UserGroup
from controlplane.store.tables import EventRow, FactRow, ParameterGroupRow, SubnetGroupRow, TagRow, UserGroupRow, UserRow

_SUBNET_GROUP = TypeAdapter(SubnetGroup)
_PARAMETER_GROUP = TypeAdapter(ParameterGroup)
_USER = TypeAdapter(User)
_USER_GROUP = TypeAdapter(UserGroup)
_EVENT_COLUMNS = inspect(EventRow).columns
KEPT = timedelta(days=14)
"""How long events are kept, as in the service."""

_PRUNE_EVERY = 500
Connect = Callable[[], Connection]


_SAY = insert(EventRow)  # made once: to make a statement takes longer than to carry it out


class Events:
    """What happened, newest first. ``said`` is what this unit of work has said, and ``numbers`` are the events' numbers."""

    def __init__(self, connect: Connect, publish: Callable[[Event], None] = lambda event: None) -> None:
        """``publish`` hears of every event that is said."""
        self._connect = connect
        self._publish = publish
        self.said: list[Event] = []
        self.numbers: list[int] = []

    def say(self, event: Event) -> None:
        """Write an event down."""
        row = {"account": event.world.account, "region": event.world.region, "source_type": event.source_type, "source": event.source,
               "message": event.message, "because": event.because, "at": event.at}  # fmt: skip
        written = self._connect().execute(_SAY, row)
        self.said.append(event)
        number = written.inserted_primary_key[0] if written.inserted_primary_key is not None else 0
        self.numbers.append(number)
        self._publish(replace(event, number=number))
        if number % _PRUNE_EVERY == 0:
            self.prune(event.at - KEPT)

    def numbered(self, numbers: Collection[int]) -> list[Event]:
        """The events of these numbers, oldest first."""
        asked = select(*_EVENT_COLUMNS).where(EventRow.number.in_(numbers)).order_by(EventRow.number)  # type: ignore[union-attr, arg-type]
        return [_event_of(row) for row in self._connect().execute(asked).mappings()]

    def between(self, world: World, start: datetime, end: datetime, source_type: str | None, source: str | None) -> list[Event]:
        """The events of a world from ``start`` up to ``end``, newest first."""
        asked = select(*_EVENT_COLUMNS).where(EventRow.account == world.account, EventRow.region == world.region)  # type: ignore[arg-type]
        asked = asked.where(EventRow.at >= start, EventRow.at <= end)  # type: ignore[arg-type]
        if source_type is not None:
            asked = asked.where(EventRow.source_type == source_type)  # type: ignore[arg-type]
        if source is not None:
            asked = asked.where(EventRow.source == source)  # type: ignore[arg-type]
        rows = self._connect().execute(asked.order_by(EventRow.number.desc())).mappings()  # type: ignore[union-attr]
        return [_event_of(row) for row in rows]

    def prune(self, before: datetime) -> None:
        """Forget the events older than that."""
        self._connect().execute(delete(EventRow).where(EventRow.at < before))  # type: ignore[arg-type]


def _event_of(row: RowMapping) -> Event:
    at = row["at"] if row["at"].tzinfo else row["at"].replace(tzinfo=UTC)
    world = World(row["account"], row["region"])
    return Event(world, row["source_type"], row["source"], row["message"], at, row["because"], row["number"])


class Tags:
    """Tags by ARN."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def of(self, arn: str) -> dict[str, str]:
        """The tags of a resource, by name in order."""
        rows = self._connect().execute(select(TagRow.name, TagRow.text).where(TagRow.arn == arn).order_by(TagRow.name))  # type: ignore[call-overload]
        return dict(tuple(row) for row in rows)

    def put(self, arn: str, tags: dict[str, str]) -> None:
        """Replace all tags of a resource."""
        self._connect().execute(delete(TagRow).where(TagRow.arn == arn))  # type: ignore[arg-type]
        rows = [{"arn": arn, "name": name, "text": text} for name, text in tags.items()]
        if rows:
            self._connect().execute(insert(TagRow), rows)


Group = TypeVar("Group", SubnetGroup, ParameterGroup, User, UserGroup)


class _Groups(Generic[Group]):
    """Groups of one kind by name, or users by id, in their world."""

    def __init__(self, connect: Connect, row: type[SQLModel], form: TypeAdapter[Group]) -> None:
        self._connect = connect
        self._table = inspect(row).local_table
        self._form: TypeAdapter[Group] = form

    def of(self, world: World) -> Sequence[Group]:
        """Every group of the world, by name."""
        asked = select(self._table.c.document).where(*self._in(world)).order_by(self._table.c.name)
        return [self._form.validate_json(document) for document in self._connect().execute(asked).scalars()]

    def get(self, world: World, name: str) -> Group | None:
        """The group of that name."""
        asked = select(self._table.c.document).where(*self._in(world), self._table.c.name == name)
        document = self._connect().execute(asked).scalar()
        return None if document is None else self._form.validate_json(document)

    def save(self, group: Group) -> None:
        """Write a group down in place of its former value."""
        self.forget(group)
        place = {"account": group.world.account, "region": group.world.region, "name": self._id(group)}
        self._connect().execute(insert(self._table).values(**place, document=self._form.dump_json(group).decode()))

    def forget(self, group: Group) -> None:
        """Remove a group."""
        self._connect().execute(delete(self._table).where(*self._in(group.world), self._table.c.name == self._id(group)))

    def _id(self, group: Group) -> str:
        return group.id if isinstance(group, User | UserGroup) else group.name

    def _in(self, world: World) -> tuple[Any, Any]:
        return (self._table.c.account == world.account, self._table.c.region == world.region)


class SubnetGroups(_Groups[SubnetGroup]):
    """Cache subnet groups by name, in their world."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(connect, SubnetGroupRow, _SUBNET_GROUP)


class ParameterGroups(_Groups[ParameterGroup]):
    """Cache parameter groups of callers' own by name, in their world."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(connect, ParameterGroupRow, _PARAMETER_GROUP)


class Users(_Groups[User]):
    """Users by id, in their world; all but the one that is in every account."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(connect, UserRow, _USER)


class UserGroups(_Groups[UserGroup]):
    """User groups by id, in their world."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(connect, UserGroupRow, _USER_GROUP)


class Facts:
    """Facts about this control plane, by name. ``touched`` are those that this unit of work has written down."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self.touched: set[str] = set()

    def get(self, name: str) -> str | None:
        """The fact of that name."""
        text: str | None = self._connect().execute(select(FactRow.text).where(FactRow.name == name)).scalar()  # type: ignore[call-overload]
        return text

    def put(self, name: str, text: str) -> None:
        """Write a fact down in place of its former value."""
        self.touched.add(name)
        self._connect().execute(delete(FactRow).where(FactRow.name == name))  # type: ignore[arg-type]
        self._connect().execute(insert(FactRow).values(name=name, text=text))
