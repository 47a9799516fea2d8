"""The ``cachewright`` command as people and scripts run it: a process of its own, against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

import pytest
from waiting import wait_until

from cachewright import LocalServer

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE = 60


def environment(url: str, account: str = "000000000000") -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    return {**plain, "CACHEWRIGHT_URL": url, "CACHEWRIGHT_ACCOUNT_ID": account, "COLUMNS": "100", "TERM": "xterm-256color"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cachewright", *words]


def interruptible() -> None:
    """A background job may have been started with SIGINT ignored, and would hand that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def account() -> str:
    return f"{uuid.uuid4().int % 10**12:012d}"


@pytest.fixture
def run(server: LocalServer, account: str) -> Run:
    """Runs a command against the server, in an account of the test's own."""

    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = ran(words, environment(server.url, account))
        assert done.returncode == status, done.stderr or done.stdout
        return done

    return run


def ran(words: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)


def began(words: Sequence[str], env: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*words), env=env, stdout=pipe, stderr=pipe, text=True, preexec_fn=interruptible)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_group_from_its_making_to_its_end(run: Run) -> None:
    made = run("create", "group", "Orders", "--replicas", "1", "--auto-failover", "--zones", "b,c", "--tag", "team=pay")
    assert "orders: creating" in made.stderr.splitlines()
    assert "orders-002: in sync" in made.stderr.splitlines()
    assert "primary endpoint" in made.stdout
    [first, second] = [line.split() for line in made.stdout.splitlines() if line.startswith("orders-00")]
    assert first[:3] == ["orders-001", "primary", "us-east-1b"]
    assert second[:3] == ["orders-002", "replica", "us-east-1c"]

    shown = answer(run("describe", "orders", "--output", "json"))
    assert shown["replication_group"]["status"] == "available"
    assert shown["replication_group"]["automatic_failover"] == "enabled"
    assert [node["in_sync"] for node in shown["nodes"]] == [True, True]

    run("add-replica", "orders", "orders-more", "--zone", "a")
    assert run("nodes", "orders").stdout.splitlines()[-1].split()[:3] == ["orders-more", "replica", "us-east-1a"]

    run("modify", "group", "orders", "--no-auto-failover", "--description", "of the shop")
    assert "of the shop" in run("describe", "orders").stdout

    gone = run("delete", "orders", "--yes", "--output", "json")
    assert answer(gone)["replication_group"]["status"] == "deleted"
    assert answer(run("describe", "--output", "json")) == {"replication_groups": [], "cache_clusters": []}


def test_what_nodes_do_is_shown_once(run: Run) -> None:
    assert "There are no nodes." in run("top", "--once").stderr
    run("create", "group", "orders", "--nodes", "2", "--auto-failover")
    run("create", "cache", "sessions", "--engine", "memcached")
    lines = [line.split() for line in run("top", "--once").stdout.splitlines()]
    assert lines[0][:4] == ["NODE", "ROLE", "ZONE", "OPS/S"]
    assert [line[:3] for line in lines[1:]] == [
        ["orders-001", "primary", "us-east-1a"],
        ["orders-002", "replica", "us-east-1b"],
        ["sessions/0001", "-", lines[3][2]],  # it was free to be anywhere
    ]
    assert all(line.count("-") < len(line) - 4 for line in lines[1:])
    only = answer(run("top", "orders", "--output", "json"))
    assert {node["role"]: "now" in node for node in only["nodes"]} == {"primary": True, "replica": True}
    assert only["missing_agents"] == []
    assert run("top", "nope", status=1).stderr.startswith("ReplicationGroupNotFoundFault: ")
    run("delete", "orders", "--yes", "--no-wait")
    run("delete", "sessions", "--yes", "--no-wait")


def test_a_cache_is_made_listed_and_rebooted(run: Run) -> None:
    run("create", "cache", "sessions", "--engine", "memcached", "--nodes", "2", "--cross-az")
    [listed] = [line.split() for line in run("describe").stdout.splitlines()[1:]]
    assert listed[:3] == ["sessions", "cache", "memcached"]
    before = {node["node"]: node["process_id"] for node in answer(run("nodes", "--output", "json"))["nodes"]}

    run("reboot", "sessions", "--node", "0002")
    after = {node["node"]: node["process_id"] for node in answer(run("nodes", "sessions", "--output", "json"))["nodes"]}
    assert before["0001"] == after["0001"]
    assert before["0002"] != after["0002"]
    run("delete", "sessions", "--yes", "--no-wait")


