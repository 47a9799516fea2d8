"""A delivery place: where an operator has notifications or logs handed over to, as a setting names it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class Way(StrEnum):
    """How something is handed over: written to files, posted to a webhook, or through the service's own API at another endpoint."""

    FILES = "files"
    WEBHOOK = "webhook"
    API = "api"


@dataclass(frozen=True, slots=True)
class DeliveryPlace:
    """The way, and the URL of the webhook or the endpoint, which is empty for files."""

    way: Way = Way.FILES
    url: str = ""

    @property
    def shown(self) -> str:
        """Its URL as far as anybody may read it: credentials, query and path are left out."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def delivery_place(asked: str, api: str) -> DeliveryPlace:
    """What a setting names: nothing means files, ``<api>+http(s)://…`` an endpoint of that API, any other URL a webhook.

    Raises ValueError.
    """
    if not asked:
        return DeliveryPlace()
    way, url = (Way.API, asked[len(api) + 1 :]) if asked.startswith(f"{api}+") else (Way.WEBHOOK, asked)
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"it is neither a webhook as in https://host/path nor an endpoint as in {api}+http://127.0.0.1:4566")
    if way is Way.API and (parts.username or parts.query):
        raise ValueError(f"the endpoint of {api}+ takes neither credentials nor a query; boto3 finds its credentials as it always does")
    return DeliveryPlace(way, url)
