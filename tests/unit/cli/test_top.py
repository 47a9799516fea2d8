"""A line of ``cachewright top`` for each node, and what is said of those without figures."""

from __future__ import annotations

from typing import Any

import pytest

from cachewright.cli.top import HEADINGS, problems, row


def a_node(engine: str = "valkey", values: dict[str, float] | None = None, **given: Any) -> dict[str, Any]:
    node = {"cache_cluster_id": "orders-001", "cache_node_id": "0001", "zone": "us-east-1a", "engine": engine, "agent": "agent-a",
            "role": "primary", "now": {"values": values or {}}}  # fmt: skip
    return {**node, **given}


VALUES = {"GetTypeCmds": 6000.0, "SetTypeCmds": 63.0, "CacheHitRate": 99.5, "EngineCPUUtilization": 3.25, "Evictions": 2.0,
          "DatabaseMemoryUsagePercentage": 0.41, "CurrItems": 12345.0, "CurrConnections": 4.0, "ReplicationLag": 0.0}  # fmt: skip
MEMCACHED = {"CmdGet": 30.0, "CmdSet": 60.0, "GetHits": 3.0, "GetMisses": 1.0, "CPUUtilization": 12.0, "BytesUsedForCacheItems": 25.0,
             "UnusedMemory": 75.0}  # fmt: skip


@pytest.mark.parametrize(
    ("node", "cells"),
    [
        (a_node(values=VALUES),
         ("orders-001", "primary", "us-east-1a", "101", "100 %", "3.2 %", "0.4 %", "12,345", "4", "0 s", "2")),
        (a_node(), ("orders-001", "primary", "us-east-1a", *[None] * 8)),
        (a_node(now=None, role=None), ("orders-001", None, "us-east-1a", *[None] * 8)),
        (a_node("memcached", MEMCACHED, role="none", cache_cluster_id="mc"),
         ("mc/0001", None, "us-east-1a", "1.5", "75 %", "12 %", "25 %", None, None, None, None)),
        (a_node("memcached", {"CmdGet": 0.0, "GetHits": 0.0, "GetMisses": 0.0}, role="none"),
         ("orders-001/0001", None, "us-east-1a", "0", *[None] * 7)),
    ],
)  # fmt: skip
def test_the_line_of_a_node(node: dict[str, Any], cells: tuple[str | None, ...]) -> None:
    assert row(node) == cells
    assert len(cells) == len(HEADINGS)


def test_an_agent_that_is_missing_is_said_once_and_not_for_each_of_its_nodes() -> None:
    missing = {"agent": "agent-a", "zone": "us-east-1a", "because": "it does not answer"}
    nodes = [a_node(problem="agent-a does not answer"), a_node(problem="it does not run", agent="agent-b"), a_node(agent="agent-c")]
    told = problems({"nodes": nodes, "missing_agents": [missing]})
    assert told == ["agent-a (us-east-1a): it does not answer", "orders-001: it does not run"]
