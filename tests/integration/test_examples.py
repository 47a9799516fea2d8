"""The examples as a reader would run them: each a process of its own, in an account of its own, against a real server."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import wait_until

from cachewright import LocalServer

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 90


@pytest.fixture
def account() -> str:
    return f"{uuid.uuid4().int % 10**12:012d}"


@pytest.fixture
def elasticache(server: LocalServer, account: str) -> Any:
    """What the test sees of the example's account."""
    return server.client(account_id=account)


@pytest.fixture
def primary(elasticache: Any) -> Iterator[Any]:
    """The primary endpoint of a group of one that a test may take away."""
    elasticache.create_replication_group(
        ReplicationGroupId="own", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.1", NumCacheClusters=1
    )
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="own")
    yield elasticache.describe_replication_groups()["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]
    if elasticache.describe_replication_groups()["ReplicationGroups"]:
        take_away(elasticache)


def take_away(elasticache: Any) -> None:
    elasticache.delete_replication_group(ReplicationGroupId="own")
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId="own")


def ran(name: str, server: LocalServer, account: str) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    """What an example said, by the word before the first colon of a line, and how it ended."""
    env = {**os.environ, "CACHEWRIGHT_URL": server.url, "AWS_ACCESS_KEY_ID": account, "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(EXAMPLES / name / "main.py")]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    said = (line.partition(":") for line in done.stdout.splitlines() if ":" in line)
    return {word: rest.strip() for word, _, rest in said}, done


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\b\d+\b", text)]


def events(elasticache: Any) -> list[str]:
    return [event["Message"] for event in elasticache.describe_events(Duration=60)["Events"]]


def assert_nothing_is_left(elasticache: Any) -> None:
    assert elasticache.describe_replication_groups()["ReplicationGroups"] == []
    assert elasticache.describe_cache_clusters()["CacheClusters"] == []


def module(file: Path) -> ModuleType:
    """A file of an example as a module, for a closer look than its output allows."""
    spec = importlib.util.spec_from_file_location(f"example_{file.parent.name}_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def quick(endpoint: Any) -> redis.Redis:
    return redis.Redis(
        host=endpoint["Address"], port=endpoint["Port"], decode_responses=True, socket_timeout=1, retry=Retry(NoBackoff(), 0)
    )


# ---- Cache-aside ----------------------------------------------------------------------------------------------------------


def test_cache_aside(server: LocalServer, account: str, elasticache: Any) -> None:
    said, done = ran("cache_aside", server, account)
    assert said["cold"].startswith("20 reads, 0% hits")
    assert said["warm"].startswith("500 reads, 100% hits")
    cold, warm = (float(said[line].split()[-2]) for line in ("cold", "warm"))
    assert warm < cold
    assert said["write"] == "17.0 from the cache, then 99.5 from the database, then 99.5 from the cache"
    assert said["stampede"] == "32 readers at once, 1 asked the database"
    answered, by_the_database = numbers(said["outage"])
    assert 0 < by_the_database < answered
    assert [line.split(",")[0].split(": ")[1] for line in done.stderr.splitlines()] == [
        "the cache is unreachable",
        "the cache is back",
    ]
    assert said["warm again"].startswith("20 reads, 100% hits")
    assert {"Cache node 0001 shutdown", "Cache node 0001 restarted"} <= set(events(elasticache))
    assert_nothing_is_left(elasticache)


def test_a_catalogue_reads_the_database_once_its_cache_is_gone_and_says_so_once(
    elasticache: Any, primary: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    example = module(EXAMPLES / "cache_aside" / "catalogue.py")
    with quick(primary) as cache:
        catalogue = example.Catalogue(example.Database(tmp_path / "shop.db", 3, 30), cache)
        assert [catalogue.read(1).source for _ in range(2)] == ["database", "cache"]
        take_away(elasticache)
        catalogue.set_price(1, 5.0)
        assert {catalogue.read(1) for _ in range(50)} == {example.Read(example.Page(1, 5.0, 3.0, 10), "fall-back")}
    assert [record.message.split(",")[0] for record in caplog.records] == ["the cache is unreachable"]


def test_a_reader_that_was_overtaken_by_a_write_does_not_put_the_old_page_back(primary: Any, tmp_path: Path) -> None:
    example = module(EXAMPLES / "cache_aside" / "catalogue.py")

    class Overtaken(example.Database):  # type: ignore[misc, name-defined]
        """A write comes in after the page was read and before it is stored."""

        def page(self, product: int) -> Any:
            page = super().page(product)
            if page.price != 5.0:
                catalogue.set_price(product, 5.0)
            return page

    with quick(primary) as cache:
        catalogue = example.Catalogue(Overtaken(tmp_path / "shop.db", 3, 30), cache)
        assert catalogue.read(1).page.price == 11.0
        assert cache.exists("page:1") == 0
        assert [(read.page.price, read.source) for read in (catalogue.read(1), catalogue.read(1))] == [
            (5.0, "database"),
            (5.0, "cache"),
        ]


def test_cache_aside_on_memcached(server: LocalServer, account: str, elasticache: Any) -> None:
    said, _ = ran("cache_aside_memcached", server, account)
    shares = {node: int(pages) for pages, node in re.findall(r"(\d+) pages at (\S+:\d+)", said["shares"])}
    assert len(shares) == 3 and sum(shares.values()) == 60
    assert (said["cold"], said["warm"]) == ("60 of 60 pages from the database", "0 of 60 pages from the database")
    assert said["write"] == "17.0, then 99.5 (cached: False), then 99.5 (cached: True)"
    rebooted = said["reboot"].split()[0]
    assert said["lost"] == f"{shares[rebooted]} pages, 0 of them from other nodes"
    assert said["recovered"] == "0 of 60 pages from the database"
    assert [message for message in events(elasticache) if message.endswith("restarted")] == ["Cache node 0002 restarted"]
    assert_nothing_is_left(elasticache)


# ---- Sessions -------------------------------------------------------------------------------------------------------------


def test_sessions(server: LocalServer, account: str, elasticache: Any) -> None:
    _, done = ran("sessions", server, account)
    lines = done.stdout.splitlines()
    login, tea, milk, logout = (json.loads(line[line.index("{") :]) for line in lines if "{" in line)
    assert (login["user"], tea["cart:tea"]) == ("ada", "1")
    assert f"process {login['served by']} ended with -9 (SIGKILL)" in done.stdout
    assert milk == {"served by": milk["served by"], "user": "ada", "cart:tea": "1", "cart:milk": "1"}
    assert milk["served by"] == logout["served by"] != login["served by"] == tea["served by"]
    left, again = numbers(lines[4])
    assert left < again <= 1_800_000
    assert "401" in lines[-1] and "user" not in logout
    assert_nothing_is_left(elasticache)


def test_a_session_outlives_the_server_that_wrote_it(primary: Any) -> None:
    with quick(primary) as look:
        with app_server(primary) as first:
            _, cookie = first.post("/login/ada")
            first.post("/cart/tea", cookie)
            first.process.kill()
            assert first.process.wait(10) == -9
        (key,) = look.keys("session:*")
        assert look.hgetall(key) == {"user": "ada", "cart:tea": "1"}
        look.expire(key, 5)
        with app_server(primary) as second:
            session, _ = second.post("/cart/tea", cookie)
        assert session == {"served by": second.process.pid, "user": "ada", "cart:tea": "2"}
        assert 1700 < int(str(look.ttl(key))) <= 1800


def test_a_session_outlives_the_zone_of_its_primary(server: LocalServer, account: str, elasticache: Any) -> None:
    said, done = ran("sessions_zone_loss", server, account)
    former, lost, copies = re.fullmatch(r"ada, at (\S+) in (\S+), copies in other zones: (\d)", said["login"]).groups()  # type: ignore[union-attr]
    assert int(copies) >= 1
    heir, zone = said["primary"].split(" in ")
    assert heir != former and zone != lost
    assert float(said["outage"].split()[5]) > 0
    before, after = (json.loads(line[line.index("{") : line.index("}") + 1]) for line in done.stdout.splitlines() if "{" in line)
    assert before["user"] == after["user"] == "ada"
    last, failed = numbers(said["session"].partition(";")[2])
    assert after["page"] == last > before["page"] and failed == 0
    assert said["power"] == "back; the session is on zone-loss-001, zone-loss-002, zone-loss-003"
    assert said["logout"] == "null"
    assert_broken(server, account, elasticache, "zone-power-loss", former)
    assert_nothing_is_left(elasticache)


class AppServer(NamedTuple):
    """One application server of the sessions example, in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def post(self, path: str, cookie: str = "") -> tuple[Any, str]:
        """What it said, and the cookie that came with it."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as browser:
            browser.request("POST", path, headers={"Cookie": cookie})
            answer = browser.getresponse()
            return json.loads(answer.read()), answer.headers["Set-Cookie"].split(";")[0]


@contextmanager
def app_server(cache: Any) -> Iterator[AppServer]:
    command = [sys.executable, str(EXAMPLES / "sessions/main.py"), "--cache", f"{cache['Address']}:{cache['Port']}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield AppServer(process, int(process.stdout.readline()))
        finally:
            process.kill()


# ---- Failover -------------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What one client met in one fault."""

    acknowledged: int
    missing: int
    gap: float
    has_end: bool
    errors: dict[str, int]


def rows(said: str) -> dict[tuple[str, str], Row]:
    """The table, by fault and client."""
    line = r"^(\w+(?: \w+)*?) +(as \w+ \w+(?: \w+)?) +(\d+) +(\d+)  ([\d.]+) s(, no end)? +(.+)$"
    met = {}
    for fault, client, acknowledged, missing, gap, endless, errors in re.findall(line, said, re.MULTILINE):
        by_kind = {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", errors)}
        met[fault, client] = Row(int(acknowledged), int(missing), float(gap), not endless, by_kind)
    return met


def test_survive_failover(server: LocalServer, account: str, elasticache: Any) -> None:
    _, done = ran("survive_failover", server, account)
    met = rows(done.stdout)
    assert [fault for fault, client in met if client == "as it should be"] == ["planned failover", "crash", "hang"]
    for (_, client), row in met.items():
        if client == "as it should be":
            assert row.errors == {} and row.has_end and row.acknowledged >= 200
        else:
            assert {"ConnectionError", "ReadOnlyError"} <= set(row.errors) <= {"ConnectionError", "ReadOnlyError", "ResponseError"}
            assert not row.has_end and row.acknowledged >= 100
    assert len(met) == 6
    assert [row.missing for (fault, _), row in met.items() if fault == "planned failover"] == [0, 0]
    assert met["hang", "as it should be"].gap > 0.5, "the primary did not hang"
    said = events(elasticache)
    assert len([message for message in said if message.startswith("Failover from primary node") and message.endswith("completed")]) >= 3
    for kind in ("node-crash", "node-hang"):
        assert_broken(server, account, elasticache, kind)
    assert_nothing_is_left(elasticache)


def assert_broken(server: LocalServer, account: str, elasticache: Any, kind: str, node: str | None = None) -> None:
    """A fault of this kind was injected, into one node only, and goes on no longer."""
    assert any(f"({kind}) injected" in message for message in events(elasticache))
    (fault,) = [each for each in server.client("lab", account_id=account).describe_faults()["Faults"] if each["Kind"] == kind]
    assert fault["Status"] == "ended"
    assert fault["Nodes"] == [node or fault["Target"]["CacheClusterId"]]


# ---- Leaderboard ----------------------------------------------------------------------------------------------------------


def test_leaderboard(server: LocalServer, account: str, elasticache: Any) -> None:
    said, done = ran("leaderboard", server, account)
    assert (said["ada's best"], said["ada, worse"], said["bob, a tie"]) == ("True", "False", "True")
    assert said["copies made"] == "2 replicas have it all"
    places = [line.split() for line in done.stdout.splitlines() if re.match(r" +\d+  \S+ +\d+$", line)]
    assert places[:3] == [["1", "ada", "9700"], ["2", "zoe", "9500"], ["3", "bob", "9500"]]
    around = [(int(rank), player, int(points)) for rank, player, points in places[4:]]
    assert around[2][1] == "player-500"
    assert [rank for rank, _, _ in around] == list(range(around[0][0], around[0][0] + 5))
    assert [points for _, _, points in around] == sorted((points for _, _, points in around), reverse=True)
    assert said["reads"] == "20 by leaderboard-002 (replica), 20 by leaderboard-003 (replica)"
    assert said["writes"] == "leaderboard-001 (primary)"
    assert_nothing_is_left(elasticache)


def test_a_board_keeps_the_best_result_puts_the_first_of_equals_ahead_and_goes_after_a_day(primary: Any) -> None:
    example = module(EXAMPLES / "leaderboard" / "main.py")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    board = example.Board(midnight)
    with quick(primary) as engine:
        late = midnight + timedelta(days=1, microseconds=-1)
        results = [("zoe", 10, late), ("amy", 10, midnight), ("max", 11, late), ("amy", 9, late), ("amy", 10, late)]
        assert [board.submit(engine, *result) for result in results] == [True, True, True, False, False]
        assert board.top(engine, 5) == [(1, "max", 11), (2, "amy", 10), (3, "zoe", 10)]
        assert board.around(engine, "max", 1) == board.top(engine, 2)
        assert board.around(engine, "nobody", 1) == []
        assert engine.expiretime(board.key) == (midnight + timedelta(days=2)).timestamp()


# ---- CI -------------------------------------------------------------------------------------------------------------------


def ci(url: str, account: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CACHEWRIGHT_URL": url, "CACHEWRIGHT_ACCOUNT_ID": account, **settings}
    return subprocess.run(["sh", EXAMPLES / "ci/run.sh"], env=env, capture_output=True, text=True, timeout=PATIENCE)


def test_ci(server: LocalServer, account: str, elasticache: Any) -> None:
    done = ci(server.url, account, GROUP="build-7")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "status:    build-7 is available"
    assert [line.split(": ")[0] for line in lines[2:4]] == ["primary", "reader"]
    assert [line.split(None, 1)[1] for line in lines[4:7]] == [
        "build-7-001 in us-east-1a, primary, in sync: true",
        "build-7-002 in us-east-1b, replica, in sync: true",
        "build-7-003 in us-east-1c, replica, in sync: true",
    ]
    assert lines[7:] == ["write:     on 2 replicas", "deleted:   build-7"]
    assert "Replication group build-7 created" in events(elasticache)
    assert_nothing_is_left(elasticache)


def test_ci_fails_where_there_is_no_server(account: str) -> None:
    done = ci("http://127.0.0.1:1", account, PATIENCE="1")
    assert done.returncode == 1
    assert done.stderr == "FAILED: no server at http://127.0.0.1:1 within 1 s\n"


def test_ci_fails_when_the_group_is_refused_and_leaves_the_one_that_was_there(account: str, server: LocalServer, elasticache: Any) -> None:
    elasticache.create_replication_group(
        ReplicationGroupId="ci-cache", ReplicationGroupDescription="another job's", Engine="valkey", EngineVersion="8.1"
    )
    done = ci(server.url, account)
    assert done.returncode == 1
    assert "ReplicationGroupAlreadyExists" in done.stderr
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="ci-cache")
    elasticache.delete_replication_group(ReplicationGroupId="ci-cache")


def test_ci_fails_when_the_group_is_late_and_deletes_it(account: str, server: LocalServer, elasticache: Any) -> None:
    done = ci(server.url, account, PATIENCE="0")
    assert done.returncode == 1
    assert "FAILED: ci-cache is 'creating' after 0 s, not available" in done.stderr
    wait_until(lambda: not elasticache.describe_replication_groups()["ReplicationGroups"])
