"""How often an agent looks at a node, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Pace:
    """How often a node is looked at, in seconds, and how long things may take.

    ``eager`` while something is still to happen, ``resharding`` while that is slots on their way,
    ``steady`` when all is as desired; of so many visits in a row that find all as
    desired, all but one only ``glances`` at what changes by itself; ``patience`` is how long one proof of
    replication waits; ``relink_after`` how long a replica without data may be without a link before it is told anew;
    ``start_within`` how long an engine may take to answer (loading its data included); an engine that has run but does not
    answer for ``hung_after`` is killed, for it still holds its addresses, and so is a primary that does not answer and gets nowhere
    for ``pulse_within``; a primary whose agent is out of touch takes no write when nobody outside its zone has acknowledged one for
    ``fence_lag`` seconds, is looked at every ``fenced`` seconds meanwhile, and is fenced no more when it has been answered for
    ``lift_after`` seconds; one that shall follow another and cannot for
    ``deposed_after`` seconds takes no writes; ``yield_within`` how long a primary takes no writes for the
    sake of an heir; ``grace`` is how long a stop may take. A node whose front could not listen for ``shut_out_after`` needs another
    address. One whose program is still being fetched is looked at every ``fetching`` seconds. What is ours but known to nobody is looked
    for every ``sweep`` seconds, and ended when it was found twice, ``stray_for`` seconds apart. A node that nobody asks about is measured
    every ``sample`` seconds.
    """

    eager: float = 0.003
    resharding: float = 0.25
    steady: float = 2.0
    glances: int = 10
    patience: float = 0.04
    relink_after: float = 0.05
    start_within: float = 60.0
    hung_after: float = 5.0
    yield_within: float = 2.0
    pulse_within: float = 1.0
    fence_lag: int = 1
    fenced: float = 0.25
    lift_after: float = 1.0
    deposed_after: float = 0.25
    replaced_within: float = 1.0
    shut_out_after: float = 1.5
    fetching: float = 0.25
    sweep: float = 60.0
    stray_for: float = 30.0
    sample: float = 15.0
    grace: timedelta = timedelta(seconds=20)
