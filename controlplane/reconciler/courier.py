"""The courier: publishes what is in the outbox, in order for each topic, and goes on with it after whatever ended it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta

from controlplane.clock import Clock
from controlplane.delivery.notifiers import Notifier
from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.domain.events import Event
from controlplane.domain.notifications import Notification, published_name
from controlplane.reconciler.due import Due
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Committed, Store, StoreAwayError, Unit

log = logging.getLogger("cachewright.reconciler")

GIVEN_UP_AFTER = timedelta(hours=6)
"""How long a notification is offered to a receiver that does not take it."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds before another try
_AT_ONCE = 20
_WORKERS = 4
_OUTBOX = ""  # no topic's ARN: all of them


class Courier:
    """Workers over the topics that something waits for, while this control plane leads. Nobody ever waits for them."""

    def __init__(self, store: Store, clock: Clock, notifier: Notifier) -> None:
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._due = Due(lambda: store.leadership.leads)
        self._tries: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._threads = [threading.Thread(target=self._work, name=f"courier-{number}", daemon=True) for number in range(_WORKERS)]
        store.listen(self._on_commit)

    def start(self) -> None:
        """Begin, as soon as this control plane leads."""
        for thread in self._threads:
            thread.start()

    def lead(self) -> None:
        """What a former life, or another control plane, left in the outbox is published now."""
        self._not_before.clear()
        self._due.wake(_OUTBOX)

    def close(self) -> None:
        """End; what was not taken is offered again by whoever leads next."""
        self._due.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)
        self._notifier.close()

    def publish(self, topic: str) -> None:
        """Offer a topic all that waits for it, the oldest first, until it does not take one. Raises as the store."""
        while not self._due.closing:
            with self._store.reading() as unit:
                waiting = unit.outbox.first(topic, _AT_ONCE)
            if not waiting:
                return
            for notification in waiting:
                if self._due.closing:
                    return
                try:
                    self._notifier.deliver(notification)
                except ReceiverRefusedError as refused:
                    self._silence(notification, str(refused))
                    return
                except ReceiverAwayError as away:
                    self._try_later(notification, str(away))
                    return
                self._tries.pop(topic, None)
                with self._store.transaction(leading=True) as unit:
                    unit.outbox.forget([notification])

    def _silence(self, notification: Notification, why: str) -> None:
        """A topic that takes nothing is inactive for everybody who has it, until a caller says otherwise."""
        log.warning("topic refuses, and is inactive now  topic=%s because=%s", notification.topic, why)
        with self._store.transaction(leading=True) as unit:
            unit.outbox.forget_topic(notification.topic)
            for topology in unit.topologies.of(notification.world):
                settings = topology.settings
                if settings.notification_topic == notification.topic and settings.notification_active and not topology.is_going:
                    unit.topologies.save(replace(topology, settings=replace(settings, notification_active=False)))
                    message = f"Topic {notification.topic} is inactive: {why}. Set NotificationTopicStatus to active to try it again"
                    unit.events.say(Event(topology.world, topology.kind.value, topology.name, message, self._clock.now(), why))

    def _try_later(self, notification: Notification, why: str) -> None:
        topic = notification.topic
        tries = self._tries[topic] = self._tries.get(topic, 0) + 1
        if tries == 1:
            log.warning("notification not taken, trying again  topic=%s because=%s", topic, why)
        old = self._clock.now() - GIVEN_UP_AFTER
        if notification.at < old:
            with self._store.transaction(leading=True) as unit:
                self._give_up(unit, unit.outbox.before(topic, old), why)
        pause = min(_FIRST_PAUSE * 2.0 ** min(tries - 1, 10), _LONGEST_PAUSE)
        self._not_before[topic] = time.monotonic() + pause
        self._due.wake(topic, pause)

    def _give_up(self, unit: Unit, notifications: list[Notification], why: str) -> None:
        """Say of everything that was not told how much that is."""
        unit.outbox.forget(notifications)
        hours = GIVEN_UP_AFTER.total_seconds() / 3600
        sources = [(each.world, each.source_type, each.source, each.topic) for each in notifications]
        for source in dict.fromkeys(sources):
            world, kind, name, topic = source
            message = f"{sources.count(source)} notifications to {topic} were given up after {hours:g} hours: {why}"
            unit.events.say(Event(world, kind, name, message, self._clock.now(), why))

    def _on_commit(self, committed: Committed) -> None:
        if any(published_name(event) for event in committed.events):
            self._due.wake(_OUTBOX)

    def _work(self) -> None:
        while (topic := self._due.take()) is not None:
            try:
                self._look(topic)
            except NotLeadingError:
                log.info("publishing given up, for another control plane leads  topic=%s", topic)
            except Exception as failed:  # what fails of one topic must not end the work on all others
                if isinstance(failed, StoreAwayError):
                    log.warning("notifications wait, for the database is away  because=%s", failed)
                else:
                    log.exception("notifications could not be published  topic=%s", topic)
                self._due.wake(topic, _FIRST_PAUSE * 4)
            finally:
                self._due.done(topic)

    def _look(self, topic: str) -> None:
        if topic != _OUTBOX:
            self.publish(topic)
            return
        with self._store.reading() as unit:
            topics = unit.outbox.topics()
        for waiting in topics:
            self._due.wake(waiting, max(0.0, self._not_before.get(waiting, 0.0) - time.monotonic()))
