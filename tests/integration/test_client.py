"""``cachewright.client``: botocore's clients with quick waiters, and the lab."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from waiting import wait_until

import cachewright
from cachewright import LocalServer, ServerFailedError, local_server


@pytest.fixture
def account() -> str:
    return f"{uuid.uuid4().int % 10**12:012d}"


@pytest.fixture
def service(server: LocalServer, account: str) -> Any:
    return server.client(account_id=account)


@pytest.fixture
def lab(server: LocalServer, account: str) -> Any:
    return server.client("lab", account_id=account)


def make(service: Any, name: str, nodes: int = 2) -> None:
    wanted = {"ReplicationGroupId": name, "ReplicationGroupDescription": name, "NumCacheClusters": nodes, "Engine": "valkey"}
    service.create_replication_group(**wanted)


def test_waiters_return_about_when_the_work_is_done(service: Any) -> None:
    start = time.monotonic()
    make(service, "quick")
    service.get_waiter("replication_group_available").wait(ReplicationGroupId="quick")
    service.get_waiter("cache_cluster_available").wait(CacheClusterId="quick-002")
    service.delete_replication_group(ReplicationGroupId="quick")
    service.get_waiter("replication_group_deleted").wait(ReplicationGroupId="quick")
    assert time.monotonic() - start < 10  # botocore's own would sleep 15 s between two looks


def test_waiters_paginators_and_exceptions_are_those_of_boto3(service: Any) -> None:
    assert set(service.waiter_names) == {
        "cache_cluster_available", "cache_cluster_deleted", "replication_group_available", "replication_group_deleted",
    }  # fmt: skip
    pages = service.get_paginator("describe_replication_groups").paginate()
    assert [group for page in pages for group in page["ReplicationGroups"]] == []
    with pytest.raises(service.exceptions.ReplicationGroupNotFoundFault):
        service.describe_replication_groups(ReplicationGroupId="nope")


def test_a_waiter_still_takes_a_configuration(service: Any) -> None:
    make(service, "configured", nodes=1)
    waiter = service.get_waiter("replication_group_available")
    waiter.wait(ReplicationGroupId="configured", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    service.delete_replication_group(ReplicationGroupId="configured")


def test_the_lab_shows_what_a_group_runs_on(service: Any, lab: Any) -> None:
    make(service, "shown")
    lab.get_waiter("nodes_in_sync").wait(ReplicationGroupId="shown")
    primary, replica = lab.describe_nodes(ReplicationGroupId="shown")["Nodes"]
    assert (primary["DesiredRole"], primary["Role"]) == ("primary", "primary")
    assert (replica["DesiredRole"], replica["Role"]) == ("replica", "replica")
    assert Path(f"/proc/{primary['ProcessId']}").exists()
    assert primary["EngineBinary"]["Engine"] == "valkey"
    assert [zone["Zone"] for zone in lab.describe_zones()["Zones"]] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert {agent["Zone"] for agent in lab.describe_agents()["Agents"]} == {"us-east-1a", "us-east-1b", "us-east-1c"}
    service.get_waiter("replication_group_available").wait(ReplicationGroupId="shown")
    service.delete_replication_group(ReplicationGroupId="shown")


def test_the_lab_answers_for_its_account_and_region(server: LocalServer, lab: Any) -> None:
    assert lab.describe_nodes()["Nodes"] == []
    elsewhere = server.client("lab", region_name="eu-west-1")
    assert [zone["Zone"] for zone in elsewhere.describe_zones()["Zones"]] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


def test_refusals_of_the_lab_are_client_errors_with_their_code(lab: Any) -> None:
    with pytest.raises(lab.exceptions.ReplicationGroupNotFoundFault) as refused:
        lab.describe_nodes(ReplicationGroupId="nope")
    assert isinstance(refused.value, ClientError)
    error = refused.value.response["Error"]
    assert error == {"Code": "ReplicationGroupNotFoundFault", "Message": "ReplicationGroup nope not found"}
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert refused.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(lab.exceptions.CacheClusterNotFoundFault):
        lab.describe_nodes(CacheClusterId="nope")


def test_the_settings_of_the_cloud_are_left_alone(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    service = server.client(config=Config(connect_timeout=5))
    assert service.meta.config.connect_timeout == 5
    assert service.describe_replication_groups()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_service_or_an_account_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="there are elasticache and lab"):
        cachewright.client("s3")
    with pytest.raises(ValueError, match="12 digits"):
        cachewright.client(account_id="me")


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerFailedError, match="must show access keys"), local_server(options=["--host", "0.0.0.0"]):
        pytest.fail("it started")


def test_a_server_that_is_not_ready_in_time_is_stopped() -> None:
    with pytest.raises(ServerFailedError, match=r"not ready after 0\.001 s"), local_server(ready_within=0.001):
        pytest.fail("it was ready")


def test_a_server_of_ones_own_leaves_nothing_behind() -> None:
    with local_server(zones=1) as own:
        make(own.client(), "gone", nodes=1)
        own.client().get_waiter("replication_group_available").wait(ReplicationGroupId="gone")
        [node] = own.client("lab").describe_nodes()["Nodes"]
        assert own.data_dir.exists()
    assert not own.data_dir.exists()
    wait_until(lambda: not Path(f"/proc/{node['ProcessId']}").exists())
