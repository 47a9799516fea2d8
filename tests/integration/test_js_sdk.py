"""The AWS SDK for JavaScript, unmodified: another reader of the same wire, stricter about XML in other places than botocore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caches import new_account, remove_everything
from npm import folder_with, told_by

from cachewright import LocalServer

Run = Callable[[str], Any]

BEGINNING = """
import * as elasticache from "@aws-sdk/client-elasticache";

const [endpoint, account] = process.argv.slice(2);
const client = new elasticache.ElastiCacheClient({
  endpoint, region: "us-east-1", credentials: { accessKeyId: account, secretAccessKey: "local" }, maxAttempts: 1,
});
const send = (name, asked) => client.send(new elasticache[`${name}Command`](asked));
const within = { client, maxWaitTime: 60 };
const refused = async (name, asked, kind) => {
  try {
    await send(name, asked);
    return ["not refused"];
  } catch (error) {
    return [error.name, error.$metadata?.httpStatusCode, error instanceof (elasticache[kind ?? error.name] ?? Boolean), error.message];
  }
};
const told = {};
"""
END = """
console.log(JSON.stringify(told));
"""


@pytest.fixture(scope="module")
def sdk() -> Path:
    """A folder with the SDK in it."""
    return folder_with("@aws-sdk/client-elasticache")


@pytest.fixture(scope="module")
def run(server: LocalServer, sdk: Path) -> Run:
    """Runs a script in an account of its own, and answers what it ``told``."""

    def told_in_its_account(script: str) -> Any:
        account = new_account()
        try:
            return told_by(BEGINNING + script + END, sdk, server.url, account)
        finally:
            remove_everything(server.client(account_id=account))

    return told_in_its_account


# ---- A replication group from its create to its end


@pytest.fixture(scope="module")
def group(run: Run) -> Any:
    """What the SDK saw of one group's life."""
    return run("""
        const group = { ReplicationGroupId: "js" };
        told.created = (await send("CreateReplicationGroup", {
          ...group, ReplicationGroupDescription: "from <JavaScript> & co", NumCacheClusters: 2, Engine: "valkey", EngineVersion: "8.1",
          AutomaticFailoverEnabled: true, PreferredCacheClusterAZs: ["us-east-1b", "us-east-1c"], Tags: [{ Key: "team", Value: "web" }],
        })).ReplicationGroup;
        told.waited = (await elasticache.waitUntilReplicationGroupAvailable(within, group)).state;
        told.group = (await send("DescribeReplicationGroups", group)).ReplicationGroups[0];
        told.clusters = (await send("DescribeCacheClusters", { ShowCacheNodeInfo: true })).CacheClusters;
        told.tags = (await send("ListTagsForResource", { ResourceName: told.group.ARN })).TagList;
        told.twice = await refused("CreateReplicationGroup", { ...group, ReplicationGroupDescription: "again" });
        told.kept = (await elasticache.waitUntilReplicationGroupDeleted(within, group).catch((error) => error)).message;
        told.changing = (await send("ModifyReplicationGroup", { ...group, ReplicationGroupDescription: "changed" })).ReplicationGroup;
        await elasticache.waitUntilReplicationGroupAvailable(within, group);
        told.changed = (await send("DescribeReplicationGroups", group)).ReplicationGroups[0].Description;
        told.deleting = (await send("DeleteReplicationGroup", group)).ReplicationGroup.Status;
        told.deleted = (await elasticache.waitUntilReplicationGroupDeleted(within, group)).state;
        told.gone = await refused("DescribeReplicationGroups", group);
    """)


def test_the_sdk_reads_a_new_group(group: Any) -> None:
    created = group["created"]
    assert (created["Status"], created["Description"]) == ("creating", "from <JavaScript> & co")
    assert created["MemberClusters"] == ["js-001", "js-002"]
    assert "NodeGroups" not in created


def test_the_sdk_reads_an_available_group_with_its_types(group: Any) -> None:
    shown = group["group"]
    assert (group["waited"], shown["Status"]) == ("SUCCESS", "available")
    assert shown["NodeGroups"][0]["PrimaryEndpoint"]["Port"] == 6379
    members = shown["NodeGroups"][0]["NodeGroupMembers"]
    assert [member["PreferredAvailabilityZone"] for member in members] == ["us-east-1b", "us-east-1c"]
    assert (shown["ClusterEnabled"], shown["AutoMinorVersionUpgrade"]) == (False, True)
    assert shown["ReplicationGroupCreateTime"].endswith("Z")
    assert [found["CacheNodes"][0]["CacheNodeStatus"] for found in group["clusters"]] == ["available", "available"]
    assert group["tags"] == [{"Key": "team", "Value": "web"}]
    assert group["changed"] == "changed"


