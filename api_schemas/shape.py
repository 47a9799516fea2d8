"""The base of every request, result and part: snake_case in Python and REST, the service model's names on the Query wire."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Aws:
    """Annotated on a field whose name on the Query wire is not simply its PascalCase: ``arn: Annotated[str, Aws("ARN")]``."""

    name: str


class Shape(BaseModel):
    """A value that crosses a door.

    Fields are written in snake_case, which is also their name in REST. On the AWS Query wire a field is called as in the
    service model: its PascalCase, or what its :class:`Aws` annotation says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, protected_namespaces=())

    @classmethod
    def aws_names(cls) -> dict[str, str]:
        """Field name to the member's name in the service model, in the order the fields are written."""
        return _aws_names(cls)


@cache
def _aws_names(shape: type[Shape]) -> dict[str, str]:
    return {name: _aws_name(name, field.metadata) for name, field in shape.model_fields.items()}


def _aws_name(name: str, metadata: list[object]) -> str:
    for mark in metadata:
        if isinstance(mark, Aws):
            return mark.name
    return "".join(part.capitalize() for part in name.split("_"))
