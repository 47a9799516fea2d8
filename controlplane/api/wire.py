"""The AWS Query wire: pairs of a form become the fields of a Shape, a Shape becomes XML. Driven by botocore's service model."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from api_schemas.faults import Fault, InvalidAction, InvalidParameterValue, MalformedQueryString
from api_schemas.shape import Shape

Model = Mapping[str, Any]
Reader = Callable[["Part", str], Any]  # what was said, and the name to complain under; None where nothing was said
Put = Callable[[list[str], Any], None]  # appends one whole element

MOST_PAIRS, MOST_DEPTH, LARGEST_INDEX = 10_000, 10, 10_000
SHOWN = 60  # characters of a caller's value that a message repeats
SECRET_MEMBERS = frozenset({"Password", "Passwords", "AuthToken", "AuthenticationMode"})
"""Members whose values no message repeats."""


class Wire:
    """Both directions of the Query protocol. Plans are compiled at an operation's first use and kept."""

    def __init__(self, model: Model) -> None:
        self._shapes: Mapping[str, Any] = model["shapes"]
        self._operations: Mapping[str, Any] = model["operations"]
        self._namespace: str = model["metadata"]["xmlNamespace"]
        self._readers: dict[tuple[str, type[Shape]], Reader] = {}
        self._puts: dict[tuple[str, type[Shape]], tuple[Put | None, str, str]] = {}
        self.operations: frozenset[str] = frozenset(self._operations)

    @classmethod
    def load(cls) -> Wire:
        """The wire of the installed botocore's ElastiCache model. Raises FileNotFoundError when botocore does not hold one.

        The file is read directly: botocore's own loader takes some twenty times as long and brings most of botocore along.
        """
        found = find_spec("botocore")
        folder = Path(*(found.submodule_search_locations or ()) if found else ()) / "data/elasticache/2015-02-02"
        packed, plain = folder / "service-2.json.gz", folder / "service-2.json"  # which of them depends on botocore's version
        return cls(json.loads(gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()))

    def decode(self, operation: str, pairs: Iterable[tuple[str, str]], takes: type[Shape]) -> dict[str, Any]:
        """What was asked, by our field names, ready for ``takes.model_validate``.

        Raises InvalidAction for an operation that the model does not have, InvalidParameterValue for a value or layout that
        does not fit it or a member that ``takes`` lacks, and MalformedQueryString for pairs beyond any request's size.
        """
        if operation not in self.operations:
            raise InvalidAction(shortened(operation))
        reader = self._readers.get((operation, takes))
        if reader is None:
            reader = self._readers[operation, takes] = _structure_reader(
                self._shapes, self._operations[operation]["input"]["shape"], takes
            )
        said: dict[str, Any] | None = reader(tree_of(pairs), "")
        return said or {}

    def encode(self, operation: str, answer: Shape, request_id: str) -> bytes:
        """The XML document of a successful answer. Raises KeyError for an operation that the model does not have."""
        plan = self._puts.get((operation, type(answer)))
        if plan is None:
            plan = self._puts[operation, type(answer)] = self._plan(operation, type(answer))
        put, before, after = plan
        out = [before]
        if put is not None:
            put(out, answer)
        out.append(f"{after}{escaped(request_id)}</RequestId></ResponseMetadata></{operation}Response>")
        return "".join(out).encode()

    def error(self, fault: Fault, request_id: str) -> bytes:
        """The XML document of a fault; its HTTP status is the fault's own."""
        blame = "Sender" if fault.status < 500 else "Receiver"
        return (
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{blame}</Type><Code>{fault.code}</Code>'
            f"<Message>{escaped(fault.message)}</Message></Error><RequestId>{escaped(request_id)}</RequestId></ErrorResponse>"
        ).encode()

    def _plan(self, operation: str, gives: type[Shape]) -> tuple[Put | None, str, str]:
        output = self._operations[operation].get("output")
        before, after = f'<{operation}Response xmlns="{self._namespace}">', "<ResponseMetadata><RequestId>"
        if output is None:
            return None, before, after
        return _structure_put(self._shapes, output["shape"], gives, output["resultWrapper"]), before, after


