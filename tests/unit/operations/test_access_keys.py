"""Access keys as callers see them, and what each role may do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import NOW, FixedClock

from api_schemas.access_key import CreateAccessKey, DescribeAccessKeys, RevokeAccessKey
from api_schemas.credentials import Credentials
from api_schemas.faults import AccessKeyNotFound, InvalidParameterValue
from api_schemas.metrics import DESCRIBE_METRICS
from api_schemas.secret_fields import SECRET_FIELDS
from controlplane.domain.access_key import Role
from controlplane.operations import keepers
from controlplane.operations.access_keys import create_access_key, describe_access_keys, revoke_access_key
from controlplane.operations.context import Context
from controlplane.operations.performs import kept_promises
from controlplane.operations.roles import DOWNLOAD_SNAPSHOT_FILE, FOLLOW_EVENTS, IMPORT_SNAPSHOT, OPERATOR, READ_ONLY, may
from controlplane.pki.sealing import Sealer

ADMINS_ONLY = {
    "CreateAccessKey", "DescribeAccessKeys", "RevokeAccessKey", "CreateJoinToken", "DescribeJoinTokens", "RevokeJoinToken", "RemoveAgent",
    "DrainAgent", "UndrainAgent", "CreateFault", "DeleteFault",
}  # fmt: skip
TO_COME = {"CreateUser", "ModifyUser", "DeleteUser", "DescribeUsers", "CreateUserGroup", "ModifyUserGroup", "DeleteUserGroup", "DescribeUserGroups"}


@pytest.fixture
def ctx(ctx: Context, tmp_path: Path) -> Context:
    return replace(ctx, sealer=Sealer(tmp_path / "secrets.key"))


def statuses(ctx: Context) -> dict[str, str]:
    return {key.access_key_id: key.status for key in describe_access_keys(ctx, DescribeAccessKeys()).access_keys}


def test_a_secret_is_told_once_and_kept_sealed(ctx: Context) -> None:
    made = create_access_key(ctx, CreateAccessKey(role="operator", name="ci"))
    shown = made.access_key
    assert (shown.role, shown.name, shown.account_id, shown.status) == ("operator", "ci", ctx.world.account, "valid")
    assert len(shown.access_key_id) == 20
    assert len(made.secret_access_key) == 40
    kept = ctx.unit.access_keys.get(shown.access_key_id)
    assert kept is not None
    assert made.secret_access_key not in repr(kept) + kept.sealed_secret + repr(made)
    assert made.secret_access_key not in describe_access_keys(ctx, DescribeAccessKeys()).model_dump_json()
    assert ctx.sealer is not None
    assert ctx.sealer.open(kept.sealed_secret) == made.secret_access_key


def test_a_key_without_a_name_goes_by_its_id_and_may_be_for_another_account(ctx: Context) -> None:
    shown = create_access_key(ctx, CreateAccessKey(role="admin", account_id="111111111111")).access_key
    assert (shown.name, shown.account_id) == (shown.access_key_id, "111111111111")


def test_a_key_expires(ctx: Context, clock: FixedClock) -> None:
    shown = create_access_key(ctx, CreateAccessKey(role="admin", expires_in_seconds=60)).access_key
    clock.advance(seconds=59)
    assert statuses(ctx) == {shown.access_key_id: "valid"}
    clock.advance(seconds=1)
    assert statuses(ctx) == {shown.access_key_id: "expired"}


def test_a_key_is_revoked_for_good(ctx: Context, clock: FixedClock) -> None:
    key = create_access_key(ctx, CreateAccessKey(role="admin")).access_key.access_key_id
    revoked = revoke_access_key(ctx, RevokeAccessKey(access_key_id=key)).access_key
    assert (revoked.status, revoked.revoked_at) == ("revoked", NOW)
    clock.advance(seconds=60)
    assert revoke_access_key(ctx, RevokeAccessKey(access_key_id=key)).access_key == revoked
    with pytest.raises(AccessKeyNotFound, match="no access key x"):
        revoke_access_key(ctx, RevokeAccessKey(access_key_id="x"))


def test_without_a_key_for_secrets_there_are_none(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterValue, match="nothing to seal secrets with"):
        create_access_key(replace(ctx, sealer=None), CreateAccessKey(role="admin"))
    (tmp_path / "open.key").write_text("x")
    (tmp_path / "open.key").chmod(0o644)
    with pytest.raises(InvalidParameterValue, match="can be read or changed by others"):
        create_access_key(replace(ctx, sealer=Sealer(tmp_path / "open.key")), CreateAccessKey(role="admin"))


def test_every_operation_has_its_place_in_the_table_of_roles() -> None:
    keepers.load()
    known = {*kept_promises(), DESCRIBE_METRICS.name}
    doors = {DOWNLOAD_SNAPSHOT_FILE, IMPORT_SNAPSHOT, FOLLOW_EVENTS}
    assert known - OPERATOR == ADMINS_ONLY, "a new operation is the admins' alone, unless roles.py says otherwise"
    assert known | doors | TO_COME >= OPERATOR, "roles.py names what there is not"


def test_read_only_keys_change_nothing_and_operators_see_what_they_see() -> None:
    keepers.load()
    assert {name for name, promise in kept_promises().items() if not promise.reads and may(Role.READ_ONLY, name)} == set()
    assert READ_ONLY < OPERATOR
    assert all(may(Role.ADMIN, name) for name in (*kept_promises(), "WhateverComes"))
    assert not may(Role.OPERATOR, "WhateverComes")


def test_every_secret_of_a_request_is_on_the_list() -> None:
    keepers.load()
    fields = {field for promise in kept_promises().values() for field in promise.takes.model_fields}
    suspicious = {field for field in fields if any(word in field for word in ("password", "secret", "auth_token"))}
    assert suspicious - {"auth_token_update_strategy", "auth_token_enabled", "no_password_required"} <= SECRET_FIELDS


def test_credentials_are_read_as_they_are_written() -> None:
    made = Credentials("CWAK" + "A" * 16, "s" * 40)
    assert Credentials.parse_file(made.file) == Credentials.parse_token(made.token) == made
    for wrong in ("", "[default]", "[other]\naws_access_key_id = a", "secretstuff", "[default]\nsecretstuff"):
        with pytest.raises(ValueError, match="it is not a file with") as refused:
            Credentials.parse_file(wrong)
        assert "secretstuff" not in str(refused.value)
