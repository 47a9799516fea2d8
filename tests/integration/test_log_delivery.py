"""Slow logs and engine logs of real engines reach their destinations: each record once, in the documented form, without a secret."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from receivers import ACCOUNT, Moto, moto_server, receiver
from servers import Server
from waiting import wait_until

from cachewright import local_server

SLOW = "redis.call('set', 'slow', 1) local x = 0 for i = 1, 3000000 do x = x + i end return x"
SLOW_FIELDS = ["CacheClusterId", "CacheNodeId", "Id", "Timestamp", "Duration (us)", "Command", "ClientAddress", "ClientName"]
ENGINE_FIELDS = ["CacheClusterId", "CacheNodeId", "LogLevel", "Role", "Time", "Message"]


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as running:
        yield running


@pytest.fixture
def until_the_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def delivery(log_type: str = "slow-log", form: str = "json", group: str = "caches", kind: str = "cloudwatch-logs") -> dict[str, Any]:
    details = {"CloudWatchLogsDetails": {"LogGroup": group}}
    if kind == "kinesis-firehose":
        details = {"KinesisFirehoseDetails": {"DeliveryStream": group}}
    return {"LogType": log_type, "DestinationType": kind, "DestinationDetails": details, "LogFormat": form}


def make_group(api: Any, *deliveries: dict[str, Any], members: int = 1, **more: Any) -> dict[str, Any]:
    api.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", Engine="valkey", NumCacheClusters=members,
                                 AutomaticFailoverEnabled=members > 1, LogDeliveryConfigurations=list(deliveries), **more)  # fmt: skip
    return available(api)


def available(api: Any) -> dict[str, Any]:
    api.get_waiter("replication_group_available").wait(ReplicationGroupId="orders")
    return group(api)


def group(api: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.describe_replication_groups(ReplicationGroupId="orders")["ReplicationGroups"][0]
    return found


def statuses(api: Any) -> dict[str, str]:
    return {each["LogType"]: each["Status"] for each in group(api)["LogDeliveryConfigurations"]}


def slowly(found: dict[str, Any], times: int, name: str) -> None:
    """So many slow commands at the primary endpoint, under a client name of their own."""
    endpoint = found["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(host=endpoint["Address"], port=endpoint["Port"], client_name=name) as cache:
        for _ in range(times):
            cache.eval(SLOW, 0)


def lines(folder: Path, name: str, where: str = "000000000000/us-east-1/caches") -> list[str]:
    file = folder / "logs" / where / name
    return file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []  # a line may be on its way


def by_name(records: list[str], name: str) -> list[dict[str, Any]]:
    return [record for each in records if (record := json.loads(each))["ClientName"] == name]


def test_slow_commands_and_engine_lines_are_in_files_in_the_documented_forms(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with local_server(data_dir=data) as server:
        api = server.client()
        found = make_group(api, delivery(), delivery("engine-log", "text", "engines"))
        wait_until(lambda: statuses(api) == {"slow-log": "active", "engine-log": "active"}, within=15)
        shown = subprocess.run([sys.executable, "-m", "cachewright", "describe", "orders", "--url", server.url], capture_output=True, text=True)
        assert re.search(r"slow-log +cloudwatch-logs caches, json \(active\)", shown.stdout), shown.stderr
        assert re.search(r"engine-log +cloudwatch-logs engines, text \(active\)", shown.stdout)
        slowly(found, 2, "till")
        wait_until(lambda: len(by_name(lines(data, "orders-001-0001-slow-log.json"), "till")) == 2, within=10)
        told = by_name(lines(data, "orders-001-0001-slow-log.json"), "till")
        assert [list(record) for record in told] == [SLOW_FIELDS] * 2
        assert {record["Command"] for record in told} == {"EVAL ... (2 more arguments)"}
        assert all(record["Duration (us)"] > 10_000 and ":" in record["ClientAddress"] for record in told)
        assert told[1]["Id"] > told[0]["Id"]
        said = wait_until(lambda: lines(data, "orders-001-0001-engine-log.log", "000000000000/us-east-1/engines"), within=10)
        form = re.compile(r"orders-001/0001:[MSCX] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} UTC [-.*#] .+")
        assert all(form.fullmatch(line) for line in said), said
        assert any("Server initialized" in line for line in said)
        assert len(said) == len((data / "agents" / "a" / "nodes").glob("*").__next__().joinpath("engine.log").read_text().splitlines())
        api.modify_replication_group(ReplicationGroupId="orders", ApplyImmediately=True, LogDeliveryConfigurations=[
            delivery(form="text"), {"LogType": "engine-log", "Enabled": False}])  # fmt: skip
        found = available(api)
        assert [each["LogType"] for each in found["LogDeliveryConfigurations"]] == ["slow-log"]
        wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=15)
        slowly(found, 1, "text")
        text = wait_until(lambda: [line for line in lines(data, "orders-001-0001-slow-log.log") if line.endswith(",text")], within=10)
        assert re.fullmatch(r"orders-001,0001,\d{10},\d+,EVAL \.\.\. \(2 more arguments\),127\.[\d.]+:\d+,text", text[0])
        assert len(by_name(lines(data, "orders-001-0001-slow-log.json"), "till")) == 2


def test_every_slow_command_is_there_once_over_a_failover_and_deaths_of_the_server(tmp_path: Path, until_the_end: ExitStack) -> None:
    data = tmp_path / "data"
    server = Server(data)
    until_the_end.callback(server.clear)
    server.start()
    found = make_group(server.api(), delivery(), delivery("engine-log", group="engines"), members=2)
    wait_until(lambda: set(statuses(server.api()).values()) == {"active"}, within=15)

    def told(name: str) -> list[dict[str, Any]]:
        files = [lines(data, f"orders-{member}-0001-slow-log.json") for member in ("001", "002")]
        return [record for file in files for record in by_name(file, name)]

    slowly(found, 3, "before")
    server.end(signal.SIGKILL)
    slowly(found, 3, "meanwhile")
    server.start()
    wait_until(lambda: len(told("before")) >= 3 and len(told("meanwhile")) >= 3, within=20)
    server.api().test_failover(ReplicationGroupId="orders", NodeGroupId="0001")
    wait_until(lambda: any(each["CacheClusterId"] == "orders-002" and each.get("CurrentRole") == "primary"
                           for each in group(server.api())["NodeGroups"][0]["NodeGroupMembers"]), within=30)  # fmt: skip
    found = available(server.api())
    slowly(found, 3, "after")
    wait_until(lambda: len(told("after")) >= 3, within=20)
    server.end(signal.SIGTERM)
    server.start()
    found = available(server.api())
    slowly(found, 2, "resumed")
    wait_until(lambda: len(told("resumed")) >= 2, within=20)
    assert {name: len(told(name)) for name in ("before", "meanwhile", "after", "resumed")} == {
        "before": 3, "meanwhile": 3, "after": 3, "resumed": 2,
    }  # fmt: skip
    assert {record["CacheClusterId"] for record in told("after")} == {"orders-002"}
    for member in ("001", "002"):
        wait_until(lambda member=member: engine_told(data, member) == engine_said(data, member), within=15)  # type: ignore[misc]
        assert any("Server initialized" in message for _, message in engine_told(data, member))


def engine_told(data: Path, member: str) -> list[tuple[str, str]]:
    """Moment and message of what was delivered of a member's engine log."""
    said = [json.loads(line) for line in lines(data, f"orders-{member}-0001-engine-log.json", "000000000000/us-east-1/engines")]
    assert all(list(record) == ENGINE_FIELDS for record in said)
    return [(record["Time"].removesuffix(" UTC"), record["Message"]) for record in said]


