"""Pytest fixtures: a server of the test run's own, a client, and a replication group that is ready to use.

``cachewright_server``   one server for the whole run, gone with everything in it at the end
``elasticache``          a client as boto3 makes them, in an account of the test's own
``lab``                  the client of what is beyond the service in that account: faults, nodes, agents, elections
``replication_group``    a real primary with real replicas, made for the test and deleted after it

Say ``@pytest.mark.cachewright(engine="redis", replicas=1)`` to have another group, or set the defaults in pytest's
configuration: ``cachewright_engine``, ``cachewright_engine_version``, ``cachewright_replicas``, ``cachewright_zones``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cachewright.local_server import LocalServer

_MARK = "cachewright(engine, engine_version, replicas, node_type, automatic_failover): the replication group that the test gets."
_OPTIONS = ("engine", "engine_version", "replicas", "node_type", "automatic_failover")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The defaults, for pytest's configuration file."""
    parser.addini("cachewright_engine", "Engine of replication_group: valkey or redis.", default="valkey")
    parser.addini("cachewright_engine_version", "Engine version of replication_group; the newest when empty.", default="")
    parser.addini("cachewright_replicas", "How many replicas replication_group has.", default="2")
    parser.addini("cachewright_zones", "How many availability zones cachewright_server simulates.", default="3")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", _MARK)


class Group:
    """A replication group that is available: its id, and where its primary and its replicas answer."""

    def __init__(self, shown: dict[str, Any]) -> None:
        part = shown["NodeGroups"][0]
        self.id: str = shown["ReplicationGroupId"]
        self.members: list[str] = list(shown["MemberClusters"])
        self.primary: tuple[str, int] = _place(part["PrimaryEndpoint"])
        self.reader: tuple[str, int] = _place(part["ReaderEndpoint"])
        self._clients: list[Any] = []

    def __repr__(self) -> str:
        return f"<replication group {self.id} at {self.primary[0]}:{self.primary[1]}>"

    def client(self, **options: Any) -> Any:
        """A redis-py client of the primary endpoint, with redis-py's options; closed after the test."""
        return self._connect(self.primary, options)

    def reader_client(self, **options: Any) -> Any:
        """A redis-py client of the reader endpoint, with redis-py's options; closed after the test."""
        return self._connect(self.reader, options)

    def close(self) -> None:
        """Close every client."""
        while self._clients:
            self._clients.pop().close()

    def _connect(self, place: tuple[str, int], options: dict[str, Any]) -> Any:
        import redis

        self._clients.append(redis.Redis(host=place[0], port=place[1], **options))
        return self._clients[-1]


@pytest.fixture(scope="session")
def cachewright_server(pytestconfig: pytest.Config) -> Iterator[LocalServer]:
    """A server with real engines for the whole run: ``.url``, ``.client()``. It leaves nothing behind."""
    from cachewright.local_server import local_server

    with local_server(zones=_number(pytestconfig, "cachewright_zones")) as running:
        yield running


@pytest.fixture
def cachewright_account() -> str:
    """An account of the test's own: 12 digits, as it is said to the server."""
    import uuid

    return f"{uuid.uuid4().int % 10**12:012d}"


@pytest.fixture
def elasticache(cachewright_server: LocalServer, cachewright_account: str) -> Iterator[Any]:
    """A client as boto3 makes them, in an account of the test's own: no test sees another's resources."""
    client = cachewright_server.client(account_id=cachewright_account)
    yield client
    client.close()


@pytest.fixture
def lab(cachewright_server: LocalServer, cachewright_account: str) -> Iterator[Any]:
    """A client of ours in the same account: ``create_fault``, ``describe_nodes`` and the like. Its faults end with the test."""
    client = cachewright_server.client("lab", account_id=cachewright_account)
    yield client
    for fault in client.describe_faults(Status="active")["Faults"]:
        client.delete_fault(FaultId=fault["FaultId"])
    client.close()


@pytest.fixture
def replication_group(request: pytest.FixtureRequest, cachewright_server: LocalServer, cachewright_account: str) -> Iterator[Group]:
    """A replication group that is ready to use, with ``.id``, ``.primary``, ``.reader`` and ``.client()``.

    It lives in the account of ``elasticache``, where the test uses that fixture of ours too.
    """
    client, own = _client_of_test(request, cachewright_server, cachewright_account)
    wanted = _wanted(request)
    name = wanted["ReplicationGroupId"]
    client.create_replication_group(**wanted)
    client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    group = Group(client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0])
    yield group
    group.close()
    _delete(client, name)
    if own:
        client.close()


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The CreateReplicationGroup request for a test, from the configuration and its mark."""
    asked = _asked(request)
    replicas = int(asked["replicas"])
    wanted = {
        "ReplicationGroupId": "fixture",
        "ReplicationGroupDescription": request.node.name[:200],
        "NumCacheClusters": replicas + 1,
        "AutomaticFailoverEnabled": bool(asked.get("automatic_failover", replicas > 0)),
        "Engine": asked["engine"],
        "EngineVersion": asked["engine_version"],
        "CacheNodeType": asked.get("node_type"),
    }
    return {name: value for name, value in wanted.items() if value not in (None, "")}


def _asked(request: pytest.FixtureRequest) -> dict[str, Any]:
    config = request.config
    asked: dict[str, Any] = {name: config.getini(f"cachewright_{name}") for name in ("engine", "engine_version")}
    asked["replicas"] = _number(config, "cachewright_replicas")
    for mark in reversed(list(request.node.iter_markers("cachewright"))):
        wrong = sorted(set(mark.kwargs) - set(_OPTIONS)) or mark.args
        if wrong:
            pytest.fail(f"@pytest.mark.cachewright takes {', '.join(_OPTIONS)} by name, not {wrong}", pytrace=False)
        if "engine" in mark.kwargs:
            asked["engine_version"] = ""  # a version belongs to its engine
        asked.update(mark.kwargs)
    return asked


def _number(config: pytest.Config, name: str) -> int:
    given = str(config.getini(name))
    if not given.isdigit():
        pytest.fail(f"{name} is a number, not {given!r}", pytrace=False)
    return int(given)


def _client_of_test(request: pytest.FixtureRequest, server: LocalServer, account: str) -> tuple[Any, bool]:
    """The client of our ``elasticache`` fixture where the test uses it; else one of its own, to be closed."""
    if "elasticache" in request.fixturenames:
        client = request.getfixturevalue("elasticache")
        if getattr(getattr(client, "meta", None), "endpoint_url", None) == server.url:
            return client, False
    return server.client(account_id=account), True


def _delete(client: Any, name: str) -> None:
    """Tell the group to go, without waiting for it; a test may have deleted it already."""
    known = client.exceptions
    try:
        client.delete_replication_group(ReplicationGroupId=name)
    except (known.ReplicationGroupNotFoundFault, known.InvalidReplicationGroupStateFault):
        return


def _place(endpoint: dict[str, Any]) -> tuple[str, int]:
    return endpoint["Address"], endpoint["Port"]
