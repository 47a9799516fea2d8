"""``cachewright user`` and ``cachewright user-group``: passwords come from a file or standard input and are never shown."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from cachewright import LocalServer

PASSWORD = "a-password-for-tests"


@pytest.fixture
def run(server: LocalServer) -> Any:
    account = str(uuid.uuid4().int)[:12]

    def cachewright(*words: str, said: str = "", fails: bool = False) -> Any:
        command = [sys.executable, "-m", "cachewright", *words, "--url", server.url, "--account-id", account, "--output", "json"]
        done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) is fails, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stderr if fails else json.loads(done.stdout)

    return cachewright


def test_users_and_groups_on_the_command_line(run: Any, tmp_path: Path) -> None:
    made = run("user", "create", "alice", "--access", "on ~app:* +@read", "--password-file", "-", said=f"{PASSWORD}\n")
    assert (made["access_string"], made["authentication"]) == ("on ~app:* -@all +@read", {"type": "password", "password_count": 1})
    file = tmp_path / "passwords"
    file.write_text(f"{PASSWORD}\n{PASSWORD}-2\n")
    assert run("user", "modify", "alice", "--password-file", str(file))["authentication"]["password_count"] == 2
    assert run("user", "modify", "alice", "--append-access", "+set")["access_string"] == "on ~app:* -@all +@read +set"
    run("user", "create", "open", "--access", "on ~* +@all", "--no-password")
    assert run("user-group", "create", "app", "alice")["user_ids"] == ["alice"]
    assert run("user-group", "modify", "app", "--add", "open", "--remove", "alice")["user_ids"] == ["open"]
    assert [user["user_id"] for user in run("user", "list")["users"]] == ["alice", "default", "open"]
    assert run("user", "describe", "open")["user_group_ids"] == ["app"]
    assert [group["user_group_id"] for group in run("user-group", "list")["user_groups"]] == ["app"]
    assert run("user-group", "describe", "app")["status"] == "active"
    assert run("user-group", "delete", "app", "--yes")["status"] == "deleting"
    assert run("user", "delete", "alice", "--yes")["status"] == "deleting"


def test_a_password_is_asked_of_somebody(run: Any) -> None:
    assert "there is nobody to ask for a password" in run("user", "create", "alice", "--access", "on", fails=True).replace("\n", " ")
    assert "UserNotFound" in run("user", "describe", "alice", fails=True)
    assert "InvalidParameterValue" in run("user", "create", "alice", "--access", "on", "--password-file", "-", said="short\n", fails=True)
