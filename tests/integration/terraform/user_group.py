"""``aws_elasticache_user_group`` and ``aws_elasticache_user_group_association``."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.lookup import find_one
from integration.terraform.patience import code_of, retried, says
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_as_sets, equal_in_lower_case
from waiting import wait_until

MISSING, STATE = "UserGroupNotFound", "InvalidUserGroupState"


def status_of(client: Any, group: str) -> str | None:
    """The status of a user group, None when it is gone."""
    try:
        return str(client.describe_user_groups(UserGroupId=group)["UserGroups"][0]["Status"])
    except ClientError as error:
        if code_of(error) != MISSING:
            raise
        return None


def until_active(client: Any, group: str) -> None:
    """Wait as the provider does."""
    wait_until(lambda: status_of(client, group) == "active", within=30)


class UserGroup(Resource):
    """Users that come in together."""

    schema = {
        "user_group_id": Attribute(forces_new=True),
        "engine": Attribute(same=equal_in_lower_case),
        "user_ids": Attribute(same=equal_as_sets),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Created, then waited for."""
        asked = {"UserGroupId": config["user_group_id"], "Engine": config["engine"], "UserIds": sorted(config["user_ids"])}
        made = self.client.create_user_group(**asked, Tags=tags)
        until_active(self.client, made["UserGroupId"])
        return str(made["UserGroupId"])

    def read(self, config: Config) -> State:
        """Its users."""
        group = find_one(self.client, "describe_user_groups", "UserGroups", MISSING, UserGroupId=self.id)
        return {"arn": group["ARN"], "user_group_id": group["UserGroupId"], "engine": group["Engine"], "user_ids": group["UserIds"]}

    def update(self, config: Config, plan: Plan) -> None:
        """Who comes and who goes are sent in one call."""
        wanted, present = set(config["user_ids"]), set(self.state["user_ids"])
        added, removed = sorted(wanted - present), sorted(present - wanted)
        change = ({"UserIdsToAdd": added} if added else {}) | ({"UserIdsToRemove": removed} if removed else {})
        self.client.modify_user_group(UserGroupId=self.id, **change)
        until_active(self.client, self.id)

    def delete(self) -> None:
        """Waited for until it is gone."""
        try:
            self.client.delete_user_group(UserGroupId=self.id)
        except ClientError as error:
            if code_of(error) != MISSING:
                raise
        wait_until(lambda: status_of(self.client, self.id) is None, within=30)


class UserGroupAssociation(Resource):
    """One user in a user group; its id is both."""

    schema = {"user_group_id": Attribute(forces_new=True), "user_id": Attribute(forces_new=True)}

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Tried again while the group is being changed."""
        change = {"UserGroupId": config["user_group_id"], "UserIdsToAdd": [config["user_id"]]}
        retried(lambda: self.client.modify_user_group(**change), 30, _is_busy)
        until_active(self.client, config["user_group_id"])
        return f"{config['user_group_id']},{config['user_id']}"

    def read(self, config: Config) -> State:
        """There is one as long as the user is listed. It has no ARN of its own."""
        group, user = self.id.split(",")
        found = find_one(self.client, "describe_user_groups", "UserGroups", MISSING, UserGroupId=group)
        return {"arn": found["ARN"], "user_group_id": group, "user_id": user if user in found["UserIds"] else None}

    def update(self, config: Config, plan: Plan) -> None:
        """There is nothing that could change."""
        raise AssertionError(f"an association is made anew, never changed: {plan}")

    def delete(self) -> None:
        """Who is not a member any more is removed already."""
        group, user = self.id.split(",")
        try:
            retried(lambda: self.client.modify_user_group(UserGroupId=group, UserIdsToRemove=[user]), 30, _is_busy)
        except ClientError as error:
            if not says(error, "not a member"):
                raise
        until_active(self.client, group)


def _is_busy(error: ClientError) -> bool:
    return code_of(error) == STATE