def test_the_sdk_waits_for_the_end_of_a_group_and_not_in_vain(group: Any) -> None:
    assert '"state":"FAILURE"' in group["kept"]
    assert (group["deleting"], group["deleted"]) == ("deleting", "SUCCESS")
    assert group["gone"][:3] == ["ReplicationGroupNotFoundFault", 404, True]
    assert group["twice"][:3] == ["ReplicationGroupAlreadyExistsFault", 400, True]


def test_the_sdk_reads_a_group_in_cluster_mode(run: Run) -> None:
    told = run("""
        const group = { ReplicationGroupId: "js" };
        await send("CreateReplicationGroup", {
          ...group, ReplicationGroupDescription: "d", Engine: "valkey", EngineVersion: "8.1", AutomaticFailoverEnabled: true,
          NodeGroupConfiguration: [
            { NodeGroupId: "0001", Slots: "0-99,200-16383", ReplicaCount: 1 }, { NodeGroupId: "0002", Slots: "100-199", ReplicaCount: 0 },
          ],
        });
        await elasticache.waitUntilReplicationGroupAvailable(within, group);
        told.group = (await send("DescribeReplicationGroups", group)).ReplicationGroups[0];
        told.rebooted = await refused("RebootCacheCluster", { CacheClusterId: "js-0001-001", CacheNodeIdsToReboot: ["0001"] });
        await send("DeleteReplicationGroup", group);
        told.deleted = (await elasticache.waitUntilReplicationGroupDeleted(within, group)).state;
    """)
    group = told["group"]
    assert (group["ClusterEnabled"], group["ClusterMode"], group["ConfigurationEndpoint"]["Port"]) == (True, "enabled", 6379)
    assert group["MemberClusters"] == ["js-0001-001", "js-0001-002", "js-0002-001"]
    assert [(shard["NodeGroupId"], shard["Slots"]) for shard in group["NodeGroups"]] == [("0001", "0-99,200-16383"), ("0002", "100-199")]
    for shard in group["NodeGroups"]:
        assert {"PrimaryEndpoint", "ReaderEndpoint"}.isdisjoint(shard)
        assert all({"CurrentRole", "ReadEndpoint"}.isdisjoint(member) for member in shard["NodeGroupMembers"])
    assert told["rebooted"][:3] == ["InvalidCacheClusterStateFault", 400, True]
    assert told["deleted"] == "SUCCESS"


# ---- Cache clusters


@pytest.mark.parametrize(("engine", "nodes"), [("redis", 1), ("memcached", 2)])
def test_the_sdk_waits_for_a_cache_cluster(run: Run, engine: str, nodes: int) -> None:
    told = run(f"""
        const asked = {{ CacheClusterId: "js" }};
        told.created = (await send("CreateCacheCluster", {{ ...asked, Engine: "{engine}", NumCacheNodes: {nodes} }})).CacheCluster;
        told.available = (await elasticache.waitUntilCacheClusterAvailable(within, asked)).state;
        told.shown = (await send("DescribeCacheClusters", {{ ...asked, ShowCacheNodeInfo: true }})).CacheClusters[0];
        told.kept = (await elasticache.waitUntilCacheClusterDeleted(within, asked).catch((error) => error)).message;
        told.deleting = (await send("DeleteCacheCluster", asked)).CacheCluster.CacheClusterStatus;
        told.deleted = (await elasticache.waitUntilCacheClusterDeleted(within, asked)).state;
        told.gone = await refused("DescribeCacheClusters", asked);
    """)
    assert (told["created"]["CacheClusterStatus"], told["available"]) == ("creating", "SUCCESS")
    shown = told["shown"]
    assert [node["CacheNodeId"] for node in shown["CacheNodes"]] == ["0001", "0002"][:nodes]
    assert all(node["Endpoint"]["Port"] == shown["CacheNodes"][0]["Endpoint"]["Port"] for node in shown["CacheNodes"])
    assert ("ConfigurationEndpoint" in shown) is (engine == "memcached")
    assert '"state":"FAILURE"' in told["kept"]
    assert (told["deleting"], told["deleted"]) == ("deleting", "SUCCESS")
    assert told["gone"][:3] == ["CacheClusterNotFoundFault", 404, True]


