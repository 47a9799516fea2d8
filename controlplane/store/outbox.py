"""The outbox: notifications that were written down with their events, until their topics have taken them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Connection, RowMapping, Table, delete, insert, inspect, select

from controlplane.domain.events import Event
from controlplane.domain.notifications import Notification, body_of, published_name
from controlplane.domain.topology import Kind, Topology, World
from controlplane.store.tables import NotificationRow
from controlplane.store.topologies import Topologies

_TABLE = cast(Table, inspect(NotificationRow).local_table)
_ADD = insert(NotificationRow)


class Outbox:
    """What is still to be published, of all worlds, in the order in which it happened."""

    def __init__(self, connect: Callable[[], Connection], topologies: Topologies) -> None:
        self._connect = connect
        self._topologies = topologies
        self._added: set[tuple[str, str]] = set()

    def add(self, event: Event) -> None:
        """Have the topics hear of it that it concerns, and that are active. The same words to the same topic are said once in a commit."""
        name = published_name(event)
        if name is None:
            return
        body = body_of(event, name)
        for topic in _topics(self._topologies, event):
            if (topic, body) not in self._added:
                self._added.add((topic, body))
                row = {"account": event.world.account, "region": event.world.region, "topic": topic, "id": _id(event, topic),
                       "source_type": event.source_type, "source": event.source, "body": body, "at": event.at}  # fmt: skip
                self._connect().execute(_ADD, row)

    def topics(self) -> list[str]:
        """Those that something waits for."""
        return list(self._connect().execute(select(_TABLE.c.topic).distinct()).scalars())

    def first(self, topic: str, most: int) -> list[Notification]:
        """The oldest ones to a topic."""
        asked = select(_TABLE).where(_TABLE.c.topic == topic).order_by(_TABLE.c.number).limit(most)
        return [_notification(row) for row in self._connect().execute(asked).mappings()]

    def before(self, topic: str, moment: datetime) -> list[Notification]:
        """Those to a topic that are older than that."""
        asked = select(_TABLE).where(_TABLE.c.topic == topic, _TABLE.c.at < moment)
        return [_notification(row) for row in self._connect().execute(asked.order_by(_TABLE.c.number)).mappings()]

    def forget(self, notifications: Sequence[Notification]) -> None:
        """They were taken, or given up."""
        numbers = [notification.number for notification in notifications]
        if numbers:
            self._connect().execute(delete(_TABLE).where(_TABLE.c.number.in_(numbers)))

    def forget_topic(self, topic: str) -> None:
        """Nothing is to be published to it."""
        self._connect().execute(delete(_TABLE).where(_TABLE.c.topic == topic))


def _id(event: Event, topic: str) -> str:
    """An id in the form that SNS gives its messages, the same for this event and topic whoever asks."""
    digest = hashlib.sha256(f"{event.world}/{event.number}/{event.at}/{topic}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _topics(topologies: Topologies, event: Event) -> Iterator[str]:
    """The active topics of what an event is about, each once."""
    concerned = (topology.settings for topology in _concerned(topologies, event))
    yield from dict.fromkeys(each.notification_topic for each in concerned if each.notification_topic and each.notification_active)


def _concerned(topologies: Topologies, event: Event) -> Iterator[Topology]:
    match event.source_type:
        case Kind.CACHE_CLUSTER.value:
            found = topologies.owner_of(event.world, event.source)
        case Kind.REPLICATION_GROUP.value:
            found = topologies.named(event.world, Kind.REPLICATION_GROUP, event.source)
        case _:
            yield from (each for each in topologies.of(event.world) if each.parameter_group == event.source)
            return
    if found is not None:
        yield found


def _notification(row: RowMapping) -> Notification:
    at = row["at"] if row["at"].tzinfo else row["at"].replace(tzinfo=UTC)
    world = World(row["account"], row["region"])
    return Notification(world, row["topic"], row["id"], row["source_type"], row["source"], row["body"], at, row["number"])
