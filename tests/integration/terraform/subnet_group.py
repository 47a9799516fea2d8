"""``aws_elasticache_subnet_group``."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.lookup import find_one
from integration.terraform.patience import code_of, retried, says
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_as_sets, equal_in_lower_case

MISSING = "CacheSubnetGroupNotFoundFault"


class SubnetGroup(Resource):
    """A name for some subnets."""

    schema = {
        "name": Attribute(forces_new=True, same=equal_in_lower_case),
        "description": Attribute(default="Managed by Terraform"),
        "subnet_ids": Attribute(same=equal_as_sets),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Its id is its name in lower case, whatever the service answers."""
        self.client.create_cache_subnet_group(CacheSubnetGroupName=config["name"], Tags=tags, **self._contents(config))
        return str(config["name"]).lower()

    def read(self, config: Config) -> State:
        """The subnets, and in which network they are."""
        group = find_one(self.client, "describe_cache_subnet_groups", "CacheSubnetGroups", MISSING, CacheSubnetGroupName=self.id)
        return {
            "arn": group["ARN"],
            "name": group["CacheSubnetGroupName"],
            "description": group["CacheSubnetGroupDescription"],
            "subnet_ids": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
            "vpc_id": group["VpcId"],
        }

    def update(self, config: Config, plan: Plan) -> None:
        """All subnets and the description are sent, whichever of them changed."""
        self.client.modify_cache_subnet_group(CacheSubnetGroupName=config["name"], **self._contents(config))

    def delete(self) -> None:
        """Tried again while something depends on it in the network; a cache in it is no such thing."""
        try:
            retried(lambda: self.client.delete_cache_subnet_group(CacheSubnetGroupName=self.id), 5, _may_pass)
        except ClientError as error:
            if code_of(error) != MISSING:
                raise

    def _contents(self, config: Config) -> dict[str, Any]:
        return {"CacheSubnetGroupDescription": self.asked(config, "description"), "SubnetIds": sorted(config["subnet_ids"])}


def _may_pass(error: ClientError) -> bool:
    return says(error, "DependencyViolation")