def test_the_sdk_waits_for_memcached_nodes_that_come_and_go(run: Run) -> None:
    told = run("""
        const asked = { CacheClusterId: "js" };
        const numbers = async (change) => {
          const status = (await send("ModifyCacheCluster", { ...asked, ApplyImmediately: true, ...change })).CacheCluster.CacheClusterStatus;
          await elasticache.waitUntilCacheClusterAvailable(within, asked);
          const shown = (await send("DescribeCacheClusters", { ...asked, ShowCacheNodeInfo: true })).CacheClusters[0];
          return [status, shown.NumCacheNodes, shown.CacheNodes.map((node) => node.CacheNodeId)];
        };
        await send("CreateCacheCluster", { ...asked, Engine: "memcached", NumCacheNodes: 1 });
        await elasticache.waitUntilCacheClusterAvailable(within, asked);
        told.more = await numbers({ NumCacheNodes: 3 });
        told.unnamed = await refused("ModifyCacheCluster", { ...asked, ApplyImmediately: true, NumCacheNodes: 2 });
        told.fewer = await numbers({ NumCacheNodes: 1, CacheNodeIdsToRemove: ["0003", "0002"] });
    """)
    assert told["more"] == ["modifying", 3, ["0001", "0002", "0003"]]
    assert told["unnamed"][0] in ("InvalidParameterCombinationException", "InvalidParameterValueException")
    assert told["unnamed"][1:3] == [400, True]
    assert told["fewer"] == ["modifying", 1, ["0001"]]


# ---- Parameter groups


def test_the_sdk_sets_and_resets_parameters(run: Run) -> None:
    told = run("""
        const group = { CacheParameterGroupName: "js" };
        const asked = { ...group, CacheParameterGroupFamily: "valkey8", Description: "from <JavaScript> & co" };
        const values = [
          { ParameterName: "timeout", ParameterValue: "30" }, { ParameterName: "maxmemory-policy", ParameterValue: "allkeys-lru" },
        ];
        const ofUser = async () => (await send("DescribeCacheParameters", { ...group, Source: "user" })).Parameters
          .map((each) => [each.ParameterName, each.ParameterValue, each.IsModifiable]);
        told.created = (await send("CreateCacheParameterGroup", asked)).CacheParameterGroup;
        told.twice = await refused("CreateCacheParameterGroup", asked);
        told.modified = (await send("ModifyCacheParameterGroup", { ...group, ParameterNameValues: values })).CacheParameterGroupName;
        told.set = await ofUser();
        await send("ResetCacheParameterGroup", { ...group, ParameterNameValues: values.slice(0, 1) });
        told.reset = await ofUser();
        told.unknown = await refused(
          "ModifyCacheParameterGroup", { ...group, ParameterNameValues: [{ ParameterName: "none-such", ParameterValue: "1" }] });
        await send("CreateReplicationGroup", {
          ReplicationGroupId: "js", ReplicationGroupDescription: "d", Engine: "valkey", EngineVersion: "8.1", ...group,
        });
        await elasticache.waitUntilReplicationGroupAvailable(within, { ReplicationGroupId: "js" });
        told.used = await refused("DeleteCacheParameterGroup", group);
        await send("DeleteReplicationGroup", { ReplicationGroupId: "js" });
        await elasticache.waitUntilReplicationGroupDeleted(within, { ReplicationGroupId: "js" });
        await send("DeleteCacheParameterGroup", group);
        told.gone = await refused("DescribeCacheParameterGroups", group);
    """)
    created = told["created"]
    assert (created["CacheParameterGroupName"], created["Description"], created["IsGlobal"]) == ("js", "from <JavaScript> & co", False)
    assert told["modified"] == "js"
    assert sorted(told["set"]) == [["maxmemory-policy", "allkeys-lru", True], ["timeout", "30", True]]
    assert told["reset"] == [["maxmemory-policy", "allkeys-lru", True]]
    assert told["twice"][:3] == ["CacheParameterGroupAlreadyExistsFault", 400, True]
    assert told["unknown"][:3] == ["InvalidParameterValueException", 400, True]
    assert told["used"][:3] == ["InvalidCacheParameterGroupStateFault", 400, True]
    assert told["gone"][:3] == ["CacheParameterGroupNotFoundFault", 404, True]


# ---- Errors and pages


