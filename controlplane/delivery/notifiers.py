"""A notifier: hands one notification over to whoever looks after its topic."""

from __future__ import annotations

import json
import threading
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from controlplane.delivery.api_endpoint import ApiEndpoint
from controlplane.delivery.rolling_file import RollingFile
from controlplane.domain.delivery_place import DeliveryPlace, Way
from controlplane.domain.notifications import SUBJECT, Notification

if TYPE_CHECKING:
    from controlplane.delivery.webhook import Webhook

FILE = "notifications.jsonl"
"""Its name in the data folder."""


class Notifier(Protocol):
    """Delivers at least once: whoever ends halfway is called again with the same notification."""

    def deliver(self, notification: Notification) -> None:
        """Returns once it was taken. Raises ReceiverAwayError, and ReceiverRefusedError when its topic will take none."""

    def close(self) -> None:
        """Let go of what is open."""


def notifier_at(place: DeliveryPlace, folder: Path) -> Notifier:
    """The one that a setting names; ``folder`` is the data folder."""
    match place.way:
        case Way.API:
            return TopicNotifier(ApiEndpoint(place))
        case Way.WEBHOOK:
            from controlplane.delivery.webhook import Webhook  # who has none need not wait for an HTTP client

            return WebhookNotifier(Webhook(place))
        case _:
            return FileNotifier(RollingFile(folder / FILE))


class TopicNotifier:
    """Publishes through SNS's own API."""

    def __init__(self, endpoint: ApiEndpoint) -> None:
        self._endpoint = endpoint

    def deliver(self, notification: Notification) -> None:
        """Publish it in the topic's region."""
        with self._endpoint.errors():
            client = self._endpoint.client("sns", notification.world)
            client.publish(TopicArn=notification.topic, Subject=SUBJECT, Message=notification.body)

    def close(self) -> None:
        """Let the connections go."""
        self._endpoint.close()


class WebhookNotifier:
    """Posts as SNS does to a subscriber over HTTP."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def deliver(self, notification: Notification) -> None:
        """Post it with the headers that SNS gives."""
        told = {"message-type": "Notification", "message-id": notification.id, "topic-arn": notification.topic}
        headers = {f"x-amz-sns-{name}": value for name, value in told.items()}
        self._webhook.post(as_delivered(notification), headers)

    def close(self) -> None:
        """Let the connections go."""
        self._webhook.close()


class FileNotifier:
    """Appends to a file, a line each."""

    def __init__(self, file: RollingFile) -> None:
        self._file = file
        self._lock = threading.Lock()

    def deliver(self, notification: Notification) -> None:
        """Append it."""
        with self._lock:
            self._file.append(json.dumps(as_delivered(notification)).encode() + b"\n")

    def close(self) -> None:
        """Nothing is open."""


def as_delivered(notification: Notification) -> dict[str, str]:
    """The form of a delivery of SNS over HTTP. There is no signature: nobody here has a key of Amazon's."""
    at = notification.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {"Type": "Notification", "MessageId": notification.id, "TopicArn": notification.topic, "Subject": SUBJECT,
            "Message": notification.body, "Timestamp": at}  # fmt: skip
