"""A request that pydantic refused becomes a fault with a sentence that says what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api_schemas.faults import Fault, InvalidParameterValue, MissingParameter
from api_schemas.shape import Shape
from controlplane.api.wire import any_shape_in, shortened

_EXPECTED = {
    "int_": "it must be a whole number",
    "float_": "it must be a number",
    "bool_": "it must be true or false",
    "string_type": "it must be text",
    "string_pattern_mismatch": "it must match {pattern}",
    "list_type": "it must be a list",
    "model_": "it must be an object",
    "datetime_": "it must be a time such as 2020-02-26T04:11:43Z",
    "timezone_": "it must be a time such as 2020-02-26T04:11:43Z",
    "enum": "it must be one of {expected}",
    "literal_error": "it must be one of {expected}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than_equal": "it must be at most {le}",
    "extra_forbidden": "there is no such parameter",
    "value_error": "{error}",
}
_SECRETS = ("password", "passwords", "auth_token", "authentication_mode")


def fault_of(problem: ValidationError, takes: type[Shape], *, aws: bool) -> Fault:
    """What to answer when ``takes`` refused a request: MissingParameter, or InvalidParameterValue with up to three sentences.

    Names are the service model's when ``aws`` is true, else those of REST. Values of secrets are not repeated.
    """
    errors = problem.errors(include_url=False)[:3]
    for error in errors:
        if error["type"] == "missing":
            return MissingParameter(_path(error["loc"], takes, aws=aws))
    return InvalidParameterValue(". ".join(_sentence(error, takes, aws=aws) for error in errors))


def _sentence(error: Mapping[str, Any], takes: type[Shape], *, aws: bool) -> str:
    return _told(error, _path(error["loc"], takes, aws=aws) or "the request")


def _told(error: Mapping[str, Any], path: str) -> str:
    told = error["msg"][:1].lower() + error["msg"][1:]
    expected = next((words for kind, words in _EXPECTED.items() if error["type"].startswith(kind)), told)
    secret = any(step in _SECRETS for step in error["loc"])
    shown = f" {shortened(str(error['input']))}" if isinstance(error["input"], str | int | float) and not secret else ""
    for word, value in error.get("ctx", {}).items():
        expected = expected.replace(f"{{{word}}}", str(value))
    return f"Invalid value{shown} for {path}: {expected}"


def _path(loc: tuple[str | int, ...], takes: type[Shape], *, aws: bool) -> str:
    """The place of a problem, such as ``Tags.member.1.Key`` or ``tags.0.key``."""
    steps: list[str] = []
    inside: type[Shape] | None = takes
    for place, step in enumerate(loc, 1):
        if isinstance(step, int):
            steps.append(f"member.{step + 1}" if aws else str(step))
        elif inside and step in inside.model_fields:
            steps.append(inside.aws_names()[step] if aws else step)
            inside = any_shape_in(inside.model_fields[step].annotation)
        elif inside and place == len(loc):  # a name that the Shape does not have; others are pydantic's marks of alternatives
            steps.append(shortened(step))
    return ".".join(steps)


def fault_of_request(errors: Sequence[Mapping[str, Any]]) -> Fault:
    """What to answer when a REST request does not fit its route: where a value stands is the first step of its place."""
    for error in errors[:3]:
        if error["type"] == "missing":
            return MissingParameter(_rest_path(error["loc"]))
        if error["type"].startswith("json_"):
            return InvalidParameterValue(f"The request's body is not JSON: {error.get('ctx', {}).get('error', error['msg'])}.")
    return InvalidParameterValue(". ".join(_told(error, _rest_path(error["loc"])) for error in errors[:3]))


def _rest_path(loc: Sequence[str | int]) -> str:
    steps = loc[1:] if len(loc) > 1 else ["the body"]
    return shortened(".".join(str(step) for step in steps))
