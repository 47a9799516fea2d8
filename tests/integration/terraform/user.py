"""``aws_elasticache_user``."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from integration.terraform.lookup import find_one
from integration.terraform.patience import code_of
from integration.terraform.resource import Attribute, Config, Plan, Resource, State, equal_in_lower_case
from waiting import wait_until

MISSING = "UserNotFound"


class User(Resource):
    """Somebody who may come in. Passwords are never read back."""

    schema = {
        "user_id": Attribute(forces_new=True),
        "user_name": Attribute(forces_new=True),
        "engine": Attribute(same=equal_in_lower_case),
        "access_string": Attribute(),
        "passwords": Attribute(read_back=False),
        "no_password_required": Attribute(read_back=False),
        "authentication_type": Attribute(computed=True),
        "tags": Attribute(),
    }

    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """NoPasswordRequired is always sent, also when it is false; then it is waited for."""
        asked = {"UserId": config["user_id"], "UserName": config["user_name"], "Engine": config["engine"]}
        made = self.client.create_user(**asked, **self._contents(config), Tags=tags)
        self._until(made["UserId"], "creating", "active")
        return str(made["UserId"])

    def read(self, config: Config) -> State:
        """It is waited for as long as it is being modified."""
        self._until(self.id, "modifying", "active")
        user = find_one(self.client, "describe_users", "Users", MISSING, UserId=self.id)
        return {
            "arn": user["ARN"],
            "user_id": user["UserId"],
            "user_name": user["UserName"],
            "engine": user["Engine"],
            "access_string": user["AccessString"],
            "authentication_type": user["Authentication"]["Type"],
            "password_count": user["Authentication"]["PasswordCount"],
        }

    def update(self, config: Config, plan: Plan) -> None:
        """All of it is sent, then it is waited for."""
        self.client.modify_user(UserId=self.id, **self._contents(config))
        self._until(self.id, "modifying", "active")

    def delete(self) -> None:
        """Then waited for: only ``deleting`` is a status to wait in."""
        try:
            self.client.delete_user(UserId=self.id)
        except ClientError as error:
            if code_of(error) != MISSING:
                raise
        wait_until(lambda: self._status(self.id, "deleting") is None, within=30)

    def _contents(self, config: Config) -> dict[str, Any]:
        passwords = {"Passwords": list(config["passwords"])} if config.get("passwords") else {}
        return {"AccessString": config["access_string"], "NoPasswordRequired": bool(config.get("no_password_required")), **passwords}

    def _until(self, user: str, pending: str, target: str) -> None:
        wait_until(lambda: self._status(user, pending, target) == target, within=30)

    def _status(self, user: str, *allowed: str) -> str | None:
        """Its status, None when it is gone; any that is not allowed is an error."""
        try:
            status = str(self.client.describe_users(UserId=user)["Users"][0]["Status"])
        except ClientError as error:
            if code_of(error) != MISSING:
                raise
            return None
        assert status in allowed, f"unexpected state {status!r}, wanted target {allowed}"
        return status
