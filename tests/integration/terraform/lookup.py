"""How the provider finds a resource: through all pages, and then exactly one or none."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.patience import code_of


class NotThere(Exception):
    """The service says that the resource does not exist, or answers with nothing."""


class TooManyResults(Exception):
    """The service answered a question for one resource with several."""


def find_all(client: Any, operation: str, key: str, missing: str, **asked: Any) -> list[Any]:
    """Everything on every page. Raises NotThere for the ``missing`` code."""
    try:
        pages = client.get_paginator(operation).paginate(**asked)
        return [found for page in pages for found in page[key]]
    except ClientError as error:
        if code_of(error) == missing:
            raise NotThere(str(error)) from error
        raise


def find_one(client: Any, operation: str, key: str, missing: str, **asked: Any) -> Any:
    """The one resource that the service answers with. Raises NotThere for none, TooManyResults for more than one."""
    found = find_all(client, operation, key, missing, **asked)
    if not found:
        raise NotThere(f"{operation} answered with nothing to {asked}")
    if len(found) > 1:
        raise TooManyResults(f"{operation} answered with {len(found)} results to {asked}")
    return found[0]


def find_cache_cluster(client: Any, name: str, **asked: Any) -> Any:
    """The cache cluster of that id."""
    return find_one(client, "describe_cache_clusters", "CacheClusters", "CacheClusterNotFound", CacheClusterId=name, **asked)


def find_replication_group(client: Any, name: str) -> Any:
    """The replication group of that id."""
    missing = "ReplicationGroupNotFoundFault"
    return find_one(client, "describe_replication_groups", "ReplicationGroups", missing, ReplicationGroupId=name)
