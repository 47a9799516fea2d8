"""Loads every module that keeps promises, so that all operations are bound."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "replication_groups",
    "shard_configuration",
    "replica_counts",
    "failover",
    "cache_clusters",
    "snapshots",
    "snapshot_copies",
    "snapshot_progress",
    "snapshot_verification",
    "engine_versions",
    "parameter_groups",
    "subnet_groups",
    "security_groups",
    "users",
    "user_groups",
    "tags",
    "events",
    "node_types",
    "service_updates",
    "reserved_nodes",
    "lab",
    "hosts",
    "injected_faults",
    "join_tokens",
    "access_keys",
    "agents",
)


def load() -> None:
    """Import them all."""
    for name in MODULES:
        import_module(f"controlplane.operations.{name}")
