"""What all commands that talk to a server have in common: where it is, who asks, how to answer, how to fail."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cachewright.cli.paper import Paper
from cachewright.cli.server import RefusedError, Server, UnreachableError
from cachewright.credentials import CredentialsError, found

DEFAULT_URL = "http://127.0.0.1:8379"
REFUSED, UNREACHABLE, INTERRUPTED = 1, 3, 130
_PANEL = "Every command"
_BY_NAME = inspect.Parameter.KEYWORD_ONLY


class Output(str, Enum):  # noqa: UP042 - as older typer knows it
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"


_COMMON: dict[str, Any] = {
    name: Annotated[kind, typer.Option(f"--{name.replace('_', '-')}", envvar=variable, help=says, rich_help_panel=_PANEL)]
    for name, kind, variable, says in (
        ("url", str | None, "CACHEWRIGHT_URL", f"Where the server is; {DEFAULT_URL} when not said."),
        ("region", str | None, "CACHEWRIGHT_REGION", "Region to look at; the server's when not said."),
        ("account_id", str | None, "CACHEWRIGHT_ACCOUNT_ID", "Account to look at, 12 digits; the server's when not said."),
        ("access_key_file", Path | None, "CACHEWRIGHT_ACCESS_KEY_FILE", "Access key, for a guarded server; else by variables."),
        ("output", Output | None, None, "How to answer: a table, or the REST API's JSON."),
    )
}


class Session:
    """One run of a command: the server, and the paper to write on."""

    def __init__(self, server: Server, paper: Paper) -> None:
        self.server = server
        self.paper = paper


def remote(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session, the options that make one, and an exit status for each way to fail.

    The common options may stand before the command's name as well.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [inspect.Parameter(name, _BY_NAME, default=None, annotation=kind) for name, kind in _COMMON.items()]
    context = inspect.Parameter("context", _BY_NAME, annotation=typer.Context)
    parameters = [*(parameter.replace(kind=_BY_NAME) for parameter in own), *common, context]

    @functools.wraps(function)
    def run(*, context: typer.Context, **given: Any) -> None:
        said = {name: given.pop(name) for name in _COMMON}
        try:
            function(_session({**said, **(context.find_root().obj or {})}), **given)
        except RefusedError as refused:
            fail(str(refused), REFUSED)
        except UnreachableError as gone:
            fail(f"cachewright: {gone}", UNREACHABLE)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    del run.__wrapped__
    setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _session(said: dict[str, Any]) -> Session:
    try:
        credentials = found(said["access_key_file"])
    except CredentialsError as why:
        fail(f"cachewright: {why}.", REFUSED)
    server = Server(said["url"] or DEFAULT_URL, said["region"], said["account_id"], credentials)
    return Session(server, Paper(as_json=said["output"] is Output.JSON))


def fail(why: str, status: int) -> NoReturn:
    """Say why on stderr, and end with the status."""
    print(why, file=sys.stderr)
    raise typer.Exit(status)
