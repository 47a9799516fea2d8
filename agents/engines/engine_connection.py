"""A connection of the client library to an engine, on which we have said who we are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from agents.engines.reach import Reach
from agents.socket_path import socket_path
from api_schemas.agent.access import Credentials

# Not to introduce itself saves a round trip; newer releases of the library are asked for that in another way.
_ANONYMOUS: dict[str, None] = {"driver_info": None} if find_spec("redis.driver_info") else {"lib_name": None, "lib_version": None}


class AccessDeniedError(redis.ConnectionError):
    """An engine does not know us, and lets nobody else do what we must."""


def engine_connection(reach: Reach, patience: float, decode_responses: bool = False) -> AbstractConnection:
    """Connects when it is first used, and answers within ``patience`` seconds or raises what the client library raises.

    It raises AccessDeniedError where an engine refuses our credentials and is not open to everybody either.
    """
    options: dict[str, Any] = {
        "socket_timeout": patience, "decode_responses": decode_responses, "protocol": 2, "retry": Retry(NoBackoff(), 0), **_ANONYMOUS,
    }  # fmt: skip
    made = _kind_of(reach, options)
    if reach.credentials is not None:
        made.redis_connect_func = _Greeter(reach.credentials)  # type: ignore[assignment]  # it is called with the connection
    return made


def _kind_of(reach: Reach, options: dict[str, Any]) -> AbstractConnection:
    if reach.socket is not None:
        return _AtHome(reach.socket, options)  # type: ignore[abstract]  # the library's own class, whose host is there
    place: dict[str, Any] = {"host": reach.address, "port": reach.port, "socket_connect_timeout": 1.0}
    if reach.authority is not None:
        return SSLConnection(ssl_ca_data=reach.authority, ssl_check_hostname=True, **place, **options)
    return Connection(**place, **options)


class _AtHome(UnixDomainSocketConnection):  # type: ignore[misc, abstract, unused-ignore]
    """Through a Unix socket in a folder that may lie deeper than a Unix address is long."""

    def __init__(self, where: Path, options: dict[str, Any]) -> None:
        super().__init__(path=str(where), **options)
        self._where = where

    def _connect(self) -> Any:
        with socket_path(self._where) as self.path:
            return super()._connect()  # type: ignore[no-untyped-call, unused-ignore]


class _Greeter:
    """Says who we are on a new connection. An engine without users refuses that, and is asked whether it lets us in nevertheless."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, connection: Any) -> None:
        connection.on_connect()
        name, password = self._credentials.username, self._credentials.password
        try:
            _said(connection, "AUTH", name, password)
        except (redis.ResponseError, redis.AuthenticationError) as refused:
            self._must_be_open(connection, refused)

    def _must_be_open(self, connection: Any, refused: Exception) -> None:
        name = self._credentials.username
        try:
            _said(connection, "ACL", "GETUSER", name)
        except (redis.ResponseError, redis.AuthenticationError) as closed:
            told = f"it lets nobody in as {name} ({refused}); if its password there was changed by hand, reboot the node"
            raise AccessDeniedError(told) from closed


def _said(connection: Any, *command: str) -> Any:
    connection.send_command(*command, check_health=False)
    return connection.read_response(disconnect_on_error=False)  # a refusal is an answer, and the connection is needed