def engine_said(data: Path, member: str) -> list[tuple[str, str]]:
    """The same of what its engine wrote, before it was started anew and since; the tests' hosts have UTC."""
    found = []
    for name in ("engine.log.former", "engine.log"):
        for file in data.glob(f"agents/*/nodes/*.orders-{member}/{name}"):
            found += [re.match(r"\d+:\w (.{24}) . (.*)", line) for line in file.read_text().splitlines()]
    return [(line[1], line[2]) for line in found if line is not None]


def test_no_record_is_there_twice_or_missing_when_the_server_is_killed_while_it_writes(tmp_path: Path, until_the_end: ExitStack) -> None:
    data = tmp_path / "data"
    server = Server(data)
    until_the_end.callback(server.clear)
    server.start()
    api = server.api()
    api.create_cache_parameter_group(CacheParameterGroupName="all", CacheParameterGroupFamily="valkey8", Description="d")
    api.modify_cache_parameter_group(CacheParameterGroupName="all", ParameterNameValues=[
        {"ParameterName": "slowlog-log-slower-than", "ParameterValue": "0"},
        {"ParameterName": "slowlog-max-len", "ParameterValue": "100000"}])  # fmt: skip
    found = make_group(api, delivery(), CacheParameterGroupName="all", EngineVersion="8.1")
    wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=15)
    endpoint = found["NodeGroups"][0]["PrimaryEndpoint"]
    sent = 0
    with redis.Redis(host=endpoint["Address"], port=endpoint["Port"], client_name="writer") as cache:
        for _ in range(4):
            told = len(lines(data, "orders-001-0001-slow-log.json"))
            for _ in range(60):
                cache.set("key", "value")
                sent += 1
            wait_until(lambda told=told: len(lines(data, "orders-001-0001-slow-log.json")) > told, within=20, every=0.001)  # type: ignore[misc]
            server.end(signal.SIGKILL)  # as it is between the file and the database
            server.start()

    def written() -> list[dict[str, Any]]:
        records = by_name(lines(data, "orders-001-0001-slow-log.json"), "writer")
        return [record for record in records if record["Command"].startswith("SET ")]

    wait_until(lambda: len(written()) >= sent, within=20)
    ids = [json.loads(line)["Id"] for line in lines(data, "orders-001-0001-slow-log.json")]
    assert len(written()) == sent
    assert ids == sorted(set(ids))


