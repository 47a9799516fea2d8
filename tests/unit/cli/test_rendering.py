"""How answers look: for people at a terminal, and in a pipe."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import typer
from rich.console import Console

from cachewright.cli.node import HEADINGS, node_name, role, show_nodes, state
from cachewright.cli.paper import Paper, columns, grid, printable, style, text, time
from cachewright.cli.resource import CACHE, GROUP, Inventory, KindName, find
from cachewright.cli.server import Server
from cachewright.cli.zone import zone_names


def a_node(**given: Any) -> dict[str, Any]:
    node = {
        "node": "orders-001", "cache_cluster_id": "orders-001", "replication_group_id": "orders", "zone": "us-east-1a",
        "address": "127.101.0.1", "port": 6379, "desired_role": "primary", "role": "primary", "phase": "running", "in_sync": True,
        "offset": 123456, "process_id": 28274, "engine_binary": {"engine": "valkey", "version": "8.1.8"},
    }  # fmt: skip
    return {**node, **given}


class Zones(Server):
    """A server that knows three zones."""

    def __init__(self) -> None:
        return

    def get(self, *path: str, wait: float = 0, **query: Any) -> dict[str, Any]:
        return {"zones": [{"zone": f"eu-west-1{letter}"} for letter in "abc"]}


def test_nodes_fit_into_100_columns() -> None:
    out = io.StringIO()
    node = ("payments-001", "primary", "us-east-1a", "127.101.0.12:6379", "running", True, 123456, 4194304, "valkey 9.1.2")
    cells = [[text(value) for value in node]]
    Console(file=out, width=100, force_terminal=True, color_system=None).print(grid(HEADINGS, cells))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "valkey 9.1.2" in lines[1]


def test_a_pipe_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_nodes(Paper(), [a_node(), a_node(node="orders-002", desired_role="replica", role="replica", offset=None)])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "NODE"
    assert first.split() == "orders-001 primary us-east-1a 127.101.0.1:6379 running yes 123456 28274 valkey 8.1.8".split()  # noqa: SIM905
    assert second.index("replica") == first.index("primary") == head.index("ROLE")
    assert "-" in second.split()


def test_json_is_the_answer_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"zones": [{"zone": "us-east-1a", "nodes": 0}]}
    Paper(as_json=True).answer(answer, lambda: pytest.fail("not to be shown"))
    assert json.loads(capsys.readouterr().out) == answer


def test_what_is_wrong_with_a_node_stands_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_nodes(Paper(), [a_node(phase="failed", in_sync=False, problem="its process ended: status 1")])
    assert capsys.readouterr().out.splitlines()[-1] == "orders-001: its process ended: status 1"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("", "-"), ([], "-"), (True, "yes"), (False, "no"), (0, "0"), (["a", "b"], "a, b"), ("[red]x", "[red]x")],
)
def test_a_value_as_people_read_it(value: object, shown: str) -> None:
    assert text(value) == shown


def test_a_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc") == "a\ufffd[2Jb\ufffdc"


def test_square_brackets_are_no_markup() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(grid(("name",), [["[bold]x[/bold]"]]))
    assert "[bold]x[/bold]" in out.getvalue()


def test_columns_have_no_space_at_the_end() -> None:
    assert columns([["a", "b"], ["long", ""]]) == "a     b\nlong"


@pytest.mark.parametrize(
    ("cell", "colour"),
    [("available", "green"), ("create-failed", "red"), ("rebooting cache cluster nodes", "yellow"), ("orders", "")],
)
def test_the_colour_of_a_status(cell: str, colour: str) -> None:
    assert style(cell) == colour


def test_moments_are_shown_in_utc() -> None:
    assert time("2026-11-23T15:11:58.919000Z") == "2026-11-23 15:11:58"
    assert time("2026-11-23T15:11:58.919Z", milliseconds=True) == "2026-11-23 15:11:58.919"
    assert time(None) is None


def test_a_role_that_is_not_the_desired_one_says_so() -> None:
    assert role(a_node()) == "primary"
    assert role(a_node(role="replica")) == "replica, to be primary"
    assert role(a_node(role=None)) == "primary"
    assert role(a_node(desired_role="none", role="none")) is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "in sync"),
        ({"in_sync": False}, "syncing"),
        ({"phase": None}, "planned"),
        ({"phase": "dead", "in_sync": False}, "dead"),
        ({"desired_role": "none"}, "running"),
        ({"desired_role": "none", "in_sync": False}, "restarting"),
    ],
)
def test_how_far_a_node_is(given: dict[str, Any], shown: str) -> None:
    assert state(a_node(**given)) == shown


def test_a_memcached_node_is_called_by_its_cache_too() -> None:
    assert node_name(a_node(node="0001", cache_cluster_id="sessions")) == "sessions/0001"


def test_zones_are_given_by_letter_or_by_name() -> None:
    assert zone_names(Zones(), "a, c,eu-west-1b") == ["eu-west-1a", "eu-west-1c", "eu-west-1b"]
    assert zone_names(Zones(), None) == []
    with pytest.raises(typer.BadParameter, match="there is no zone z; there are a, b, c"):
        zone_names(Zones(), "a,z")


def test_a_name_that_is_a_group_and_a_cache_must_be_said_which() -> None:
    caches = [{"cache_cluster_id": "orders"}, {"cache_cluster_id": "sessions"}]
    inventory = Inventory([{"replication_group_id": "orders"}], caches)
    assert find(Zones(), inventory, "Sessions").kind is CACHE
    assert find(Zones(), inventory, "orders", KindName.GROUP).kind is GROUP
    with pytest.raises(typer.BadParameter, match="--kind"):
        find(Zones(), inventory, "orders")
