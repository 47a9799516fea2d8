"""What an engine runs with, on which control plane and agent must agree word for word. Knows no library, so that the domain may use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

_LONG_ENOUGH = 16


@dataclass(frozen=True)
class Configuration:
    """A memory limit in bytes, and the parameter group's values under the service's names."""

    memory: int
    parameters: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """A short text that two configurations have in common only if they are equal."""
        lines = [str(self.memory), *(f"{name}={value}" for name, value in sorted(self.parameters.items()))]
        return sha256("\n".join(lines).encode()).hexdigest()[:_LONG_ENOUGH]