def test_the_sdk_raises_the_typed_error_of_each_refusal(run: Run) -> None:
    told = run("""
        const arn = `arn:aws:elasticache:us-east-1:${account}`;
        await send("CreateCacheSubnetGroup", {
          CacheSubnetGroupName: "js", CacheSubnetGroupDescription: "d", SubnetIds: ["subnet-0a"], Tags: [],
        });
        const asked = { ReplicationGroupDescription: "d", ReplicationGroupId: "js", Engine: "valkey" };
        told.errors = {
          CacheClusterNotFoundFault: await refused("DeleteCacheCluster", { CacheClusterId: "none-such" }),
          ReplicationGroupNotFoundFault: await refused("ModifyReplicationGroup", { ReplicationGroupId: "none-such" }),
          CacheSubnetGroupNotFoundFault: await refused("DeleteCacheSubnetGroup", { CacheSubnetGroupName: "none-such" }),
          CacheSubnetGroupInUse: await refused("DeleteCacheSubnetGroup", { CacheSubnetGroupName: "default" }),
          CacheSubnetGroupAlreadyExistsFault: await refused(
            "CreateCacheSubnetGroup", { CacheSubnetGroupName: "js", CacheSubnetGroupDescription: "d", SubnetIds: ["subnet-0a"] }),
          CacheParameterGroupNotFoundFault: await refused("DescribeCacheParameters", { CacheParameterGroupName: "none-such" }),
          InvalidParameterValueException: await refused("CreateReplicationGroup", { ...asked, NumCacheClusters: 7 }),
          InvalidParameterCombinationException: await refused(
            "CreateReplicationGroup", { ...asked, NumCacheClusters: 1, AutomaticFailoverEnabled: true }),
          InvalidARNFault: await refused("ListTagsForResource", { ResourceName: "no arn" }),
          TagNotFoundFault: await refused("RemoveTagsFromResource", { ResourceName: `${arn}:subnetgroup:js`, TagKeys: ["none-such"] }),
        };
        told.unbuilt = await refused(
          "StartMigration", { ReplicationGroupId: "js", CustomerNodeEndpointList: [] }, "ElastiCacheServiceException");
    """)
    statuses = {"CacheClusterNotFoundFault", "ReplicationGroupNotFoundFault", "CacheParameterGroupNotFoundFault", "TagNotFoundFault"}
    for name, (said, status, typed, message) in told["errors"].items():
        assert (said, typed) == (name, True)
        assert status == (404 if name in statuses else 400), name
        assert message
    name, status, typed, message = told["unbuilt"]
    assert (name, status, typed) == ("UnsupportedOperation", 400, True)
    assert "StartMigration" in message


def test_the_sdk_turns_pages(run: Run) -> None:
    told = run("""
        for (let number = 0; number < 45; number++) await send("CreateCacheSubnetGroup", {
          CacheSubnetGroupName: `js-${number}`, CacheSubnetGroupDescription: "d", SubnetIds: ["subnet-0a"],
        });
        const pages = async (name, asked, items) => {
          told[name] = { pages: [], found: [] };
          for await (const page of elasticache[`paginate${name}`]({ client, pageSize: 20 }, asked)) {
            told[name].pages.push(items(page).length);
            told[name].found.push(...items(page));
          }
        };
        const family = { CacheParameterGroupFamily: "valkey8" };
        await pages("DescribeCacheSubnetGroups", {}, (page) => page.CacheSubnetGroups.map((each) => each.CacheSubnetGroupName));
        await pages("DescribeCacheParameters", { CacheParameterGroupName: "default.valkey8" },
          (page) => page.Parameters.map((each) => each.ParameterName));
        await pages("DescribeEngineDefaultParameters", family,
          (page) => page.EngineDefaults.Parameters.map((each) => each.ParameterName));
        await pages("DescribeCacheParameterGroups", {}, (page) => page.CacheParameterGroups.map((each) => each.CacheParameterGroupName));
        await pages("DescribeCacheEngineVersions", {},
          (page) => page.CacheEngineVersions.map((each) => each.Engine + each.EngineVersion));
        await pages("DescribeEvents", { SourceType: "cache-subnet-group" }, (page) => page.Events.map((each) => each.SourceIdentifier));
    """)
    groups = told["DescribeCacheSubnetGroups"]
    assert groups["pages"] == [20, 20, 6]
    assert set(groups["found"]) == {"default", *(f"js-{number}" for number in range(45))}
    assert told["DescribeEvents"] == {"pages": [20, 20, 5], "found": [f"js-{number}" for number in reversed(range(45))]}
    assert told["DescribeCacheParameters"]["found"] == told["DescribeEngineDefaultParameters"]["found"]
    for name in ("DescribeCacheParameters", "DescribeCacheParameterGroups", "DescribeCacheEngineVersions"):
        assert len(told[name]["pages"]) > 1, name
        assert set(told[name]["pages"][:-1]) == {20}
        assert len(set(told[name]["found"])) == len(told[name]["found"])
