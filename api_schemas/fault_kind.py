"""The kinds of fault that can be injected. Knows no library, so that the domain may use it."""

from __future__ import annotations

from enum import StrEnum


class FaultKind(StrEnum):
    """What is done to nodes, to a zone, or to the network between two zones."""

    CRASH = "node-crash"          # the process is killed, once
    HANG = "node-hang"            # the process is stopped, and goes on at the end
    SLOW = "node-slow"            # the process is stopped for a share of the time
    POWER_LOSS = "zone-power-loss"  # processes are killed, and none is started before the end
    ISOLATION = "zone-isolation"  # no packet passes between the zone and any other; its agent is silent
    CUT = "link-cut"              # no packet passes between two zones
    SILENCE = "agent-silence"     # the agent neither reports nor takes orders


ON_NODES = frozenset({FaultKind.CRASH, FaultKind.HANG, FaultKind.SLOW})
"""What is done to nodes, wherever they are."""

BY_FILTER = frozenset({FaultKind.ISOLATION, FaultKind.CUT})
"""What needs a packet filter, which few users may set."""
