"""How much of a Memcached cache survives a change of its number of nodes, by the way that its clients choose nodes."""

from __future__ import annotations

from typing import Any

import pytest

from bench.memcached_keys import STEPS, WAYS, expected, measured, tolerance

pytestmark = pytest.mark.xdist_group("memcached-keys")  # what is measured is measured once

Shares = dict[tuple[int, int], dict[str, float]]


@pytest.fixture(scope="module")
def shares(server: Any) -> Shares:
    """What share of the keys moved, of real clients on real nodes that they discovered."""
    return {(before, after): moved for before, after, moved in measured(server.client(account_id="000000424242"))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-to-{step[1]}")
def test_a_consistent_hash_keeps_all_but_one_nodes_share_of_the_keys(shares: Shares, step: tuple[int, int], way: str) -> None:
    assert abs(shares[step][way] - expected(way, *step)) < tolerance(way, *step)


def test_chance_does_not_hide_which_way_it_was() -> None:
    for step in ((3, 4), (4, 3), (10, 11)):
        assert expected("ketama", *step) + tolerance("ketama", *step) < expected("modulo", *step) - tolerance("modulo", *step)
