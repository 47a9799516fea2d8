"""What a courier does with notifications: in order, once taken never again, and given up with a word about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from factories import NOW, WORLD, FixedClock, a_group

from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.domain.events import Event
from controlplane.domain.notifications import Notification, published_name
from controlplane.reconciler.courier import GIVEN_UP_AFTER, Courier
from controlplane.store.store import Store

TOPIC = f"arn:aws:sns:{WORLD.region}:{WORLD.account}:topic"


class NotedNotifier:
    """Notes what it was given, and does not take it while it has a reason."""

    def __init__(self) -> None:
        self.took: list[Notification] = []
        self.offered = 0
        self.wrong: Exception | None = None

    def deliver(self, notification: Notification) -> None:
        self.offered += 1
        if self.wrong is not None:
            raise self.wrong
        self.took.append(notification)

    def close(self) -> None:
        """Nothing is open."""


class Ground:
    """A store with a group that has a topic, and a courier that is told when to work."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder / 'plane.db'}")
        self.clock = FixedClock()
        self.notifier = NotedNotifier()
        self.courier = Courier(self.store, self.clock, self.notifier)
        group = a_group()
        with self.store.transaction() as unit:
            unit.topologies.save(replace(group, settings=replace(group.settings, notification_topic=TOPIC)))

    def say(self, kind: str, source: str, message: str) -> None:
        with self.store.transaction() as unit:
            unit.events.say(Event(WORLD, kind, source, message, self.clock.now()))

    def waiting(self) -> list[str]:
        with self.store.reading() as unit:
            return [each.body for each in unit.outbox.first(TOPIC, 100)]

    def messages(self) -> list[str]:
        with self.store.reading() as unit:
            return [event.message for event in unit.events.between(WORLD, NOW, self.clock.now(), None, None)]

    def is_active(self) -> bool:
        return next(iter(self.store.topologies.by_uid.values())).settings.notification_active


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.courier.close()
    made.store.close()


def test_what_has_no_name_in_sns_or_is_of_others_is_not_published(ground: Ground) -> None:
    ground.say("replication-group", "orders", "Test Failover API called for node group 0001")
    ground.say("cache-cluster", "others", "Cache cluster created")
    ground.say("cache-cluster", "orders-002", "Cache cluster created")
    assert ground.waiting() == ['{"ElastiCache:CacheClusterProvisioningComplete":"orders-002"}']


def test_a_parameter_of_a_group_is_told_to_the_topics_of_those_who_use_it(ground: Ground) -> None:
    used = next(iter(ground.store.topologies.by_uid.values())).parameter_group
    ground.say("cache-parameter-group", used, "Updated parameter timeout to 10")
    ground.say("cache-parameter-group", "unused", "Updated parameter timeout to 10")
    assert ground.waiting() == [f'{{"ElastiCache:CacheClusterParametersChanged":"{used}"}}']


def test_what_was_taken_is_not_offered_again_and_what_was_not_stays_in_order(ground: Ground) -> None:
    for number in (1, 2, 3):
        ground.say("cache-cluster", f"orders-00{number}", "Cache cluster created")
    ground.notifier.wrong = ReceiverAwayError("down")
    ground.courier.publish(TOPIC)
    assert (ground.notifier.offered, len(ground.waiting())) == (1, 3)
    ground.notifier.wrong = None
    ground.courier.publish(TOPIC)
    assert [each.body[-13:] for each in ground.notifier.took] == [f':"orders-00{number}"}}'[-13:] for number in (1, 2, 3)]
    assert ground.waiting() == []
    ground.courier.publish(TOPIC)
    assert ground.notifier.offered == 4


def test_what_nobody_takes_for_hours_is_given_up_and_an_event_says_so(ground: Ground) -> None:
    ground.say("cache-cluster", "orders-001", "Cache cluster created")
    ground.notifier.wrong = ReceiverAwayError("nobody answers")
    ground.clock.moment += GIVEN_UP_AFTER
    ground.say("cache-cluster", "orders-002", "Cache cluster created")
    ground.courier.publish(TOPIC)
    assert len(ground.waiting()) == 2
    ground.clock.moment += timedelta(seconds=1)
    ground.courier.publish(TOPIC)
    assert ground.waiting() == ['{"ElastiCache:CacheClusterProvisioningComplete":"orders-002"}']
    assert f"1 notifications to {TOPIC} were given up after 6 hours: nobody answers" in ground.messages()
    assert ground.is_active()


def test_a_topic_that_refuses_is_inactive_and_hears_nothing_more(ground: Ground) -> None:
    ground.say("cache-cluster", "orders-001", "Cache cluster created")
    ground.notifier.wrong = ReceiverRefusedError("NotFound")
    ground.courier.publish(TOPIC)
    ground.say("cache-cluster", "orders-002", "Cache cluster created")
    assert ground.waiting() == []
    assert not ground.is_active()
    assert f"Topic {TOPIC} is inactive: NotFound. Set NotificationTopicStatus to active to try it again" in ground.messages()


@pytest.mark.parametrize(
    ("kind", "message", "name"),
    [
        ("cache-cluster", "Finished modifying number of nodes from 1 to 3", "AddCacheNodeComplete"),
        ("cache-cluster", "Removed cache nodes 0003", "RemoveCacheNodeComplete"),
        ("cache-cluster", "Cache node 0001 restarted", "CacheNodesRebooted"),
        ("cache-cluster", "Cache node 0001 shutdown", None),
        ("cache-cluster", "Recovering cache nodes 0001", "CacheNodeReplaceStarted"),
        ("cache-cluster", "Finished recovery for cache nodes 0001", "CacheNodeReplaceComplete"),
        ("cache-cluster", "Succeeded applying modification to cache node type to cache.t3.micro.", "CacheClusterScalingComplete"),
        ("replication-group", "Failed applying modification to cache node type to cache.t3.micro.", "ReplicationGroupScalingFailed"),
        ("replication-group", "Failover from primary node a-001 to replica node a-002 completed", "FailoverComplete"),
        ("replication-group", "Increasing number of replicas from 1 to 2", "ReplicationGroupIncreaseReplicaCountStarted"),
        ("replication-group", "Finished increasing number of replicas from 1 to 2", "ReplicationGroupIncreaseReplicaCountFinished"),
        ("replication-group", "Finished decreasing number of replicas from 2 to 1", None),
        ("cache-cluster", "Snapshot succeeded for snapshot with ID 'a' of cache cluster with ID 'b'", "SnapshotComplete"),
        ("cache-cluster", "Added cache node 0001 in availability zone us-east-1a", None),
    ],
)
def test_events_are_published_under_the_names_of_the_service(kind: str, message: str, name: str | None) -> None:
    expected = f"ElastiCache:{name}" if name else None
    assert published_name(Event(WORLD, kind, "any", message, NOW)) == expected
