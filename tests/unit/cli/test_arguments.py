"""What the commands refuse before they talk to anybody, and what they say when nobody answers."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from cachewright import __version__
from cachewright.cli.agent import seconds
from cachewright.cli.create import parsed_tags
from cachewright.cli.main import app

NOBODY = "http://127.0.0.1:1"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"CACHEWRIGHT_URL": NOBODY, "COLUMNS": "200", "TERM": "dumb"})


@pytest.mark.parametrize(
    "words",
    [
        ("create", "group"),
        ("create", "group", "orders", "--replicas", "1", "--nodes", "2"),
        ("create", "group", "orders", "--replicas", "-1"),
        ("create", "group", "orders", "--tag", "team"),
        ("create", "group", "orders", "--tag", "=payments"),
        ("create", "cache", "sessions"),
        ("modify", "group", "orders"),
        ("failover",),
        ("scale",),
        ("scale", "orders"),
        ("scale", "orders", "--replicas", "6"),
        ("scale", "orders", "--replicas", "-1"),
        ("scale", "orders", "--shards", "0"),
        ("scale", "sessions", "--nodes", "0"),
        ("scale", "orders", "--replicas", "2", "--shards", "3", "--no-wait"),
        ("promote", "orders"),
        ("history",),
        ("describe", "--output", "yaml"),
        ("describe", "--kind", "table"),
        ("events", "--minutes", "0"),
        ("fault", "hang"),
        ("fault", "hang", "orders", "--for", "0"),
        ("fault", "slow", "orders", "--slowness", "1"),
        ("fault", "cut", "a"),
        ("agent", "remove"),
        ("agent", "token", "revoke"),
        ("access-key", "create"),
        ("access-key", "create", "--role", "root"),
        ("access-key", "create", "--role", "admin", "--expires", "soon"),
        ("access-key", "revoke"),
        ("access-key", "create", "--role", "admin", "--secret-access-key", "s"),
        ("agent", "token", "create", "--expires", "soon"),
        ("agent", "token", "create", "--expires", "0h"),
        ("nonsense",),
        ("--region", "eu-west-1", "serve"),
    ],
)
def test_a_usage_error_ends_with_2(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("describe",),
        ("describe", "orders"),
        ("create", "group", "orders"),
        ("create", "group", "orders", "--zones", "a,b,c"),
        ("delete", "orders", "--yes"),
        ("reboot", "orders-001"),
        ("events",),
        ("events", "--follow"),
        ("agents",),
        ("agent", "list"),
        ("agent", "remove", "agent-b"),
        ("agent", "token", "create"),
        ("agent", "token", "list"),
        ("access-key", "create", "--role", "operator", "--name", "ci", "--account", "111111111111"),
        ("access-key", "list"),
        ("access-key", "revoke", "CWAKAAAAAAAAAAAAAAAA"),
        ("agent", "token", "revoke", "0123456789"),
        ("zones",),
        ("nodes",),
        ("engines",),
        ("operations",),
        ("modify", "group", "orders", "--no-auto-failover"),
        ("failover", "orders"),
        ("scale", "orders", "--replicas", "2"),
        ("scale", "orders", "--replicas", "0", "--no-wait"),
        ("scale", "orders", "--shards", "3", "--node-type", "cache.m5.large"),
        ("scale", "sessions", "--nodes", "3", "--kind", "cache"),
        ("failover", "orders", "--node-group", "0002", "--no-wait"),
        ("promote", "orders", "orders-002"),
        ("history", "orders"),
    ],
)
def test_without_a_server_every_command_ends_with_3_and_says_how_to_start_one(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 3
    assert NOBODY in result.stderr
    assert "cachewright serve" in result.stderr
    assert result.stdout == ""


def test_a_url_that_is_none_is_said() -> None:
    result = run("zones", "--url", "localhost:8379")
    assert result.exit_code == 3
    assert "localhost:8379 is not the URL of a server" in result.stderr


def test_the_common_options_may_stand_before_the_command() -> None:
    assert "http://127.0.0.1:2." in run("--url", "http://127.0.0.1:2", "zones").stderr


def test_version_needs_no_server() -> None:
    result = run("version")
    assert (result.exit_code, result.stdout) == (0, f"cachewright {__version__}\n")


def test_tags_keep_everything_behind_the_first_equals_sign() -> None:
    assert parsed_tags(["team=a=b", "empty="]) == [{"key": "team", "value": "a=b"}, {"key": "empty", "value": ""}]


@pytest.mark.parametrize("command", ["create", "describe", "delete", "events", "modify", "reboot", "add-replica", "operations", "failover", "promote", "history"])
def test_every_command_has_help(command: str) -> None:
    assert run(command, "--help").exit_code == 0


@pytest.mark.parametrize(("length", "expected"), [(None, None), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_a_length_of_time_is_read_in_its_unit(length: str | None, expected: int | None) -> None:
    assert seconds(length) == expected
