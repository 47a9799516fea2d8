"""The notification topic of a cache: given, changed, turned off and removed by callers."""

from __future__ import annotations

import re
from dataclasses import replace

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.settings import Settings
from controlplane.domain.topology import World

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_-]{1,256})")
_FORM = "arn:aws:sns:REGION:ACCOUNT:NAME"


def with_topic(settings: Settings, world: World, topic: str | None, status: str | None = None) -> Settings:
    """The settings with that topic, or without one if it is empty; None leaves it. A new one is active unless the status says otherwise.

    Raises InvalidParameterValue, and InvalidParameterCombination for a status without a topic.
    """
    if status not in (None, "", "active", "inactive"):
        raise InvalidParameterValue(f"Invalid value {status[:40]!r} for NotificationTopicStatus: it is active or inactive.")
    changed = settings
    if topic == "":
        changed = replace(changed, notification_topic=None, notification_active=True)
    elif topic is not None and topic != settings.notification_topic:
        changed = replace(changed, notification_topic=_checked(topic, world), notification_active=True)
    if changed.notification_topic is None:
        if status == "active":
            raise InvalidParameterCombination("NotificationTopicStatus active needs a topic: give NotificationTopicArn as well.")
        return changed
    return replace(changed, notification_active=status == "active") if status else changed


def _checked(topic: str, world: World) -> str:
    found = _TOPIC.fullmatch(topic)
    if found is None or topic.endswith(".fifo"):
        raise InvalidParameterValue(f"{topic[:100]!r} is not the ARN of a topic; they look like {_FORM}.")
    if (found[2], found[1]) != (world.account, world.region):
        raise InvalidParameterValue(
            f"Topic {topic[:300]} is of account {found[2]} in {found[1]}; it must be of the cache's own account {world.account} "
            f"in {world.region}."
        )
    return topic
