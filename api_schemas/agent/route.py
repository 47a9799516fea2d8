"""A stable endpoint that is spread over several nodes, and the nodes behind it."""

from __future__ import annotations

from pydantic import Field

from api_schemas.agent.discovery import DiscoveryList
from api_schemas.shape import Shape


class RouteSpec(Shape):
    """An endpoint: connections to ``address:port`` are spread over ``backends`` (``address:port`` each), one per connection.

    A connection to a backend that leaves the list is closed. An empty list refuses connections. With ``discovery``, connections
    are Memcached's, and ``config get cluster`` on them is answered with it.
    """

    key: str
    generation: int
    address: str
    port: int
    backends: list[str] = Field(default_factory=list)
    discovery: DiscoveryList | None = None


class RouteReport(Shape):
    """What the relay does for one route: whether it listens, the backends it spreads over, the version of the list it answers with."""

    key: str
    generation: int
    listening: bool
    backends: list[str] = Field(default_factory=list)
    problem: str | None = None
    discovery: int = 0
