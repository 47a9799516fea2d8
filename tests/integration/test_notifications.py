"""Events reach the topic of their cache: through SNS's own API, a webhook or a file, whoever ends or is away meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from receivers import ACCOUNT, Moto, Receiver, moto_server, receiver
from servers import Server
from waiting import let_pass, wait_until

from cachewright import client, local_server

TOPIC = "arn:aws:sns:us-east-1:000000000000:caches"
MADE = {"ElastiCache:CacheClusterProvisioningComplete": "orders"}


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as running:
        yield running


@pytest.fixture
def until_the_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def make(api: Any, name: str = "orders", topic: str = TOPIC) -> None:
    api.create_cache_cluster(CacheClusterId=name, Engine="redis", CacheNodeType="cache.t4g.small", NotificationTopicArn=topic)


def available(api: Any, name: str = "orders") -> dict[str, Any]:
    api.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    found: dict[str, Any] = api.describe_cache_clusters(CacheClusterId=name)["CacheClusters"][0]
    return found


def bodies(came: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [json.loads(each["Message"]) for each in came]


def test_a_topic_of_sns_hears_of_a_group_in_the_order_in_which_things_happened(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", f"sns+{moto.url}")
    topic, queue = moto.topic("groups")
    heard: list[dict[str, str]] = []

    def has_heard(name: str, source: str) -> bool:
        heard.extend(bodies(moto.taken(queue)))
        return {f"ElastiCache:{name}": source} in heard

    with local_server() as server:
        api = server.client(account_id=ACCOUNT)
        api.create_replication_group(ReplicationGroupId="shop", ReplicationGroupDescription="d", Engine="valkey", NumCacheClusters=2,
                                     AutomaticFailoverEnabled=True, NotificationTopicArn=topic)  # fmt: skip
        wait_until(lambda: has_heard("CreateReplicationGroupComplete", "shop"), within=60, every=0.2)
        api.get_waiter("replication_group_available").wait(ReplicationGroupId="shop")
        member = api.describe_cache_clusters(CacheClusterId="shop-001")["CacheClusters"][0]
        assert member["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "active"}
        api.test_failover(ReplicationGroupId="shop", NodeGroupId="0001")
        wait_until(lambda: has_heard("FailoverComplete", "shop"), within=60, every=0.2)
        wait_until(lambda: has_heard("CacheNodeReplaceComplete", "shop-001"), within=60, every=0.2)
    names = [(name.removeprefix("ElastiCache:"), source) for each in heard for name, source in each.items()]
    begun = [each for each in names if each[0] != "CacheClusterParametersChanged"]
    assert {("CacheClusterProvisioningComplete", "shop-001"), ("CacheClusterProvisioningComplete", "shop-002")} <= {*begun[:2]}
    assert begun[2] == ("CreateReplicationGroupComplete", "shop")
    assert begun.index(("FailoverComplete", "shop-002")) == begun.index(("FailoverComplete", "shop")) - 1


def test_a_topic_that_is_not_there_is_shown_as_inactive(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", f"sns+{moto.url}")
    with local_server() as server:
        api = server.client(account_id=ACCOUNT)
        make(api, topic=f"arn:aws:sns:us-east-1:{ACCOUNT}:nowhere")
        wait_until(lambda: available(api)["NotificationConfiguration"]["TopicStatus"] == "inactive", within=30, every=0.1)
        events = api.describe_events(SourceType="cache-cluster", SourceIdentifier="orders")["Events"]
        assert any("nowhere is inactive" in event["Message"] and "NotFound" in event["Message"] for event in events)
        topic, queue = moto.topic("there")
        api.modify_cache_cluster(CacheClusterId="orders", NotificationTopicArn=topic)
        assert available(api)["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "active"}
        api.reboot_cache_cluster(CacheClusterId="orders", CacheNodeIdsToReboot=["0001"])
        wait_until(lambda: {"ElastiCache:CacheNodesRebooted": "orders"} in bodies(moto.taken(queue)), within=30, every=0.2)


def test_a_webhook_is_sent_what_sns_sends_a_subscriber(monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack) -> None:
    hook = until_the_end.enter_context(receiver())
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", hook.url)
    api = until_the_end.enter_context(local_server()).client()
    make(api)
    wait_until(lambda: MADE in bodies(hook.came), within=30)
    told = next(each for each in hook.came if json.loads(each["Message"]) == MADE)
    assert set(told) == {"Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp"}
    assert (told["Type"], told["TopicArn"]) == ("Notification", TOPIC)
    assert told["Message"] == '{"ElastiCache:CacheClusterProvisioningComplete":"orders"}'
    assert told["Timestamp"].endswith("Z") and "T" in told["Timestamp"]


def test_a_redirect_of_a_webhook_is_not_followed(monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack) -> None:
    hook, elsewhere = until_the_end.enter_context(receiver()), until_the_end.enter_context(receiver())
    hook.answers, hook.headers = 307, {"Location": elsewhere.url}
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", hook.url)
    api = until_the_end.enter_context(local_server()).client()
    make(api)
    assert available(api)["NotificationConfiguration"]["TopicStatus"] == "active"
    wait_until(lambda: hook.asked >= 2, within=30)
    assert elsewhere.asked == 0
    hook.answers = 200
    wait_until(lambda: MADE in bodies(hook.came), within=60)


def test_without_a_setting_notifications_are_lines_of_a_file_and_an_inactive_topic_hears_nothing(tmp_path: Path) -> None:
    file = tmp_path / "data" / "notifications.jsonl"
    with local_server(data_dir=tmp_path / "data") as server:
        api = server.client()
        make(api)
        available(api)
        wait_until(lambda: file.exists() and MADE in bodies(lines(file)), within=10)
        assert file.stat().st_mode & 0o077 == 0
        api.modify_cache_cluster(CacheClusterId="orders", NotificationTopicArn="", NotificationTopicStatus="inactive")  # as Terraform
        assert available(api)["NotificationConfiguration"] == {"TopicArn": TOPIC, "TopicStatus": "inactive"}
        before = len(lines(file))
        api.reboot_cache_cluster(CacheClusterId="orders", CacheNodeIdsToReboot=["0001"])
        available(api)
        make(api, "second")
        available(api, "second")
        wait_until(lambda: {"ElastiCache:CacheClusterProvisioningComplete": "second"} in bodies(lines(file)), within=10)
        assert {tuple(each.values()) for each in bodies(lines(file)[before:])} == {("second",)}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_no_notification_is_lost_when_the_control_plane_is_killed_before_it_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack
) -> None:
    hook = until_the_end.enter_context(receiver())
    hook.answers = 503
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", hook.url)
    server = Server(tmp_path / "data")
    until_the_end.callback(server.clear)
    server.start()
    make(server.api())
    available(server.api())
    wait_until(lambda: hook.asked >= 2, within=30)
    server.end(signal.SIGKILL)
    hook.answers = 200
    server.start()
    wait_until(lambda: MADE in bodies(hook.came), within=30)
    assert bodies(hook.came) == [{"ElastiCache:CacheClusterParametersChanged": "orders"}, MADE]


def test_a_receiver_that_was_down_for_a_while_is_told_everything_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack
) -> None:
    first = Receiver()
    port = first.port
    first.close()
    monkeypatch.setenv("CACHEWRIGHT_NOTIFICATIONS", f"http://127.0.0.1:{port}/hook")
    url = until_the_end.enter_context(local_server(data_dir=tmp_path / "data")).url
    api = client(endpoint_url=url)
    make(api)
    available(api)
    api.reboot_cache_cluster(CacheClusterId="orders", CacheNodeIdsToReboot=["0001"])
    assert available(api)["CacheClusterStatus"] == "available"
    let_pass(1.0)
    again = Receiver(port)
    until_the_end.callback(again.close)
    wait_until(lambda: {"ElastiCache:CacheNodesRebooted": "orders"} in bodies(again.came), within=60)
    names = [next(iter(each)).removeprefix("ElastiCache:") for each in bodies(again.came)]
    assert names == ["CacheClusterParametersChanged", "CacheClusterProvisioningComplete", "CacheNodesRebooted"]
    assert len({each["MessageId"] for each in again.came}) == 3
