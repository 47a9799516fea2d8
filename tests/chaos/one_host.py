"""The storm on one host: a control plane and three agents as programs of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment import ZONES, Deployment
from waiting import wait_until

from chaos.stage import Stage
from chaos.troubles import KINDS
from chaos.world import World


class OneHost(Stage):
    """A deployment."""

    def __init__(self, folder: Path) -> None:
        self.deployment = Deployment(folder)
        self.lanes = []

    def start(self) -> None:
        self.deployment.start()
        wait_until(self.all_are_heard)
        self.create_groups()

    def clear(self) -> None:
        self.deployment.clear()

    @property
    def url(self) -> str:
        return self.deployment.url

    @property
    def elasticache(self) -> Any:
        return self.deployment.client()

    def ask(self, path: str) -> dict[str, Any]:
        return self.deployment.ask(path)

    def available(self, group: str) -> dict[str, Any]:
        return self.deployment.available(group)

    def all_are_heard(self) -> bool:
        return sum(self.deployment.heard().values()) == len(ZONES)


ONE_HOST = World(OneHost, KINDS)
