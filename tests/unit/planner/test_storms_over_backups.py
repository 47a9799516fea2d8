"""Random histories during which snapshots are taken, and of what begins with one: what is kept is whole, and what begins has it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from factories import NOW
from simulated_archive import PLACE, seeded
from simulation import Fleet
from test_storms import (
    COUNTING,
    Happening,
    _calm,
    _crash,
    _link_stalls,
    _must_be_as_desired,
    _scalable,
    _some_group,
    _some_shards,
    _start_fails,
    _storm,
    _weather,
)

from controlplane.domain.backup import Cause
from controlplane.domain.snapshot import begun
from controlplane.domain.topology import Endpoints, Topology
from controlplane.domain.windows import snapshot_opening

STORMS, STORMS_OVER_SEEDS, PER_TEST = 300, 200, 100
BEGAN_WITH = 50


@pytest.mark.parametrize("first", range(0, STORMS, PER_TEST))
def test_every_storm_over_backups_passes_and_what_is_kept_is_whole(first: int) -> None:
    ended: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        fleet = Fleet(_some_topology(seed), seed)
        fleet.archive.likes_to_fail = (0.0, 0.1, 0.5)[seed % 3]
        _weather(fleet, seed, SAVING | (COUNTING if seed % 2 else {}))
        assert fleet.topology is None or fleet.topology.backup is None, f"storm {seed}: a backup does not end"
        ended.update(fleet.archive.ended)
    assert ended["CloseBackup"] > PER_TEST // 4, f"hardly anything was saved: {ended}"


def test_a_storm_over_backups_that_once_kept_the_file_of_an_empty_node() -> None:
    fleet = Fleet(_some_topology(10219), 10219)
    fleet.archive.likes_to_fail = 0.1
    _weather(fleet, 10219, SAVING | {_crash: 6, _start_fails: 3, _link_stalls: 6} | COUNTING)


@pytest.mark.parametrize("first", range(0, STORMS_OVER_SEEDS, PER_TEST))
def test_every_storm_over_what_begins_with_a_snapshot_passes(first: int) -> None:
    began = 0
    for seed in range(first, first + PER_TEST):
        fleet = Fleet(seeded(_some_topology(seed), BEGAN_WITH, NOW, ready=seed % 3 != 0), seed)
        if seed % 2:
            _calm(fleet)
        _storm(fleet, SAVING | {_files_are_cut: 8})
        _files_are_cut(fleet)
        _calm(fleet)
        _must_be_as_desired(fleet, seed)
        began += fleet.topology is not None and fleet.topology.seed is None
    assert began > PER_TEST // 4, f"only {began} came to work"


def _some_topology(seed: int) -> Topology:
    """Half of them in cluster mode, some with names for endpoints, and half with automatic snapshots."""
    topology = _some_shards(seed // 2) if seed % 2 else _some_group(seed)
    kept = seed // 4 % 2
    topology = replace(topology, settings=replace(topology.settings, snapshot_retention_limit=kept))
    return replace(topology, endpoints=Endpoints.NAMED) if seed % 7 == 0 else topology


# ---- what can happen


def _snapshot(fleet: Fleet) -> None:
    """A caller takes a snapshot, of one member half of the time."""
    topology = _scalable(fleet)
    if topology is not None:
        whole = topology.has_bus or fleet.random.random() < 0.5
        _begin(fleet, topology, Cause.MANUAL, None if whole else fleet.random.choice(list(topology.nodes)).id)


def _final_snapshot(fleet: Fleet) -> None:
    """A caller deletes what is to be saved before."""
    topology = _scalable(fleet)
    if topology is not None:
        _begin(fleet, topology, Cause.FINAL, None)


def _begin(fleet: Fleet, topology: Topology, cause: Cause, member: str | None) -> None:
    fleet.archive.open(topology, fleet.engines, fleet.safe)
    saving, _ = begun(topology, "taken", cause, PLACE, fleet.now, f"s{topology.version}", member, member is None)
    fleet.topology = replace(saving, version=topology.version + 1)


def _snapshot_window_opens(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is not None and topology.settings.snapshot_retention_limit and topology.announced_at is not None:
        fleet.now = max(fleet.now, snapshot_opening(topology.settings.snapshot_window, fleet.now)[0])


def _saves_go_wrong(fleet: Fleet) -> None:
    """The disk of somebody who saves is full."""
    for engine in fleet.engines.values():
        if engine.save is not None and fleet.random.random() < 0.3:
            engine.save.fails = True


def _files_are_cut(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is not None and topology.seed is not None and topology.seed.files is None:
        fleet.topology = replace(seeded(topology, BEGAN_WITH, NOW, ready=True), version=topology.version + 1)


SAVING: dict[Happening, float] = {_snapshot: 6, _final_snapshot: 0.3, _snapshot_window_opens: 1, _saves_go_wrong: 1}
