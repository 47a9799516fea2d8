"""A simulated archive: what engines save into it and begin with from it, and what was wrong about what was kept.

A file is the number of writes that its engine held when it began to save. An engine goes on with a save that nobody wants any more,
and writes it under its own key.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from api_schemas.agent.backup import SaveOrder, SeedOrder
from api_schemas.agent.node import NodeSpec
from controlplane.domain.backup import ArchivePlace, BackupPart, Cause, SavedFile, Seed, SeedFile, key_of
from controlplane.domain.reported import Saved
from controlplane.domain.topology import Topology
from controlplane.planner import decisions as d

PLACE = ArchivePlace("file:///simulated")
STEPS = 3
"""How many visits of its agent a save takes."""


class Saver(Protocol):
    """What of an engine concerns the archive."""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""

    spec: NodeSpec
    data: int
    boot: int
    has_synced: bool
    save: Save | None
    seeded: str


@dataclass
class Save:
    """What one engine saves, the last it was told to. ``least`` is what must be in it."""

    order: SaveOrder
    data: int
    least: int
    began: datetime
    left: int = STEPS
    fails: bool = False
    file: SavedFile | None = None

    @property
    def state(self) -> Saved:
        """What its agent tells of it."""
        phase = "done" if self.file else "saving" if self.left else "failed"
        return Saved(self.order.snapshot, self.order.attempt, phase, problem="by chance" if phase == "failed" else None, file=self.file)


class Archive:
    """The files by key, with what each holds and must hold, and the floor of the backup that is being taken, by node group."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed * 31 + 7)
        self.files: dict[str, Save] = {}
        self.floors: dict[str, int] = {}
        self.kept: set[tuple[str, str]] = set()
        self.ended: list[str] = []
        """How each backup ended, in the words of the decision."""
        self.wrongs: list[str] = []
        self.likes_to_fail = 0.0

    # ---- engines

    def visit(self, engine: Saver, group: str, now: datetime) -> None:
        """The engine gets one step further with what it saves, or begins."""
        order, save = engine.spec.saves, engine.save
        if order is not None and (save is None or save.order != order):
            fails = self.random.random() < self.likes_to_fail
            engine.save = Save(order, engine.data, self.floors.get(group, 0), now, fails=fails)
        elif save is not None and save.left:
            save.left -= 1
            if not save.left and not save.fails:
                self._write(save)

    def _write(self, save: Save) -> None:
        key = f"{save.order.key}-{len(self.files)}.rdb"
        save.file = SavedFile(key, save.data, f"sha-{save.data}", "VALKEY080", save.began)
        self.files[key] = save

    def crash(self, engine: Saver) -> None:
        """A save dies with its process, and nobody knows of it any more; what is stored stays."""
        if engine.save is not None and engine.save.file is None:
            engine.save = None

    def begin(self, engine: Saver, order: SeedOrder | None) -> None:
        """An engine that starts has what it was told to begin with."""
        if order is not None:
            engine.data, engine.seeded = order.size, order.sha256

    # ---- what must hold

    def open(self, topology: Topology, engines: Mapping[str, Saver], safe: dict[str, int]) -> None:
        """A backup begins: its files hold what every node holds that ever was in sync, as long as that is safe."""
        for group in topology.node_groups:
            keys = {topology.key(node.id): node for node in group.nodes}
            live = [
                engine.data for key, node in keys.items()
                if (engine := engines.get(key)) and engine.alive and (engine.has_synced or node.id == group.primary)
            ]  # fmt: skip
            self.floors[group.id] = min(min(live, default=0), safe[group.id])

    def lower(self, safe: dict[str, int]) -> None:
        """Some writes are lost for good: nobody can save them."""
        self.floors = {group: min(floor, safe.get(group, 0)) for group, floor in self.floors.items()}

    def judge(self, before: Topology, decision: d.Decision, after: Topology | None, engines: Mapping[str, Saver]) -> None:
        """Note what is wrong about a decision that concerns the archive."""
        wrongs = (*self._wrong_saves(before, decision), *_wrong_ends(before, decision, after), *_wrong_seeds(before, decision, engines))
        self.wrongs += [f"{wrong}: {decision}" for wrong in wrongs]
        if isinstance(decision, d.CloseBackup | d.GiveUpBackup):
            self.ended.append(type(decision).__name__)

    def _wrong_saves(self, before: Topology, decision: d.Decision) -> Iterator[str]:
        backup = before.backup
        match decision:
            case d.BeginBackup() if backup is not None or before.is_going:
                yield "a backup begins beside another"
            case d.SaveFrom(group=group, attempt=attempt) if backup is not None:
                part = backup.part(group)
                if part.file is not None or attempt != part.attempt + 1:
                    yield "an attempt was left out, or is not needed"
            case d.KeepFile(group=group, file=file) if backup is not None:
                yield from self._wrong_file(backup.snapshot, backup.part(group), file)
            case _:
                return

    def _wrong_file(self, snapshot: str, part: BackupPart, file: SavedFile) -> Iterator[str]:
        written = self.files.get(file.key)
        if written is None or file != written.file:
            yield "a file is kept that nobody wrote"
        elif written.data < written.least:
            yield f"a file holds {written.data} writes, {written.least} were safe"
        if not file.key.startswith(f"{key_of(snapshot, part)}-"):
            yield "a file of another attempt is kept"
        if (snapshot, part.group) in self.kept:
            yield "two files are kept of one node group"
        self.kept.add((snapshot, part.group))


