"""An endpoint that speaks APIs of the service's neighbours (SNS, CloudWatch Logs, Firehose), asked through boto3's clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.domain.delivery_place import DeliveryPlace
from controlplane.domain.topology import World

_REFUSALS = frozenset(
    {
        "NotFound", "NotFoundException", "AuthorizationError", "AuthorizationErrorException", "AccessDenied", "AccessDeniedException",
        "ResourceNotFoundException", "EndpointDisabled", "InvalidParameter", "InvalidParameterException", "InvalidParameterValue",
        "KMSAccessDenied", "KMSDisabled", "KMSInvalidState", "KMSNotFound", "KMSOptInRequired", "UnrecognizedClientException",
    }
)  # fmt: skip
_SECRET = "cachewright"  # noqa: S105  # of who has no credentials: such an endpoint looks at none


class ApiEndpoint:
    """Clients by service, account and region, kept. For several threads at once.

    They have the credentials that boto3 finds, and where it finds none, the account's id for an access key.
    """

    def __init__(self, place: DeliveryPlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, str], Any] = {}

    def client(self, service: str, world: World) -> Any:
        """A client of that service for what belongs to that world."""
        key = (service, world.account, world.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(*key)
            return self._clients[key]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What goes wrong within becomes ReceiverAwayError or ReceiverRefusedError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as failed:
            code, told = code_of(failed), str(failed.response.get("Error", {}).get("Message", ""))[:200]
            why = f"{self._place.shown} answers {code}" + (f": {told}" if told else "")
            raise (ReceiverRefusedError(why) if code in _REFUSALS else ReceiverAwayError(why)) from failed
        except BotoCoreError as failed:
            raise ReceiverAwayError(f"{self._place.shown} does not answer: {str(failed)[:200]}") from failed

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _made(self, service: str, account: str, region: str) -> Any:
        import boto3  # to load it takes its time, and many never need it
        from botocore.config import Config

        session = boto3.session.Session()
        known = {} if session.get_credentials() else {"aws_access_key_id": account, "aws_secret_access_key": _SECRET}
        config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})
        return session.client(service, endpoint_url=self._place.url, region_name=region, config=config, **known)


def code_of(failed: Exception) -> str:
    """The code of a ClientError."""
    return str(getattr(failed, "response", {}).get("Error", {}).get("Code", ""))