def test_what_commands_are_about_is_in_no_log(tmp_path: Path, until_the_end: ExitStack) -> None:
    data = tmp_path / "data"
    api = until_the_end.enter_context(local_server(data_dir=data)).client()
    api.create_cache_parameter_group(CacheParameterGroupName="all", CacheParameterGroupFamily="valkey8", Description="d")
    api.modify_cache_parameter_group(CacheParameterGroupName="all", ParameterNameValues=[
        {"ParameterName": "slowlog-log-slower-than", "ParameterValue": "0"}])  # fmt: skip
    found = make_group(api, delivery(), delivery("engine-log"), CacheParameterGroupName="all", EngineVersion="8.1")
    wait_until(lambda: set(statuses(api).values()) == {"active"}, within=15)
    endpoint = found["NodeGroups"][0]["PrimaryEndpoint"]
    secret = "s3cret-of-nobody"
    with redis.Redis(host=endpoint["Address"], port=endpoint["Port"], client_name="spy") as cache:
        for words in (["AUTH", secret], ["AUTH", "default", secret], ["HELLO", "2", "AUTH", "default", secret],
                      ["CONFIG", "SET", "masterauth", secret], ["CONFIG", "SET", "masterauth", ""],
                      ["ACL", "SETUSER", "eve", "on", f">{secret}"], ["ACL", "DELUSER", "eve"], ["SET", "key", secret],
                      ["MIGRATE", "127.0.0.1", "1", "none", "0", "10", "AUTH", secret], ["MSET", *["k", secret] * 40]):  # fmt: skip
            try:
                cache.execute_command(*words)
            except redis.RedisError as refused:
                assert secret not in str(refused)

    def said() -> list[dict[str, Any]]:
        return by_name(lines(data, "orders-001-0001-slow-log.json"), "spy")

    wait_until(lambda: any(record["Command"] == "MSET ... (80 more arguments)" for record in said()), within=10)
    assert "SET ... (2 more arguments)" in {record["Command"] for record in said()}
    assert secret not in "".join(file.read_text() for file in (data / "logs").rglob("*") if file.is_file())
    assert not by_name(lines(data, "orders-001-0001-slow-log.json"), "cachewright-logs")


