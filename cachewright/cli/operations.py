"""``cachewright operations``: what is built of the service."""

from __future__ import annotations

from typing import Annotated

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.server import Json


@remote
def operations(
    session: Session,
    missing: Annotated[bool, typer.Option("--missing", help="Show those that are not built yet.")] = False,
) -> None:
    """Show which operations of the service the server has, and where they are in its REST API."""
    ours = _offered(session.server.openapi())
    service = _service_operations()
    answer = {
        "built": [{"operation": name, **ours[name]} for name in service if name in ours],
        "missing": [name for name in service if name not in ours],
        "ours": [{"operation": name, **ours[name]} for name in sorted(ours) if name not in service],
    }
    session.paper.answer(answer, lambda: _show_missing(session, answer) if missing else _show(session, answer))


def _offered(openapi: Json) -> dict[str, dict[str, str]]:
    """Every operation of a REST API with its route and its sentence, by name."""
    return {
        operation["operationId"]: {"route": f"{method.upper()} {path}", "says": operation.get("summary", "")}
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    }


def _service_operations() -> list[str]:
    """The names of all operations of Amazon ElastiCache, as the AWS SDK has them."""
    from botocore.loaders import Loader

    return sorted(Loader().load_service_model("elasticache", "service-2")["operations"])


def _show(session: Session, answer: Json) -> None:
    session.paper.table(("operation", "REST"), [[one["operation"], one["route"]] for one in answer["built"]])
    session.paper.line()
    session.paper.table(("beyond the service", "REST"), [[one["operation"], one["route"]] for one in answer["ours"]])
    session.paper.line()
    built, missing = len(answer["built"]), len(answer["missing"])
    session.paper.line(f"{built} of the service's {built + missing} operations are built; --missing shows the others.")


def _show_missing(session: Session, answer: Json) -> None:
    for name in answer["missing"]:
        session.paper.line(name)
