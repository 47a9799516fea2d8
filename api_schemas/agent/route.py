"""A stable endpoint that is spread over several nodes, and the nodes behind it."""

from __future__ import annotations

from pydantic import Field

from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.transit import Transit
from api_schemas.shape import Shape


class RouteSpec(Shape):
    """An endpoint: connections to ``address:port`` are spread over ``backends`` (``address:port`` each), one per connection.

    A connection to a backend that leaves the list is closed. An empty list refuses connections. With ``discovery``, connections
    are Memcached's, and ``config get cluster`` on them is answered with it. With ``transit`` they are spoken to in TLS; who is to speak it
    and does not is served only from an address among ``trusted``. Backends are dialled from ``source``, where that is said. ``files`` is
    where its agent keeps the certificate, which it fills in for itself.
    """

    key: str
    generation: int
    address: str
    port: int
    backends: list[str] = Field(default_factory=list)
    discovery: DiscoveryList | None = None
    transit: Transit | None = None
    trusted: list[str] = Field(default_factory=list)
    source: str | None = None
    files: str = ""


class RouteReport(Shape):
    """What the relay does for one route: whether it listens, the backends it spreads over, the version of the list it answers with.

    ``transit`` is the digest of what it speaks TLS with, "" where it does not.
    """

    key: str
    generation: int
    listening: bool
    backends: list[str] = Field(default_factory=list)
    problem: str | None = None
    discovery: int = 0
    transit: str = ""