def test_cloudwatch_logs_has_the_log_stream_that_the_service_would_name(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEWRIGHT_LOG_DELIVERY", f"logs+{moto.url}")
    logs = moto.client("logs")

    def events(kind: str) -> list[str]:
        stream = f"elasticache/valkey/orders-001/0001/{kind}"
        try:
            found = logs.get_log_events(logGroupName="caches", logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found]

    with local_server() as server:
        api = server.client(account_id=ACCOUNT)
        make_group(api, delivery(), delivery("engine-log"))
        shown = wait_until(lambda: statuses(api) == {"slow-log": "error", "engine-log": "error"} and group(api), within=15)
        assert "ResourceNotFoundException" in shown["LogDeliveryConfigurations"][0]["Message"]
        logs.create_log_group(logGroupName="caches")
        wait_until(lambda: statuses(api) == {"slow-log": "active", "engine-log": "active"}, within=40, every=0.2)
        slowly(group(api), 2, "till")
        wait_until(lambda: len(by_name(events("slow-log"), "till")) == 2, within=15, every=0.2)
        wait_until(lambda: any("Server initialized" in json.loads(each)["Message"] for each in events("engine-log")), within=15, every=0.2)
        assert len(by_name(events("slow-log"), "till")) == 2


def test_firehose_is_given_records_with_line_ends(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEWRIGHT_LOG_DELIVERY", f"logs+{moto.url}")
    s3 = moto.client("s3")
    s3.create_bucket(Bucket="logs")
    moto.client("firehose").create_delivery_stream(DeliveryStreamName="stream", S3DestinationConfiguration={
        "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/any", "BucketARN": "arn:aws:s3:::logs"})  # fmt: skip

    def records() -> list[str]:
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="logs").get("Contents", [])]
        return "".join(s3.get_object(Bucket="logs", Key=key)["Body"].read().decode() for key in keys).splitlines()

    with local_server() as server:
        api = server.client(account_id=ACCOUNT)
        found = make_group(api, delivery(group="stream", kind="kinesis-firehose"))
        shown = found["LogDeliveryConfigurations"][0]
        assert shown["DestinationDetails"] == {"KinesisFirehoseDetails": {"DeliveryStream": "stream"}}
        wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=15)
        slowly(found, 1, "till")
        wait_until(lambda: len(by_name(records(), "till")) == 1, within=15, every=0.2)


def test_a_webhook_is_posted_batches_and_what_it_missed_once_it_is_back(monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack) -> None:
    hook = until_the_end.enter_context(receiver())
    monkeypatch.setenv("CACHEWRIGHT_LOG_DELIVERY", hook.url)
    api = until_the_end.enter_context(local_server()).client()
    found = make_group(api, delivery())
    wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=15)
    hook.answers = 500
    slowly(found, 2, "till")
    wrong = wait_until(lambda: statuses(api) == {"slow-log": "error"} and group(api), within=30)
    assert "answers 500" in wrong["LogDeliveryConfigurations"][0]["Message"]
    hook.answers = 200
    wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=40)

    def records() -> list[dict[str, Any]]:
        return [record for batch in hook.came for record in batch["records"] if record["ClientName"] == "till"]

    wait_until(lambda: len(records()) == 2, within=15)
    batch = next(each for each in hook.came if each["records"])
    assert {name: batch[name] for name in ("account", "region", "logType", "logGroup", "logStream")} == {
        "account": "000000000000", "region": "us-east-1", "logType": "slow-log", "logGroup": "caches",
        "logStream": "elasticache/valkey/orders-001/0001/slow-log",
    }  # fmt: skip


def test_a_storm_says_in_the_log_and_in_the_status_how_much_was_dropped(tmp_path: Path, until_the_end: ExitStack) -> None:
    data = tmp_path / "data"
    api = until_the_end.enter_context(local_server(data_dir=data)).client()
    api.create_cache_parameter_group(CacheParameterGroupName="all", CacheParameterGroupFamily="valkey8", Description="d")
    api.modify_cache_parameter_group(CacheParameterGroupName="all", ParameterNameValues=[
        {"ParameterName": "slowlog-log-slower-than", "ParameterValue": "0"}])  # fmt: skip
    found = make_group(api, delivery(), CacheParameterGroupName="all", EngineVersion="8.1")
    wait_until(lambda: statuses(api) == {"slow-log": "active"}, within=15)
    wait_until(lambda: lines(data, "orders-001-0001-slow-log.json"), within=10)
    endpoint = found["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(host=endpoint["Address"], port=endpoint["Port"]) as cache:
        pipe = cache.pipeline(transaction=False)
        for number in range(2000):
            pipe.set(f"k{number}", number)
        pipe.execute()

    def dropped() -> int:
        records = [json.loads(line)["Command"] for line in lines(data, "orders-001-0001-slow-log.json")]
        return sum(int(found[1]) for command in records if (found := re.match(r"\((\d+) records were dropped", command)))

    wait_until(lambda: dropped() > 1000, within=10)
    message = wait_until(lambda: group(api)["LogDeliveryConfigurations"][0].get("Message"), within=20)
    assert re.match(r"\d+ records were dropped until \d{4}-", message)
    assert statuses(api) == {"slow-log": "active"}
