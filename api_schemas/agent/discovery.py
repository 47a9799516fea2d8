"""What a Memcached cluster tells clients that discover its nodes."""

from __future__ import annotations

from api_schemas.shape import Shape


class DiscoveryList(Shape):
    """A list of nodes, ``host|ip|port`` each, with a blank between; its version rises with every change."""

    version: int
    nodes: str

    @property
    def payload(self) -> str:
        """The list as clients read it: the version in a line of its own, then the nodes in another."""
        return f"{self.version}\n{self.nodes}\n"
