"""Ids, names and ARNs: what is well-formed, and how it is stored."""

from __future__ import annotations

import re

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.topology import World

_IDENTIFIER = re.compile(r"[a-z](?:-?[a-z0-9])*")
_PARAMETER_GROUP_NAME = re.compile(r"[a-z](?:[.-]?[a-z0-9])*")
_GROUP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9 ._@-]*[a-z0-9._@-])?")
LONGEST_CACHE_CLUSTER_ID, LONGEST_REPLICATION_GROUP_ID, LONGEST_GROUP_NAME = 50, 40, 255
LONGEST_SNAPSHOT_NAME = 255
LONGEST_USER_ID = 40


def identifier(asked: str, what: str, longest: int) -> str:
    """The id as it is stored, in lower case.

    Raises InvalidParameterValue for one that is not 1 to ``longest`` letters, digits and single hyphens, beginning with a letter and
    not ending in a hyphen.
    """
    stored = asked.lower()
    if len(stored) > longest or not _IDENTIFIER.fullmatch(stored):
        raise InvalidParameterValue(
            f"The parameter {what} is not a valid identifier. It has 1 to {longest} ASCII letters, digits and hyphens, begins with a "
            "letter, does not end with a hyphen and has no two hyphens in a row."
        )
    return stored


def cache_cluster_id(asked: str) -> str:
    """A cache cluster's id, checked."""
    return identifier(asked, "CacheClusterId", LONGEST_CACHE_CLUSTER_ID)


def replication_group_id(asked: str) -> str:
    """A replication group's id, checked."""
    return identifier(asked, "ReplicationGroupId", LONGEST_REPLICATION_GROUP_ID)


def user_id(asked: str) -> str:
    """A user's id, checked."""
    return identifier(asked, "UserId", LONGEST_USER_ID)


def user_group_id(asked: str) -> str:
    """A user group's id, checked."""
    return identifier(asked, "UserGroupId", LONGEST_USER_ID)


def snapshot_name(asked: str, what: str) -> str:
    """The name of a new snapshot, checked. The service itself has longer ones, with dots, for those that it makes."""
    return identifier(asked, what, LONGEST_SNAPSHOT_NAME)


def group_name(asked: str, what: str) -> str:
    """The name of a subnet group, checked and in lower case. Raises InvalidParameterValue."""
    stored = asked.lower()
    if len(stored) > LONGEST_GROUP_NAME or not _GROUP_NAME.fullmatch(stored):
        raise InvalidParameterValue(
            f"The parameter {what} is not valid: it has 1 to {LONGEST_GROUP_NAME} letters, digits, hyphens, dots, underscores, "
            "at signs or inner spaces."
        )
    return stored


def parameter_group_name(asked: str) -> str:
    """The name of a new parameter group, checked and in lower case. Raises InvalidParameterValue."""
    stored = asked.lower()
    if len(stored) > LONGEST_GROUP_NAME or not _PARAMETER_GROUP_NAME.fullmatch(stored) or stored.startswith("default."):
        raise InvalidParameterValue(
            f"The parameter CacheParameterGroupName is not valid: it has 1 to {LONGEST_GROUP_NAME} letters, digits, and single hyphens "
            "and dots between them, begins with a letter and not with default."
        )
    return stored


def member_id(group: str, number: int) -> str:
    """The cache cluster id of the n-th member of a replication group, cluster mode disabled."""
    return f"{group}-{number:03d}"


def shard_member_id(group: str, node_group: str, number: int) -> str:
    """The cache cluster id of the n-th member of a node group, cluster mode enabled."""
    return f"{group}-{node_group}-{number:03d}"


def node_group_id(asked: str) -> str:
    """The id of a node group as it is stored, four digits. Raises InvalidParameterValue."""
    if not re.fullmatch(r"[0-9]{1,4}", asked) or int(asked) == 0:
        raise InvalidParameterValue(f"NodeGroupId {asked[:20]!r} is not valid: it has 1 to 4 digits and is not zero.")
    return asked.zfill(4)


def arn(world: World, kind: str, name: str) -> str:
    """The ARN of a resource; ``kind`` is ``cluster``, ``replicationgroup``, ``parametergroup``, ``subnetgroup`` …"""
    partition = "aws-cn" if world.region.startswith("cn-") else "aws-us-gov" if world.region.startswith("us-gov-") else "aws"
    return f"arn:{partition}:elasticache:{world.region}:{world.account}:{kind}:{name}"
