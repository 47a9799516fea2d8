"""Every promise against the service model: what it takes and gives is what the model says, name by name and part by part."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, get_args

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from pydantic import AwareDatetime

import api_schemas
from api_schemas.operation import Operation, promises
from api_schemas.shape import Shape
from controlplane.api.wire import Wire

for module in pkgutil.walk_packages(api_schemas.__path__, "api_schemas."):
    importlib.import_module(module.name)

RAW: dict[str, Any] = Loader().load_service_model("elasticache", "service-2", "2015-02-02")
MODEL = ServiceModel(RAW)
ALL = [promise for promise in promises() if promise.name in RAW["operations"]]
WIRE = Wire(RAW)

LEFT_OUT_OF_REQUESTS: Mapping[str, frozenset[str]] = {}
"""Members of the model's requests, by the model's name of their structure, that ours do not take. Each needs its reason here."""

SCALARS: dict[str, set[Any]] = {
    "string": {str},
    "boolean": {bool},
    "integer": {int},
    "double": {float},
    "timestamp": {datetime, AwareDatetime},
}

by_name = pytest.mark.parametrize("promise", ALL, ids=lambda promise: promise.name)
AnyOperation = Operation[Any, Any]


def shape_in(annotation: Any) -> type[Shape] | None:
    """The Shape inside ``Part | None``, ``list[Part]`` and the like, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    return next(filter(None, map(shape_in, get_args(annotation))), None)


def plain_types_in(annotation: Any) -> set[type]:
    """The plain types that a field may hold; a Literal counts as the type of its words."""
    if isinstance(annotation, type):
        return {annotation}
    return {found for part in get_args(annotation) for found in (plain_types_in(part) or {type(part)})} - {type(None)}


def is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list or any(map(is_list, get_args(annotation)))


def differences(ours: type[Shape], theirs: Any, path: str, *, complete: bool) -> Iterator[str]:
    """Sentences that say where a Shape and the model's structure differ, its parts included."""
    members = {aws: field for field, aws in ours.aws_names().items()}
    for extra in sorted(set(members) - set(theirs.members)):
        yield f"{path}.{extra} is not in the model"
    for missing in sorted(set(theirs.members) - set(members) - LEFT_OUT_OF_REQUESTS.get(theirs.name, frozenset())):
        if complete:
            yield f"{path}.{missing} is missing"
    for member in theirs.members.keys() & members.keys():
        field = ours.model_fields[members[member]]
        yield from _member_differences(field.annotation, theirs.members[member], f"{path}.{member}", complete=complete)


def _member_differences(annotation: Any, theirs: Any, path: str, *, complete: bool) -> Iterator[str]:
    if is_list(annotation) != (theirs.type_name == "list"):
        yield f"{path} is a list on one side only"
        return
    inner = theirs.member if theirs.type_name == "list" else theirs
    part = shape_in(annotation)
    if (inner.type_name == "structure") != (part is not None):
        yield f"{path} has parts on one side only"
    elif part is not None:
        yield from differences(part, inner, path, complete=complete)
    elif not plain_types_in(annotation) <= SCALARS[inner.type_name]:
        yield f"{path} is a {inner.type_name} in the model"


def test_there_are_promises() -> None:
    assert len(ALL) > 30


@pytest.mark.parametrize("promise", list(promises()), ids=lambda promise: promise.name)
def test_a_promise_says_what_it_changes_in_engines(promise: AnyOperation) -> None:
    assert promise.changes, f"give {promise.name} an in_engines: one sentence about what engines are told for it, or NOTHING"
    assert not (promise.reads and promise.in_engines), "one that reads changes nothing, and need not say so"
    assert "|" not in promise.changes, "the sentence is a cell of a table"


@pytest.mark.parametrize("promise", list(promises()), ids=lambda promise: promise.name)
def test_an_operation_is_the_models_or_said_to_be_ours(promise: AnyOperation) -> None:
    assert promise.ours is (promise.name not in RAW["operations"])


@by_name
def test_a_request_takes_what_the_models_does(promise: AnyOperation) -> None:
    assert list(differences(promise.takes, MODEL.operation_model(promise.name).input_shape, promise.name, complete=True)) == []


@by_name
def test_a_request_requires_what_the_models_does(promise: AnyOperation) -> None:
    names = promise.takes.aws_names()
    required = {names[name] for name, field in promise.takes.model_fields.items() if field.is_required()}
    assert required == set(MODEL.operation_model(promise.name).input_shape.required_members)


@by_name
def test_an_answer_gives_nothing_that_the_models_does_not(promise: AnyOperation) -> None:
    theirs = MODEL.operation_model(promise.name).output_shape
    if theirs is None:
        assert promise.gives.model_fields == {}
    else:
        assert list(differences(promise.gives, theirs, promise.name, complete=False)) == []


@by_name
def test_the_wire_reads_an_empty_request(promise: AnyOperation) -> None:
    assert WIRE.decode(promise.name, [], promise.takes) == {}


@by_name
def test_a_route_names_fields_that_are_required(promise: AnyOperation) -> None:
    fields = promise.takes.model_fields
    named = [step[1:-1] for step in promise.path.split("/") if step.startswith("{")]
    assert [name for name in named if name not in fields or not fields[name].is_required()] == []


def test_no_two_promises_have_one_route() -> None:
    routes = [promise.route for promise in promises()]
    assert sorted(routes) == sorted(set(routes))


@by_name
def test_an_operation_that_reads_is_called_so(promise: AnyOperation) -> None:
    assert promise.reads is promise.name.startswith(("Describe", "List"))
    assert (promise.method == "GET") is promise.reads
