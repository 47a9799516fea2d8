"""How the provider reads and changes tags: beside the resource itself, at every refresh and before every update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.patience import retried, says


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as a request carries them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def list_tags(client: Any, arn: str) -> dict[str, str]:
    """The tags of a resource."""
    answer = retried(lambda: client.list_tags_for_resource(ResourceName=arn), 15, _not_available_yet)
    return {tag["Key"]: tag["Value"] for tag in answer["TagList"]}


def update_tags(client: Any, arn: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Take away what is no more wanted, then add what is new or has another value."""
    removed = [key for key in old if key not in new]
    if removed:
        retried(lambda: client.remove_tags_from_resource(ResourceName=arn, TagKeys=removed), 15, _not_available_yet)
    added = {key: value for key, value in new.items() if old.get(key) != value}
    if added:
        retried(lambda: client.add_tags_to_resource(ResourceName=arn, Tags=tag_list(added)), 15, _not_available_yet)


def _not_available_yet(error: ClientError) -> bool:
    return says(error, "InvalidReplicationGroupState", "not in available state")
