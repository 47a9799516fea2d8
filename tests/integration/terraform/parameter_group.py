"""``aws_elasticache_parameter_group``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.lookup import find_one
from integration.terraform.patience import code_of, retried, says
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_in_lower_case

MISSING, BUSY = "CacheParameterGroupNotFound", "InvalidCacheParameterGroupState"
AT_ONCE = 20
"""Parameters in one call."""


class ParameterGroup(Resource):
    """A parameter group with the values that differ from its family's."""

    schema = {
        "name": Attribute(forces_new=True, same=equal_in_lower_case),
        "family": Attribute(forces_new=True),
        "description": Attribute(default="Managed by Terraform", forces_new=True),
        "parameter": Attribute(),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """First an empty group, then its values as an update would set them."""
        made = self.client.create_cache_parameter_group(
            CacheParameterGroupName=config["name"],
            CacheParameterGroupFamily=config["family"],
            Description=self.asked(config, "description"),
            Tags=tags,
        )["CacheParameterGroup"]
        self._set(made["CacheParameterGroupName"], {}, config.get("parameter") or {})
        return str(made["CacheParameterGroupName"])

    def read(self, config: Config) -> State:
        """Of the parameters only those that somebody set, from one answer alone, and only if they have a value."""
        missing = {"missing": MISSING, "CacheParameterGroupName": self.id}
        group = find_one(self.client, "describe_cache_parameter_groups", "CacheParameterGroups", **missing)
        found = self.client.describe_cache_parameters(CacheParameterGroupName=self.id, Source="user")["Parameters"]
        return {
            "arn": group["ARN"],
            "name": group["CacheParameterGroupName"],
            "family": group["CacheParameterGroupFamily"],
            "description": group["Description"],
            "parameter": {each["ParameterName"].lower(): each["ParameterValue"] for each in found if "ParameterValue" in each},
        }

    def update(self, config: Config, plan: Plan) -> None:
        """Values that are no more wanted are reset, then the others set."""
        self._set(self.id, self.state["parameter"], config.get("parameter") or {})

    def delete(self) -> None:
        """Tried again while caches use it."""
        try:
            delete = self.client.delete_cache_parameter_group
            retried(lambda: delete(CacheParameterGroupName=self.id), 3, lambda error: says(error, BUSY))
        except ClientError as error:
            if code_of(error) != MISSING:
                raise

    def _set(self, name: str, old: dict[str, str], new: dict[str, str]) -> None:
        removed = {key: value for key, value in old.items() if key not in new}
        for batch in _batches(removed):
            self._reset(name, batch)
        for batch in _batches({key: value for key, value in new.items() if old.get(key) != value}):
            self.client.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=batch)

    def _reset(self, name: str, batch: list[dict[str, Any]]) -> None:
        """Tried again while an earlier change is still on its way to the caches."""
        reset = self.client.reset_cache_parameter_group
        retried(lambda: reset(CacheParameterGroupName=name, ParameterNameValues=batch), 0.5, _pending)


def _batches(values: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """So many at a time; a reset carries the old values along."""
    pairs = [{"ParameterName": name, "ParameterValue": value} for name, value in values.items()]
    for start in range(0, len(pairs), AT_ONCE):
        yield pairs[start : start + AT_ONCE]


def _pending(error: ClientError) -> bool:
    return says(error, BUSY, " has pending changes")
