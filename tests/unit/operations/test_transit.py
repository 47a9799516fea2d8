"""Which steps of encryption in transit a group takes, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import a_group

from api_schemas.agent.transit import TransitMode
from api_schemas.faults import Fault, InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import ModifyReplicationGroup
from controlplane.domain.guard import Guard
from controlplane.domain.topology import ClusterMode, Topology
from controlplane.operations.context import Context
from controlplane.operations.transit import with_transit

OFF, PREFERRED, REQUIRED = None, TransitMode.PREFERRED, TransitMode.REQUIRED
ON = {"transit_encryption_enabled": True}


def asked_of(ctx: Context, group: Topology, **asked: Any) -> Topology:
    usual = {"replication_group_id": group.name, "apply_immediately": True}
    return with_transit(ctx, group, ModifyReplicationGroup(**{**usual, **asked}))


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        (OFF, {**ON, "transit_encryption_mode": "preferred"}, PREFERRED),
        (PREFERRED, {"transit_encryption_mode": "required"}, REQUIRED),
        (PREFERRED, {**ON, "transit_encryption_mode": "REQUIRED"}, REQUIRED),
        (REQUIRED, {"transit_encryption_mode": "preferred"}, PREFERRED),
        (PREFERRED, {"transit_encryption_enabled": False}, OFF),
    ],
)
def test_a_step_makes_every_node_anew(ctx: Context, before: TransitMode | None, asked: dict[str, Any], after: TransitMode | None) -> None:
    changed = asked_of(ctx, a_group(transit=before), **asked)
    assert changed.transit == after
    assert changed.shown.transit == before, "callers see what it was until all of it is something else"
    assert changed.renewal is not None
    assert {node.make.transit for node in changed.nodes if node.make} == {before}


@pytest.mark.parametrize("asked", [{}, {"transit_encryption_mode": "preferred"}, ON])
def test_what_it_is_already_changes_nothing(ctx: Context, asked: dict[str, Any]) -> None:
    group = a_group(transit=PREFERRED)
    assert asked_of(ctx, group, **asked) is group


@pytest.mark.parametrize(
    ("group", "asked", "fault", "why"),
    [
        ({}, {**ON, "transit_encryption_mode": "required"}, InvalidParameterCombination, "in one step"),
        ({"transit": REQUIRED}, {"transit_encryption_enabled": False}, InvalidParameterCombination, "in one step"),
        ({}, ON, InvalidParameterCombination, "give TransitEncryptionMode preferred"),
        ({}, {"transit_encryption_mode": "preferred"}, InvalidParameterCombination, "needs TransitEncryptionEnabled"),
        ({"transit": PREFERRED}, {"transit_encryption_mode": "always"}, InvalidParameterValue, "Must be one of: preferred, required"),
        ({"transit": PREFERRED}, {"transit_encryption_mode": "required", "apply_immediately": False}, InvalidParameterCombination, "at once"),
        (
            {"transit": PREFERRED},
            {"transit_encryption_mode": "required", "cache_node_type": "cache.m5.large"},
            InvalidParameterCombination,
            "switched alone: leave out CacheNodeType",
        ),
        (
            {"cluster_mode": ClusterMode.ENABLED},
            {**ON, "transit_encryption_mode": "preferred"},
            InvalidParameterCombination,
            "cannot be switched in cluster mode yet",
        ),
    ],
)
def test_what_is_refused(ctx: Context, group: dict[str, Any], asked: dict[str, Any], fault: type[Fault], why: str) -> None:
    with pytest.raises(fault, match=why):
        asked_of(ctx, a_group(**group), **asked)


@pytest.mark.parametrize("guard", [Guard(user_group="app"), Guard(tokens=("0" * 64,))], ids=["users", "token"])
def test_passwords_are_not_made_to_go_in_clear(ctx: Context, guard: Guard) -> None:
    group = a_group(transit=PREFERRED, guard=guard)
    with pytest.raises(InvalidParameterCombination, match="passwords would go in clear"):
        asked_of(ctx, group, transit_encryption_enabled=False)
    assert asked_of(replace(ctx, access_without_tls=True), group, transit_encryption_enabled=False).transit is None
