"""A server that dies at a chosen moment of its first handover: a program, told the moment before what the command is told."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import redis
from waiting import wait_until

from api_schemas.agent.agent import Orders
from api_schemas.agent.node import NodeSpec, Role
from cachewright.cli.main import main
from controlplane.planner.decisions import ElectPrimary
from controlplane.reconciler.push import Pusher
from controlplane.reconciler.record import Recorder

YIELDED, ELECTED, HEIR_TOLD, LEAVER_TOLD = "yielded", "elected", "heir-told", "leaver-told"
MOMENTS = (YIELDED, ELECTED, HEIR_TOLD, LEAVER_TOLD)
"""The word has come and nobody is elected; elected and nobody is told; the heir leads and the leaver is not told; the reverse."""


def die_at(moment: str) -> None:
    """Have this process end without a word at that moment."""
    record, deliver = Recorder.record, Pusher._deliver

    def recording(self: Recorder, unit: Any, topology: Any, decisions: Any, now: Any) -> None:
        if moment == YIELDED and any(isinstance(each, ElectPrimary) for each in decisions):
            _die()
        record(self, unit, topology, decisions, now)

    def delivering(self: Pusher, agent: str, order: Orders) -> bool:
        elected = [spec for spec in order.nodes if spec.epoch > 1]
        heir = next((spec for spec in elected if spec.role is Role.PRIMARY), None)
        leaver = next((spec for spec in elected if spec.role is Role.REPLICA and _led(self, agent, spec.key)), None)
        if elected and moment == ELECTED:
            _die()
        if heir is not None and moment == LEAVER_TOLD:
            return False
        taken = deliver(self, agent, order)
        if (heir is not None and moment == HEIR_TOLD) or (leaver is not None and moment == LEAVER_TOLD):
            if heir is not None:
                _wait_until_it_leads(heir)
            _die()
        return taken

    Recorder.record, Pusher._deliver = recording, delivering  # type: ignore[method-assign]


def _led(pusher: Pusher, agent: str, key: str) -> bool:
    former = pusher._taken[agent].get(key)
    return isinstance(former, NodeSpec) and former.role is Role.PRIMARY


def _wait_until_it_leads(heir: NodeSpec) -> None:
    with redis.Redis(heir.address, heir.port) as engine:
        wait_until(lambda: engine.info("replication")["role"] == "master", every=0.001)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_at(sys.argv.pop(1))
    main()
