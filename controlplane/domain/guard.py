"""A guard: what callers have said about who may come in to a topology, from which the users of its engines follow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self


class TokenChange(StrEnum):
    """How an AUTH token is being changed, in the service's words."""

    SETTING = "SETTING"
    ROTATING = "ROTATING"


@dataclass(frozen=True, slots=True)
class Guard:
    """The user group of a topology, or its AUTH tokens, or neither: then everybody may come in.

    ``tokens`` are SHA-256 in hex, the oldest first; with ``also_without`` nobody has to give one yet. ``tokens_changed_at`` is when they
    last were. ``token_change`` and ``former_group`` tell of the newest change, for as long as not all nodes enforce it.
    """

    user_group: str | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)
    also_without: bool = False
    tokens_changed_at: datetime | None = None
    token_change: TokenChange | None = None
    former_group: str | None = None

    @property
    def settled(self) -> Self:
        """The same guard, whose newest change is over."""
        return replace(self, former_group=self.user_group, token_change=None)

    @property
    def is_open(self) -> bool:
        """Whether nothing was said."""
        return self.user_group is None and not self.tokens
