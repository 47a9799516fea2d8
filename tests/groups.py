"""A replication group as a test sees it from all sides."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import httpx
import redis
from bus import nodes_of
from caches import describe_group
from waiting import wait_until


class Group:
    """A replication group as a test sees it from all sides."""

    def __init__(self, client: Any, url: str, account: str, name: str) -> None:
        self.client, self.url, self.account, self.name = client, url, account, name

    def seen(self) -> Any:
        return describe_group(self.client, self.name)

    def nodes(self) -> list[dict[str, Any]]:
        return nodes_of(self.url, self.account, self.name)

    def primary(self, node_group: str = "0001") -> dict[str, Any]:
        """The node that leads a node group, once one does."""
        return wait_until(lambda: self._leader(node_group))

    def _leader(self, node_group: str) -> dict[str, Any] | None:
        return next((node for node in self.nodes() if node["node_group_id"] == node_group and node.get("role") == "primary"), None)

    def node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self.nodes() if node["node"] == node_id)

    def settled(self) -> None:
        """Every node does its duty, nothing is being replaced, the group is available."""

        def all_well() -> bool:
            nodes = self.nodes()
            roles = all(node.get("role") == node["desired_role"] for node in nodes)
            return roles and all(node["in_sync"] for node in nodes) and self.seen()["Status"] == "available"

        wait_until(all_well, within=60, every=0.02)

    def fail_over(self, node_group: str = "0001") -> Any:
        return self.client.test_failover(ReplicationGroupId=self.name, NodeGroupId=node_group)["ReplicationGroup"]

    def promote(self, member: str) -> Any:
        asked = {"ReplicationGroupId": self.name, "PrimaryClusterId": member, "ApplyImmediately": True}
        return self.client.modify_replication_group(**asked)["ReplicationGroup"]

    def connect(self) -> Any:
        """A client that reaches whoever takes writes."""
        group = self.seen()
        if group.get("ConfigurationEndpoint"):
            at = group["ConfigurationEndpoint"]
            return redis.RedisCluster(host=at["Address"], port=at["Port"], decode_responses=True, socket_timeout=5)
        at = group["NodeGroups"][0]["PrimaryEndpoint"]
        return redis.Redis(host=at["Address"], port=at["Port"], decode_responses=True, socket_timeout=5)

    def messages(self) -> list[tuple[str, str]]:
        """Source and text of every event of the group and its members, oldest first."""
        told = self.client.describe_events(Duration=60)["Events"]
        return [(event["SourceIdentifier"], event["Message"]) for event in reversed(told) if event["SourceIdentifier"].startswith(self.name)]

    def history(self) -> list[dict[str, Any]]:
        """The elections, the newest first."""
        answer = httpx.get(f"{self.url}/v1/replication-groups/{self.name}/history", headers={"X-Account-Id": self.account})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["elections"])

    def kill(self, node_id: str) -> None:
        """End the process that the node has now, whichever it is by then."""

        def hit() -> bool:
            with contextlib.suppress(ProcessLookupError, KeyError, TypeError):  # it has just ended by itself, or is not started yet
                os.kill(self.node(node_id)["process_id"], signal.SIGKILL)
                return True
            return False

        wait_until(hit, every=0.001)