def _wrong_ends(before: Topology, decision: d.Decision, after: Topology | None) -> Iterator[str]:
    backup = before.backup
    if isinstance(decision, d.CloseBackup) and backup is not None:
        if any(part.file is None or not part.file.key.startswith(f"{key_of(backup.snapshot, part)}-") for part in backup.parts):
            yield "a backup is closed without a file of each present attempt"
        if {part.group for part in backup.parts} != {group.id for group in before.node_groups}:
            yield "a backup lacks a node group"
        if after is None or after.deleting != (backup.cause is Cause.FINAL):
            yield "what was closed is not what was asked"
    elif isinstance(decision, d.GiveUpBackup) and backup is not None and (after is None or after.is_going):
        yield "something was deleted without its final snapshot"


def _wrong_seeds(before: Topology, decision: d.Decision, engines: Mapping[str, Saver]) -> Iterator[str]:
    seed = before.seed
    if seed is None:
        return
    if isinstance(decision, d.ElectPrimary):
        yield "an election before what begins with data is announced"
    elif isinstance(decision, d.PlaceNode) and not seed.is_ready:
        yield "a node is placed before its data is there"
    elif isinstance(decision, d.Announce):
        yield from _unseeded(before, seed, engines)


def _unseeded(topology: Topology, seed: Seed, engines: Mapping[str, Saver]) -> Iterator[str]:
    """Who has ended unseen since, or was told to, would have lost its data a moment later just as well."""
    for group in topology.node_groups:
        primary, begins = group.primary_node, seed.file_of(group.id)
        engine = engines.get(topology.key(primary.id)) if primary else None
        if primary is None or begins is None or engine is None or not engine.alive or engine.boot != primary.boot:
            continue
        if engine.data < begins.file.size or engine.seeded != begins.file.sha256:
            yield f"{primary.id} has {engine.data} of {begins.file.size} writes"


def seeded(topology: Topology, writes: int, at: datetime, *, ready: bool) -> Topology:
    """The same topology, each node group of which is to begin with a file of so many writes and a few more for each."""
    files = tuple(
        SeedFile(group.id, SavedFile(f"old/{group.id}", writes + number, f"sha-{writes + number}", "VALKEY080", at), PLACE)
        for number, group in enumerate(topology.node_groups)
    )
    return replace(topology, seed=Seed("old", PLACE, "old", files=files if ready else None))
