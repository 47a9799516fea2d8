"""Writes the service model of the lab from its promises: ``python -m cachewright.data.generate``.

The model's members have the names that boto users expect, and carry the snake_case names of the REST API as locations.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import types
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import api_schemas
from api_schemas.faults import CacheClusterNotFound, Fault, InvalidParameterValue, ReplicationGroupNotFound, SnapshotNotFound
from api_schemas.operation import Operation, promises
from api_schemas.paging import Paged
from api_schemas.shape import Shape

API_VERSION = "2026-01-01"
FOLDER = Path(__file__).parent / "lab" / API_VERSION

_SCALARS: dict[Any, tuple[str, str]] = {
    str: ("String", "string"),
    bool: ("Boolean", "boolean"),
    int: ("Long", "long"),
    float: ("Double", "double"),
    datetime: ("Timestamp", "timestamp"),
}
_ERRORS: dict[str, type[Fault]] = {"InvalidParameterValueException": InvalidParameterValue}
_ERRORS_BY_FIELD: dict[str, tuple[str, type[Fault]]] = {
    "replication_group_id": ("ReplicationGroupNotFoundFault", ReplicationGroupNotFound),
    "cache_cluster_id": ("CacheClusterNotFoundFault", CacheClusterNotFound),
    "snapshot_name": ("SnapshotNotFoundFault", SnapshotNotFound),
}


def our_promises() -> list[Operation[Any, Any]]:
    """Every promise that is ours beyond the service, by name."""
    for module in pkgutil.iter_modules(api_schemas.__path__):
        importlib.import_module(f"api_schemas.{module.name}")
    return sorted((promise for promise in promises() if promise.ours), key=lambda promise: promise.name)


def files() -> dict[str, str]:
    """File name to content."""
    ours = our_promises()
    return {"service-2.json": _text(service_model(ours)), "paginators-1.json": _text(paginators(ours))}


def service_model(ours: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """The model of these operations, as botocore reads it."""
    shapes = _Shapes()
    return {
        "version": "2.0",
        "metadata": {
            "apiVersion": API_VERSION,
            "endpointPrefix": "lab",
            "protocol": "rest-json",
            "protocols": ["rest-json"],
            "serviceFullName": "Cachewright Lab",
            "serviceId": "lab",
            "signatureVersion": "v4",
            "signingName": "elasticache",
            "uid": f"lab-{API_VERSION}",
        },
        "documentation": "What a Cachewright server shows and does beyond Amazon ElastiCache.",
        "operations": {promise.name: _operation(promise, shapes) for promise in ours},
        "shapes": dict(sorted(shapes.made.items())),
    }


def paginators(ours: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """How to page through the operations that answer a page at a time."""
    paging = {"input_token": "Marker", "limit_key": "MaxRecords", "output_token": "Marker"}
    paged = [promise for promise in ours if issubclass(promise.takes, Paged)]
    return {"pagination": {promise.name: {**paging, "result_key": _list_of(promise.gives)} for promise in paged}}


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)


class _Shapes:
    """The shapes of a model, made as they are met."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def of(self, annotation: Any) -> str:
        """The name of the shape for a type."""
        kind = _bare(annotation)
        if kind in _SCALARS:
            name, scalar = _SCALARS[kind]
            return self._put(name, {"type": scalar})
        if get_origin(kind) is Literal:
            return self._put("String", {"type": "string"})
        if get_origin(kind) in (list, tuple):
            member = self.of(get_args(kind)[0])
            return self._put(f"{member}List", {"type": "list", "member": {"shape": member}})
        if get_origin(kind) is dict:
            key, value = (self.of(part) for part in get_args(kind))
            return self._put(f"{value}Map", {"type": "map", "key": {"shape": key}, "value": {"shape": value}})
        if isinstance(kind, type) and issubclass(kind, Shape):
            return self.structure(kind)
        raise TypeError(f"a service model has no type for {annotation!r}")

    def structure(self, shape: type[Shape], *, path: Iterable[str] = (), in_query: bool = False) -> str:
        """The structure of a shape; fields of the path, and of the query, say that they stand there."""
        members: dict[str, Any] = {}
        for name, aws in shape.aws_names().items():
            where = "uri" if name in path else "querystring" if in_query else None
            member = {"shape": self.of(shape.model_fields[name].annotation), "locationName": name}
            members[aws] = {**member, **({"location": where} if where else {})}
        required = [aws for name, aws in shape.aws_names().items() if shape.model_fields[name].is_required()]
        structure = {"type": "structure", **({"required": required} if required else {}), "members": members}
        return self._put(shape.__name__, {**structure, "documentation": (shape.__doc__ or "").strip()})

    def error(self, name: str, fault: type[Fault]) -> str:
        """The exception of a fault."""
        message = {"message": {"shape": self.of(str)}}
        error = {"code": fault.code, "httpStatusCode": fault.status, "senderFault": fault.status < 500}
        return self._put(name, {"type": "structure", "members": message, "error": error, "exception": True})

    def _put(self, name: str, shape: dict[str, Any]) -> str:
        if self.made.setdefault(name, shape) != shape:
            raise ValueError(f"two different shapes are called {name}")
        return name


def _operation(promise: Operation[Any, Any], shapes: _Shapes) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", promise.path)
    errors = {**_ERRORS, **dict(_ERRORS_BY_FIELD[field] for field in promise.takes.model_fields if field in _ERRORS_BY_FIELD)}
    request = shapes.structure(promise.takes, path=in_path, in_query=promise.method in ("GET", "DELETE"))
    return {
        "name": promise.name,
        "http": {"method": promise.method, "requestUri": f"/v1{promise.path}"},
        "input": {"shape": request},
        "output": {"shape": shapes.structure(promise.gives)},
        "errors": [{"shape": shapes.error(name, fault)} for name, fault in errors.items()],
        "documentation": promise.says,
    }


def _bare(annotation: Any) -> Any:
    """The type without its annotations, and without ``None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        [kind] = [part for part in get_args(annotation) if part is not types.NoneType]
        return _bare(kind)
    return annotation


def _list_of(gives: type[Shape]) -> str:
    [found] = [aws for name, aws in gives.aws_names().items() if get_origin(_bare(gives.model_fields[name].annotation)) is list]
    return found


def _text(model: dict[str, Any]) -> str:
    return json.dumps(model, indent=2) + "\n"


if __name__ == "__main__":
    main()
