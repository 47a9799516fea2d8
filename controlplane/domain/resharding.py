"""Slots on their way from one node group to another, as they are desired and as far as they have come."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.domain.slots import Slots, number_of_slots, without


@dataclass(frozen=True, slots=True)
class SlotMove:
    """Slots on their way from one node group to another, ``landed`` those of them that have arrived.

    Until all have landed, each of the others may be with either: what engines say decides.
    """

    source: str
    target: str
    slots: Slots
    landed: Slots = ()

    @property
    def under_way(self) -> Slots:
        """The slots that have not landed."""
        return without(self.slots, self.landed)


@dataclass(frozen=True, slots=True)
class Resharding:
    """A group in cluster mode shares its slots out anew: what is still to be done of that, and how many slots it was about at first.

    Nothing moves before it ``fits``: what those that stay will hold is less than they can.
    """

    moves: tuple[SlotMove, ...]
    slots: int
    fits: bool = True

    @property
    def progress(self) -> float:
        """Percent of the slots that have arrived."""
        left = sum(number_of_slots(move.under_way) for move in self.moves)
        return 100.0 * (self.slots - left) / self.slots if self.slots else 100.0
