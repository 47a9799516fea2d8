"""Every state that two control planes and an agent can reach keeps the promises; without any one rule, some do not."""

from __future__ import annotations

import pytest
from leading import Rules, broken, search


def test_no_two_lead_and_nobody_who_relies_on_being_heard_is_counted_as_lost() -> None:
    states, way = search(Rules())
    assert way == []
    assert states > 1000, "the search has looked at next to nothing"


@pytest.mark.parametrize(
    ("rules", "promise"),
    [
        (Rules(patience=Rules().lease - 2), "two lead"),
        (Rules(forgives=False), "an agent that relies on being heard is counted as lost"),
        (Rules(takes_words_only_if_leading=False), "an agent that relies on being heard is counted as lost"),
        (Rules(heard=Rules().agent_lease - 3), "an agent that relies on being heard is counted as lost"),
    ],
    ids=["patience shorter than the lease", "nobody is forgiven", "words taken without leading", "hearing shorter than the lease"],
)
def test_each_rule_is_needed(rules: Rules, promise: str) -> None:
    _, way = search(rules)
    assert way, "the search has found nothing wrong"
    assert broken(way[-1], rules) == promise