def test_another_primary_is_asked_for_and_the_history_tells_of_it(run: Run) -> None:
    run("create", "group", "orders", "--nodes", "3", "--auto-failover")
    assert answer(run("history", "orders", "--output", "json")) == {"elections": []}
    assert "nobody was ever elected" in run("history", "orders").stderr

    done = run("failover", "orders")
    assert "is primary, and all is in sync after" in done.stderr
    roles = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line.startswith("orders-00")}
    assert roles["orders-001"] == "replica"
    [heir] = [node for node, role in roles.items() if role == "primary"]

    refused = run("promote", "orders", "orders-001", status=1)
    assert refused.stderr.startswith("InvalidReplicationGroupState: Cannot manually promote a new master")
    run("modify", "group", "orders", "--no-auto-failover")
    promoted = answer(run("promote", "orders", "orders-001", "--output", "json"))
    assert [node["node"] for node in promoted["nodes"] if node["role"] == "primary"] == ["orders-001"]

    told = [(one["former"], one["elected"], one["epoch"]) for one in answer(run("history", "orders", "--output", "json"))["elections"]]
    assert told == [(heir, "orders-001", 3), ("orders-001", heir, 2)]
    first, second = run("history", "orders").stdout.splitlines()[1:3]
    assert f"{heir}@" in first and "orders-001@" in second
    assert "a caller asked for it" in first
    run("delete", "orders", "--yes")


def test_a_group_is_scaled_and_comes_along_before_ones_eyes(run: Run) -> None:
    run("create", "group", "orders", "--replicas", "1")
    grown = run("scale", "orders", "--replicas", "3")
    told = grown.stderr.splitlines()
    assert told[0] == "orders: modifying"
    assert {"orders-003: in sync", "orders-004: in sync"} <= set(told)
    assert told[-1].startswith("orders is available after ")
    assert [line.split()[0] for line in grown.stdout.splitlines() if line.startswith("orders-")] == [f"orders-00{n}" for n in range(1, 5)]
    fewer = answer(run("scale", "orders", "--replicas", "0", "--output", "json"))
    assert [node["node"] for node in fewer["nodes"]] == ["orders-001"]
    assert fewer["replication_group"]["status"] == "available"
    same = run("scale", "orders", "--replicas", "0")
    assert "orders is so already; nothing was changed." in same.stderr
    begun = answer(run("scale", "orders", "--replicas", "1", "--no-wait", "--output", "json"))
    assert (begun["replication_group"]["status"], len(begun["replication_group"]["member_clusters"])) == ("modifying", 2)
    assert "say --replicas or --shards in place of --nodes" in run("scale", "orders", "--nodes", "3", status=2).stderr.replace("\n", " ")
    run("delete", "orders", "--yes")


def test_shards_that_have_the_number_of_replicas_are_left_alone(run: Run, server: LocalServer, account: str) -> None:
    elasticache = server.client(account_id=account)
    run("create", "group", "orders", "--shards", "2", "--replicas", "1")
    run("scale", "orders", "--replicas", "2")
    fewer = {"ReplicationGroupId": "orders", "ReplicaConfiguration": [{"NodeGroupId": "0002", "NewReplicaCount": 0}]}
    elasticache.decrease_replica_count(**fewer, ApplyImmediately=True)
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    evened = answer(run("scale", "orders", "--replicas", "1", "--output", "json"))
    assert [node["node"] for node in evened["nodes"]] == ["orders-0001-001", "orders-0001-002", "orders-0002-001", "orders-0002-002"]
    run("delete", "orders", "--yes")


def test_a_memcached_cluster_is_scaled_by_its_highest_ids(run: Run) -> None:
    run("create", "cache", "sessions", "--engine", "memcached", "--nodes", "2")
    grown = run("scale", "sessions", "--nodes", "4")
    assert "sessions is available after" in grown.stderr
    nodes = answer(run("nodes", "sessions", "--output", "json"))["nodes"]
    assert [node["node"] for node in nodes] == ["0001", "0002", "0003", "0004"]
    fewer = answer(run("scale", "sessions", "--nodes", "1", "--output", "json"))
    assert [node["node"] for node in fewer["nodes"]] == ["0001"]
    refused = run("scale", "sessions", "--replicas", "1", status=2).stderr.replace("\n", " ")
    assert "cache without replicas" in refused
    run("delete", "sessions", "--yes")