# ---- Reading ------------------------------------------------------------------------------------------------------------
class Part:
    """What was said under one name: texts, parts with names of their own or, from a confused caller, both."""

    __slots__ = ("parts", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parts: dict[str, Part] = {}

    @property
    def empty(self) -> bool:
        """Nothing was said: an empty value means that it is not given."""
        return not self.parts and not any(self.texts)


def tree_of(pairs: Iterable[tuple[str, str]]) -> Part:
    """The pairs as a tree, cut at the dots of their names. Raises MalformedQueryString for too many pairs or dots."""
    root = Part()
    for count, (name, text) in enumerate(pairs, 1):
        steps = name.split(".", MOST_DEPTH)
        if count > MOST_PAIRS or len(steps) > MOST_DEPTH:
            raise MalformedQueryString(f"A request has at most {MOST_PAIRS} parameters, with at most {MOST_DEPTH} names each.")
        part = root
        for step in steps:
            part = part.parts.setdefault(step, Part())
        part.texts.append(text)
    return root


def _reader(shapes: Model, name: str, annotation: Any) -> Reader:
    match shapes[name]["type"]:
        case "structure":
            return _structure_reader(shapes, name, _shape_in(annotation))
        case "list":
            return _list_reader(shapes, name, annotation)
        case scalar:
            return _scalar_reader(_FROM_TEXT[scalar])


def _structure_reader(shapes: Model, name: str, takes: type[Shape]) -> Reader:
    known = shapes[name]["members"]
    members: dict[str, tuple[str, Reader]] = dict.fromkeys(known, ("", _refuse_unbuilt))
    for field, member in takes.aws_names().items():
        if member in known:
            members[member] = (field, _reader(shapes, known[member]["shape"], takes.model_fields[field].annotation))

    def read(part: Part, under: str) -> dict[str, Any] | None:
        if any(part.texts):
            raise _unfit(part, under, f"it has parts, such as {under}.{next(iter(known), 'Name')}")
        said: dict[str, Any] = {}
        for member, inner in part.parts.items():
            if member in members:  # names that the model lacks come from newer clients and are passed over
                field, read_member = members[member]
                if (value := read_member(inner, f"{under}.{member}" if under else member)) is not None:
                    said[field] = value
        return said if part.parts else None

    return read


def _list_reader(shapes: Model, name: str, annotation: Any) -> Reader:
    element = shapes[name]["member"].get("locationName", "member")
    read_item = _reader(shapes, shapes[name]["member"]["shape"], annotation)

    def read(part: Part, under: str) -> list[Any] | None:
        if any(part.texts) or any(named not in (element, "member") or any(inner.texts) for named, inner in part.parts.items()):
            raise _unfit(part, under, f"it must be a list, written as {under}.{element}.1 and so on")
        items: dict[int, Any] = {}
        for named, numbered in part.parts.items():
            for index, item in numbered.parts.items():
                number = _number(index, under)
                if number in items:
                    raise InvalidParameterValue(f"Invalid value for {under}: item {number} is given more than once")
                items[number] = read_item(item, f"{under}.{named}.{number}")
        return [items[number] for number in sorted(items) if items[number] is not None]

    return read


def _number(index: str, under: str) -> int:
    """A list index as a number, 1 to 10,000. Raises InvalidParameterValue for anything else."""
    if re.fullmatch("[0-9]{1,5}", index) and 1 <= int(index) <= LARGEST_INDEX:
        return int(index)
    raise InvalidParameterValue(f"Invalid index {shortened(index)} in {under}: items are numbered from 1 to {LARGEST_INDEX}")


def _scalar_reader(from_text: Callable[[str], Any]) -> Reader:
    def read(part: Part, under: str) -> Any:
        if part.parts:
            raise InvalidParameterValue(f"Invalid value for {under}: it has one value and no parts")
        if len(part.texts) > 1:
            raise InvalidParameterValue(f"Invalid value for {under}: it is given more than once")
        try:
            return from_text(part.texts[0]) if part.texts[0] else None
        except (ValueError, OverflowError) as unfit:
            raise _unfit(part, under, str(unfit)) from unfit

    return read


def _refuse_unbuilt(part: Part, under: str) -> None:
    if not part.empty:
        raise InvalidParameterValue(f"{under} is not built yet in Cachewright; leave it out.")


def _unfit(part: Part, under: str, expected: str) -> InvalidParameterValue:
    is_secret = any(step in SECRET_MEMBERS for step in under.split("."))
    shown = "".join(f" {shortened(text)}" for text in part.texts[:1] if text and not is_secret)
    return InvalidParameterValue(f"Invalid value{shown} for {under}: {expected}")


def _truth(text: str) -> bool:
    if (lower := text.lower()) not in ("true", "false"):
        raise ValueError("it must be true or false")
    return lower == "true"


def _whole(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,10}", text) or not -(2**31) <= int(text) < 2**31:
        raise ValueError("it must be a whole number")
    return int(text)


def _double(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", text):
        raise ValueError("it must be a number")
    return float(text)


def _moment(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as unreadable:
        raise ValueError("it must be a time such as 2020-02-26T04:11:43Z") from unreadable


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "string": str,
    "boolean": _truth,
    "integer": _whole,
    "long": _whole,
    "double": _double,
    "float": _double,
    "timestamp": _moment,
}


# ---- Writing ------------------------------------------------------------------------------------------------------------
def _put(shapes: Model, name: str, annotation: Any, tag: str) -> Put:
    match shapes[name]["type"]:
        case "structure":
            return _structure_put(shapes, name, _shape_in(annotation), tag)
        case "list":
            return _list_put(shapes, name, annotation, tag)
        case scalar:
            return _scalar_put(_TO_TEXT[scalar], tag)


def _structure_put(shapes: Model, name: str, gives: type[Shape], tag: str) -> Put:
    before, after = f"<{tag}>", f"</{tag}>"
    known = shapes[name]["members"]
    rows = [
        (field, _put(shapes, known[member]["shape"], gives.model_fields[field].annotation, inner_tag))
        for field, member in gives.aws_names().items()
        if member in known
        for inner_tag in _tags(shapes, member, known[member]["shape"])
    ]

    def put(out: list[str], value: Shape) -> None:
        out.append(before)
        held = value.__dict__  # a model's fields live here; reading them as attributes takes three times as long
        for field, put_field in rows:
            if (inner := held.get(field)) is not None:
                put_field(out, inner)
        out.append(after)

    return put


def _tags(shapes: Model, member: str, name: str) -> Iterable[str]:
    """The element names of a member: its own. One list shape of the model bears a name too, and botocore looks for that
    one where other SDKs look for the member's; writing both serves both."""
    return dict.fromkeys((member, shapes[name].get("locationName", member)))


def _list_put(shapes: Model, name: str, annotation: Any, tag: str) -> Put:
    before, after = f"<{tag}>", f"</{tag}>"
    member = shapes[name]["member"]
    put_item = _put(shapes, member["shape"], annotation, member.get("locationName", "member"))

    def put(out: list[str], value: Iterable[Any]) -> None:
        out.append(before)
        for item in value:
            put_item(out, item)
        out.append(after)

    return put


def _scalar_put(to_text: Callable[[Any], str], tag: str) -> Put:
    before, after = f"<{tag}>", f"</{tag}>"

    def put(out: list[str], value: Any) -> None:
        out.append(f"{before}{to_text(value)}{after}")

    return put


# Markup, the carriage return that parsers would drop, and what XML 1.0 has no way to write.
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def escaped(value: object) -> str:
    """A value as XML text. Characters that XML 1.0 forbids become U+FFFD."""
    text = value if isinstance(value, str) else str(value)
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


def _decimal_text(value: float) -> str:
    text = repr(float(value))
    return format(Decimal(text), "f") if "e" in text else text


def _moment_text(value: datetime) -> str:
    moment = value.astimezone(UTC) if value.tzinfo else value
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


_TO_TEXT: dict[str, Callable[[Any], str]] = {
    "string": escaped,
    "boolean": lambda value: "true" if value else "false",
    "integer": lambda value: str(int(value)),
    "long": lambda value: str(int(value)),
    "double": _decimal_text,
    "float": _decimal_text,
    "timestamp": _moment_text,
}


# ---- Both ---------------------------------------------------------------------
def _shape_in(annotation: Any) -> type[Shape]:
    """The Shape inside ``Part | None``, ``list[Part]`` and the like. Raises TypeError where there is none."""
    if (found := any_shape_in(annotation)) is None:
        raise TypeError(f"{annotation} holds no Shape where the service model has a structure")
    return found


def any_shape_in(annotation: Any) -> type[Shape] | None:
    """The first Shape inside an annotation, if it has one."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    return next(filter(None, map(any_shape_in, get_args(annotation))), None)


def shortened(text: str) -> str:
    """A caller's text, cut to what a message repeats of it."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
