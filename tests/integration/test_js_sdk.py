"""The AWS SDK for JavaScript, unmodified: another reader of the same wire, stricter about XML in other places than botocore."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest

from cachewright import LocalServer

PACKAGE = "@aws-sdk/client-elasticache"

SCRIPT = """
import * as elasticache from "@aws-sdk/client-elasticache";

const [endpoint, account] = process.argv.slice(2);
const client = new elasticache.ElastiCacheClient({
  endpoint, region: "us-east-1", credentials: { accessKeyId: account, secretAccessKey: "local" }, maxAttempts: 1,
});
const send = (name, asked) => client.send(new elasticache[`${name}Command`](asked));
const told = {};
const group = { ReplicationGroupId: "js" };

told.created = (await send("CreateReplicationGroup", {
  ...group, ReplicationGroupDescription: "from <JavaScript> & co", NumCacheClusters: 2, Engine: "valkey", EngineVersion: "8.1",
  AutomaticFailoverEnabled: true, PreferredCacheClusterAZs: ["us-east-1b", "us-east-1c"], Tags: [{ Key: "team", Value: "web" }],
})).ReplicationGroup;
const waited = await elasticache.waitUntilReplicationGroupAvailable({ client, maxWaitTime: 60 }, group);
told.waited = waited.state;
told.group = (await send("DescribeReplicationGroups", group)).ReplicationGroups[0];
told.clusters = (await send("DescribeCacheClusters", { ShowCacheNodeInfo: true })).CacheClusters;
told.tags = (await send("ListTagsForResource", { ResourceName: told.group.ARN })).TagList;
told.parameters = 0;
for await (const page of elasticache.paginateDescribeCacheParameters(
  { client, pageSize: 50 }, { CacheParameterGroupName: "default.valkey8" })) told.parameters += page.Parameters.length;
try {
  await send("CreateReplicationGroup", { ...group, ReplicationGroupDescription: "again" });
} catch (refused) {
  told.twice = [refused.name, refused instanceof elasticache.ReplicationGroupAlreadyExistsFault];
}
told.deleting = (await send("DeleteReplicationGroup", group)).ReplicationGroup.Status;
await elasticache.waitUntilReplicationGroupDeleted({ client, maxWaitTime: 60 }, group);
try {
  await send("DescribeReplicationGroups", group);
} catch (refused) {
  told.gone = [refused.name, refused.$metadata.httpStatusCode, refused instanceof elasticache.ReplicationGroupNotFoundFault];
}
console.log(JSON.stringify(told));
"""


@pytest.fixture(scope="session")
def sdk() -> Path:
    """A folder with the SDK in it, installed once and kept in the temporary folder."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = Path(tempfile.gettempdir()) / f"cachewright-js-sdk-{os.getuid()}"
    if not (folder / "node_modules" / PACKAGE / "package.json").exists():
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Install beside and move into place, so that workers at the same time do not see half of it."""
    beside = Path(tempfile.mkdtemp(prefix="cachewright-js-sdk-"))
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(beside), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    try:
        beside.rename(folder)
    except OSError:  # another worker was first
        shutil.rmtree(beside)


@pytest.fixture(scope="module")
def told(server: LocalServer, sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the SDK saw of one group's life."""
    script = sdk / f"life-{uuid.uuid4().hex}.mjs"
    script.write_text(SCRIPT)
    try:
        command = ["node", str(script), server.url, str(uuid.uuid4().int)[:12]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_sdk_reads_a_new_group(told: Any) -> None:
    created = told["created"]
    assert (created["Status"], created["Description"]) == ("creating", "from <JavaScript> & co")
    assert created["MemberClusters"] == ["js-001", "js-002"]
    assert "NodeGroups" not in created


def test_the_sdk_reads_an_available_group_with_its_types(told: Any) -> None:
    group = told["group"]
    assert (told["waited"], group["Status"]) == ("SUCCESS", "available")
    assert group["NodeGroups"][0]["PrimaryEndpoint"]["Port"] == 6379
    members = group["NodeGroups"][0]["NodeGroupMembers"]
    assert [member["PreferredAvailabilityZone"] for member in members] == ["us-east-1b", "us-east-1c"]
    assert (group["ClusterEnabled"], group["AutoMinorVersionUpgrade"]) == (False, True)
    assert group["ReplicationGroupCreateTime"].endswith("Z")
    assert [cluster["CacheNodes"][0]["CacheNodeStatus"] for cluster in told["clusters"]] == ["available", "available"]
    assert told["tags"] == [{"Key": "team", "Value": "web"}]
    assert told["parameters"] > 50


def test_the_sdk_raises_the_typed_error_of_each_refusal(told: Any) -> None:
    assert told["twice"] == ["ReplicationGroupAlreadyExistsFault", True]
    assert told["deleting"] == "deleting"
    assert told["gone"] == ["ReplicationGroupNotFoundFault", 404, True]