def test_without_waiting_a_failover_is_answered_at_once_with_the_group_as_it_is(run: Run) -> None:
    run("create", "group", "orders", "--nodes", "2", "--auto-failover")
    begun = answer(run("failover", "orders", "--no-wait", "--output", "json"))
    assert begun["replication_group"]["status"] == "available"
    refused = run("failover", "orders", "--node-group", "0009", status=1)
    assert refused.stderr.startswith("NodeGroupNotFoundFault: ")
    wait_until(lambda: all(node["in_sync"] for node in answer(run("nodes", "orders", "--output", "json"))["nodes"]), within=30)
    run("delete", "orders", "--yes")


def test_without_waiting_the_answer_comes_at_once(run: Run) -> None:
    made = answer(run("create", "group", "later", "--nodes", "1", "--no-wait", "--output", "json"))
    assert made["replication_group"]["replication_group_id"] == "later"
    wait_until(lambda: "available" in run("describe", "later").stdout, within=30)
    run("delete", "later", "--yes")


@pytest.mark.parametrize("word", ["agents", "zones", "engines", "operations", "events", "describe", "nodes"])
def test_a_pipe_gets_no_escape_codes(run: Run, word: str) -> None:
    done = run(word)
    assert "\x1b" not in done.stdout + done.stderr
    assert answer(run(word, "--output", "json"))


def test_what_the_tables_tell(run: Run, server: LocalServer) -> None:
    assert first_words(run("zones")) == ["ZONE", "us-east-1a", "us-east-1b", "us-east-1c"]
    assert first_words(run("zones", "--region", "eu-west-1")) == ["ZONE", "eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert server.engines.split(", ")[0] in run("agents").stdout
    assert "valkey8" in run("engines", "--engine", "valkey").stdout
    assert "redis" not in run("engines", "--engine", "valkey").stdout.split("\n\n")[0]
    assert "CreateReplicationGroup " in run("operations").stdout
    assert "CreateServerlessCache" in run("operations", "--missing").stdout.splitlines()


def first_words(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("describe", "nope"), "ReplicationGroupNotFoundFault"),
        (("describe", "a/../b"), "ResourceNotFound"),
        (("delete", "nope", "--yes"), "ReplicationGroupNotFoundFault"),
        (("delete", "..", "--yes", "--kind", "cache"), "CacheClusterNotFound"),
        (("reboot", "nope"), "CacheClusterNotFound"),
        (("failover", "nope"), "ReplicationGroupNotFoundFault"),
        (("promote", "nope", "nope-002"), "ReplicationGroupNotFoundFault"),
        (("history", "nope"), "ReplicationGroupNotFoundFault"),
        (("create", "group", "-x-", "--engine", "valkey"), None),
        (("create", "group", "x", "--engine", "mysql"), "InvalidParameterValue"),
        (("create", "group", "x", "--multi-az"), "InvalidParameterCombination"),
        (("zones", "--account-id", "12"), "InvalidParameterValue"),
    ],
)
def test_a_refusal_is_said_with_its_code(run: Run, words: tuple[str, ...], code: str | None) -> None:
    done = run(*words, status=1 if code else 2)
    assert done.stdout == ""
    if code:
        assert done.stderr.startswith(f"{code}: ")
        assert len(done.stderr.splitlines()) == 1


def test_nothing_is_deleted_when_there_is_nobody_to_ask(run: Run) -> None:
    run("create", "group", "kept", "--nodes", "1")
    assert "--yes" in run("delete", "kept", status=2).stderr
    assert answer(run("describe", "kept", "--output", "json"))["replication_group"]["status"] == "available"
    assert "kept-001" in run("reboot", "kept", status=2).stderr
    run("delete", "kept", "--yes")


def test_events_are_shown_as_they_happen(run: Run, server: LocalServer, account: str) -> None:
    with following(server, account, "--source", "watched") as (process, said, heard):
        wait_until(lambda: any("Following" in line for line in said), within=30)
        run("create", "group", "watched", "--nodes", "1")
        wait_until(lambda: any("Replication group watched created" in line for line in heard), within=30)
        run("create", "group", "other", "--nodes", "1")
        run("delete", "watched", "--yes")
        wait_until(lambda: any("deleted" in line for line in heard), within=30)
        assert not [line for line in heard if "other" in line]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    past = run("events", "--source", "watched").stdout.splitlines()
    assert "Replication group watched created" in past[1]
    run("delete", "other", "--yes")


