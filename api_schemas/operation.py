"""An operation is a promise: a name, a route, what it takes and what it gives. The control plane binds one function to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from api_schemas.shape import Shape

Asked = TypeVar("Asked", bound=Shape)
Answer = TypeVar("Answer", bound=Shape)

NOTHING = "nothing"
"""What an operation changes in engines that only changes what the control plane knows."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The resource whose status an operation is about: its kind, and the request field that holds its id.

    ``instead`` is a field, and the one that holds the id in a request that has the former.
    """

    kind: str
    id_field: str
    instead: tuple[str, str] | None = None

    def name(self, asked: Shape) -> str | None:
        """The id of the resource that a request is about, None where it names none."""
        there, other = self.instead or ("", "")
        field = other if there and getattr(asked, there) else self.id_field
        return getattr(asked, field, None) or None


@dataclass(frozen=True)
class Operation(Generic[Asked, Answer]):
    """A promise that both doors, the SDK, the CLI and the documentation read.

    ``name`` is the operation's name in the service model, ``route`` its REST method and path below ``/v1``,
    ``says`` one sentence for people. ``subject`` names the resource that a caller may wait for; ``reads`` is true
    where nothing is changed. ``in_engines`` is one sentence about what engines are told, or NOTHING; those that read need not say it.
    """

    name: str
    route: str
    takes: type[Asked]
    gives: type[Answer]
    says: str
    subject: Subject | None = None
    reads: bool = False
    ours: bool = field(default=False)
    in_engines: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.name in _PROMISES:
            raise ValueError(f"{self.name} is promised twice")
        _PROMISES[self.name] = self

    @property
    def method(self) -> str:
        """The HTTP method of the REST route."""
        return self.route.split(" ", 1)[0]

    @property
    def changes(self) -> str:
        """What it changes in engines, for people."""
        return NOTHING if self.reads else self.in_engines

    @property
    def path(self) -> str:
        """The REST path below ``/v1``, with parameters in braces."""
        return self.route.split(" ", 1)[1]


_PROMISES: dict[str, Operation[Any, Any]] = {}


def promises() -> Iterator[Operation[Any, Any]]:
    """Every operation that is promised by the modules imported so far, in the order of their definition."""
    yield from _PROMISES.values()
