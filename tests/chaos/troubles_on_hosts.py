"""What may go wrong on several hosts: with a host, a zone, a link, a control plane or the database."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hosts import ZONES
from waiting import wait_until

from chaos.troubles import Maker, Trouble, hand_overs

ELECTED_BY_ANOTHER = 6.0
"""Seconds until another control plane elects: 2.4 until it leads, 2.5 in which it counts everybody as heard, and as long as being told takes."""
SLOWEST, QUICKEST = 0.1, 0.02  # seconds that a frame is late


@dataclass
class OnHost(Trouble):
    """Of one host."""

    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 1
    host: str = ""
    zone: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["agent"] == self.host)


class HostCut(OnHost):
    """Nothing reaches it, nothing comes from it: neither agents nor clients. What runs there goes on."""

    name, unseats, loses, parts = "host cut off", True, True, True

    def begin(self, stage: Any) -> None:
        stage.hosts.network.cut(self.host)

    def end(self, stage: Any) -> None:
        stage.hosts.network.join(self.host)


@dataclass
class ZoneCut(Trouble):
    """The same with every host of a zone, which do not reach each other either."""

    name: ClassVar[str] = "zone cut off"
    unseats: ClassVar[bool] = True
    loses: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 1
    zone: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["zone"] == self.zone)

    def begin(self, stage: Any) -> None:
        stage.hosts.network.cut(*self._hosts())

    def end(self, stage: Any) -> None:
        stage.hosts.network.join(*self._hosts())

    def _hosts(self) -> list[str]:
        return [host for host, zone in ZONES.items() if zone == self.zone]


class HostKilled(OnHost):
    """Its agent and its engines are killed at once; after a while its agent is started again."""

    name, unseats, loses = "host killed", True, True

    def begin(self, stage: Any) -> None:
        there = [node["process_id"] for node in stage.nodes() if node["agent"] == self.host]
        stage.hosts.agents[self.host].end(signal.SIGKILL)
        for process in there:
            _kill(process)

    def end(self, stage: Any) -> None:
        stage.hosts.start_agent(self.host)


class HostAgentKilled(OnHost):
    """kill -9 of its agent. Its engines go on, and so does their primary; a replica moves when that takes long."""

    name, order = "agent killed", 2

    def strikes(self, primary: dict[str, Any]) -> bool:
        return False

    def begin(self, stage: Any) -> None:
        stage.hosts.agents[self.host].end(signal.SIGKILL)

    def end(self, stage: Any) -> None:
        stage.hosts.start_agent(self.host)


class HostDrained(OnHost):
    """Its nodes move to the other host of its zone, a primary hands over first; it is used again later."""

    name, unseats, certain, order = "host drained", True, False, 0

    def begin(self, stage: Any) -> None:
        stage.hosts.post(f"/v1/agents/{self.host}/drain")

    def end(self, stage: Any) -> None:
        stage.hosts.post(f"/v1/agents/{self.host}/undrain")


@dataclass
class LinkSlowed(OnHost):
    """Every frame to and from it is late: its primaries are slow, and stay."""

    name: ClassVar[str] = "slow link"
    seconds: float = QUICKEST
    _slowed: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def begin(self, stage: Any) -> None:
        self._slowed.enter_context(stage.hosts.network.slowed(self.host, self.seconds))

    def end(self, stage: Any) -> None:
        self._slowed.close()


@dataclass
class EngineCrash(Trouble):
    """kill -9 of one engine, by its process."""

    name: ClassVar[str] = "engine crash"
    unseats: ClassVar[bool] = True
    loses: ClassVar[bool] = True
    node: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["node"] == self.node)

    def begin(self, stage: Any) -> None:
        _kill(next(node["process_id"] for node in stage.nodes() if node["node"] == self.node))


@dataclass
class OnLeader(Trouble):
    """Of the control plane that leads. The caches do not notice, unless they need it."""

    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 3
    undecided: ClassVar[float] = ELECTED_BY_ANOTHER
    plane: str = ""


class LeaderKilled(OnLeader):
    """kill -9; it is started again later."""

    name = "leading control plane killed"

    def begin(self, stage: Any) -> None:
        stage.hosts.planes[self.plane].end(signal.SIGKILL)

    def end(self, stage: Any) -> None:
        stage.hosts.start_plane(self.plane)


class LeaderCut(OnLeader):
    """It reaches neither database nor agents nor callers, and does not know why."""

    name = "leading control plane cut off"

    def begin(self, stage: Any) -> None:
        stage.hosts.network.cut(self.plane)

    def end(self, stage: Any) -> None:
        stage.hosts.network.join(self.plane)


@dataclass
class DatabaseRestarted(Trouble):
    """It ends with every session, and is started again a while later. Nobody can be elected meanwhile."""

    name: ClassVar[str] = "database restarted"
    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 4
    undecided: ClassVar[float] = float("inf")

    def begin(self, stage: Any) -> None:
        stage.hosts.postgres.stop(signal.SIGINT)

    def end(self, stage: Any) -> None:
        stage.hosts.postgres.start()


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _on_hosts(kind: type[OnHost], *, only: tuple[str, ...] = tuple(ZONES)) -> Maker:
    """Those with a primary first: there it matters more."""

    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        leading = {stage.primary(lane)["agent"] for lane in stage.lanes}
        for host in sorted(draw.sample(only, len(only)), key=lambda host: host not in leading):
            yield kind(struck=frozenset({ZONES[host]}), told=f"of {host}", host=host, zone=ZONES[host])

    return make


def _on_zones(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    zones = sorted(set(ZONES.values()))
    for zone in draw.sample(zones, len(zones)):
        yield ZoneCut(struck=frozenset({zone}), told=f"of {zone}", zone=zone)


def _slow_links(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    for host in draw.sample(list(ZONES), len(ZONES)):
        seconds = draw.uniform(QUICKEST, SLOWEST)
        yield LinkSlowed(told=f"of {host}, {seconds * 1000:.0f} ms", host=host, zone=ZONES[host], seconds=seconds)


def _crashes(role: str) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        found = [node for lane in stage.lanes for node in stage.nodes(lane) if node.get("role") == role]
        for node in draw.sample(found, len(found)):
            yield EngineCrash(struck=frozenset({node["zone"]}), told=f"of {node['node']}, a {role} on {node['agent']}", node=node["node"])

    return make


def _on_leader(kind: type[OnLeader]) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        plane = wait_until(stage.hosts.leader)
        yield kind(told=f"{plane}", plane=plane)

    return make


def _database(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    yield DatabaseRestarted()


DRAINABLE = tuple(host for host, zone in ZONES.items() if list(ZONES.values()).count(zone) > 1)
KINDS_ON_HOSTS: dict[str, Maker] = {
    "host cut": _on_hosts(HostCut),
    "zone cut": _on_zones,
    "host killed": _on_hosts(HostKilled),
    "crashed primary": _crashes("primary"),
    "crashed replica": _crashes("replica"),
    "killed agent": _on_hosts(HostAgentKilled),
    "killed leader": _on_leader(LeaderKilled),
    "cut leader": _on_leader(LeaderCut),
    "slow link": _slow_links,
    "drained host": _on_hosts(HostDrained, only=DRAINABLE),
    "planned failover": hand_overs,
    "restarted database": _database,
}