def test_a_terminal_sees_how_nodes_come_along(server: LocalServer, account: str) -> None:
    ours, theirs = pty.openpty()
    words, env = command("create", "group", "seen"), environment(server.url, account)
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, stderr=theirs, timeout=PATIENCE)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while more := os.read(ours, 65536):
            seen += more
    os.close(ours)
    assert done.returncode == 0
    assert b"creating seen" in seen
    assert b"seen is available after" in seen
    assert b"\x1b" not in done.stdout


def test_a_terminal_watches_what_nodes_do_until_ctrl_c(server: LocalServer, account: str, run: Run) -> None:
    run("create", "group", "orders", "--nodes", "1")
    ours, theirs = pty.openpty()
    words, env = command("top", "--interval", "1"), {**environment(server.url, account), "COLUMNS": "140", "LINES": "20"}
    process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, preexec_fn=interruptible)
    os.close(theirs)
    seen = b""
    while seen.count(b"orders-001") < 2:  # it looks again
        seen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the end of a terminal
        while more := os.read(ours, 65536):
            seen += more
    os.close(ours)
    assert process.wait(PATIENCE) == 130
    assert b"ops/s" in seen and b"Ctrl-C ends it" in seen
    assert b"Traceback" not in seen
    run("delete", "orders", "--yes", "--no-wait")


def test_ctrl_c_while_waiting_says_that_work_goes_on() -> None:
    with a_server_that_never_gets_ready() as (url, waiting):
        process = began(("create", "group", "slow"), environment(url))
        assert waiting.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ""
    assert "The server goes on creating slow; `cachewright describe slow`" in said
    assert "Traceback" not in said


def test_a_stranger_at_the_address_is_told_from_a_server() -> None:
    with a_server_that_never_gets_ready() as (url, _):
        done = ran(("zones",), environment(url))
    assert done.returncode == 3
    assert "is not Cachewright" in done.stderr


@contextlib.contextmanager
def following(server: LocalServer, account: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str], list[str]]]:
    """``events --follow``, with the lines it has said on the side, and those of its answer."""
    process = began(("events", "--follow", *words), environment(server.url, account))
    said: list[str] = []
    heard: list[str] = []
    streams = ((said, process.stderr), (heard, process.stdout))
    readers = [threading.Thread(target=_read_into, args=streaming) for streaming in streams]
    for reader in readers:
        reader.start()
    try:
        yield process, said, heard
    finally:
        process.kill()
        process.wait(PATIENCE)
        for reader in readers:
            reader.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _read_into(lines: list[str], stream: IO[str]) -> None:
    for line in stream:
        lines.append(line)


@contextlib.contextmanager
def a_server_that_never_gets_ready() -> Iterator[tuple[str, threading.Event]]:
    """A stand-in whose groups stay in creation; the event is set once somebody waits for one."""
    waiting, closing = threading.Event(), threading.Event()
    group = {"replication_group": {"replication_group_id": "slow", "status": "creating"}}

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(group)

        def do_GET(self) -> None:
            if self.headers.get("Prefer"):
                waiting.set()
                closing.wait(PATIENCE)
            self.answer({"nodes": []} if self.path.startswith("/v1/nodes") else ["not ours"])

        def answer(self, body: object) -> None:
            content = json.dumps(body).encode()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}", waiting
        finally:
            closing.set()
            http.shutdown()
            thread.join()


def test_faults_are_injected_listed_and_ended(run: Run) -> None:
    run("create", "group", "broken", "--replicas", "1", "--zones", "a,b")
    made = answer(run("fault", "slow", "broken", "--zone", "b", "--slowness", "0.1", "--for", "90", "--output", "json"))["fault"]
    assert (made["kind"], made["nodes"], made["status"]) == ("node-slow", ["broken-002"], "active")
    assert made["fault_id"] in run("fault", "list", "--active").stdout
    hung = run("fault", "hang", "broken-002", "--for", "1").stdout.splitlines()[-1].split()
    assert hung[1:4] == ["node-hang", "broken-002", "active"]
    ended = answer(run("fault", "end", made["fault_id"], "--output", "json"))["fault"]
    assert (ended["status"], ended["ended_because"]) == ("ended", "it was ended by its caller")
    wait_until(lambda: answer(run("fault", "list", "--active", "--output", "json"))["faults"] == [])
    assert "FaultNotFound" in run("fault", "end", "fault-unknown", status=1).stderr
    assert "ReplicationGroupNotFoundFault" in run("fault", "crash", "nobody", status=1).stderr
    assert "--zone" in run("fault", "crash", "broken-001", "--zone", "a", status=2).stderr
    assert "two" in run("fault", "cut", "a", "a", status=1).stderr
    run("delete", "broken", "--yes")
