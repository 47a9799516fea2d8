"""Seeding: from which files of a snapshot the file of each new node group is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.domain.slots import SLOTS, SlotRange, Slots, among, merged, number_of_slots

ALL_SLOTS: Slots = (SlotRange(0, SLOTS - 1),)


class Owner(Protocol):
    """A node group of a snapshot, or a file of a caller: its name, and the slots it owned. Without any it may hold keys of every slot."""

    @property
    def group(self) -> str: ...
    @property
    def slots(self) -> Slots: ...


class Target(Protocol):
    """A node group to be: its id, and the slots it shall own: none outside cluster mode."""

    @property
    def id(self) -> str: ...
    @property
    def slots(self) -> Slots: ...


@dataclass(frozen=True, slots=True)
class Share:
    """What of one source goes to a target: the keys of these slots."""

    source: str
    slots: Slots


@dataclass(frozen=True, slots=True)
class Cut:
    """What the primary of the node group ``target`` begins with: the keys of each share, put together; nothing where there is none.

    With ``as_it_is`` that is all that its one source holds, so the source's file can be taken as it is.
    """

    target: str
    shares: tuple[Share, ...]
    as_it_is: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The files it is made from."""
        return tuple(share.source for share in self.shares)

    @property
    def slots(self) -> Slots:
        """The slots whose keys it holds."""
        return merged(part for share in self.shares for part in share.slots)


def cuts(sources: Sequence[Owner], targets: Sequence[Target]) -> tuple[Cut, ...]:
    """What each target begins with, in their order. A slot that one source owned comes from that one alone.

    Raises ValueError where several sources, or one that owned only some slots, shall become one node group outside cluster mode.
    """
    return tuple(_cut(sources, target) for target in targets)


def _cut(sources: Sequence[Owner], target: Target) -> Cut:
    if not target.slots and (len(sources) != 1 or sources[0].slots):
        raise ValueError(f"node group {target.id} is outside cluster mode: it can only begin with the one file of such a node group")
    shares, whole = [], False
    for source in sources:
        owned = source.slots or ALL_SLOTS
        if slots := among(owned, target.slots or ALL_SLOTS):
            shares.append(Share(source.group, slots))
            whole = slots == owned
    return Cut(target.id, tuple(shares), as_it_is=whole and len(shares) == 1)


def expected_bytes(used: int, owned: Slots, share: Slots) -> int:
    """How much of the ``used`` bytes of a node group goes with some of its slots, if each slot has as much as any other."""
    return used * number_of_slots(share) // number_of_slots(owned or ALL_SLOTS)
