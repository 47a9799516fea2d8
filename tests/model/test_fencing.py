"""What the protocol of leases and fences promises holds in every state that can be reached; without any one of its rules it does not.

Each search is exhaustive to 24 ticks, which are 12 s, for its kinds of events and number of disturbances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from fencing import Event, Model, Rules, Searched, State, search, ticks

RULES = Rules()
CUT, AGENT, PLANE, LOST_WORD, LOST_ANSWER, STALE = Event
LAG = RULES.refuses_at
"""For how long an engine goes on taking writes that nobody acknowledges, once it is fenced: 3 s."""
BOUND = LAG + RULES.delivered
"""4 s: a replica that has not got its order yet may acknowledge to the former primary for as long as that takes."""


@dataclass(frozen=True)
class Case:
    """How many nodes, what may happen, how often."""

    nodes: int
    events: frozenset[Event]
    most: int

    def __str__(self) -> str:
        return f"{self.nodes} nodes, {self.most} of {' '.join(sorted(event.name.lower() for event in self.events))}"


def case(nodes: int, most: int, *events: Event) -> Case:
    return Case(nodes, frozenset(events), most)


CASES = [
    *(case(nodes, 3, CUT, LOST_WORD, LOST_ANSWER) for nodes in (2, 3)),
    *(case(nodes, 3, CUT, PLANE) for nodes in (2, 3)),
    *(case(nodes, 3, CUT, STALE) for nodes in (2, 3)),
    *(case(nodes, 3, AGENT, LOST_WORD) for nodes in (2, 3)),
    case(3, 2, CUT, AGENT),
]


def two_for_longer_than(bound: int):  # type: ignore[no-untyped-def]
    return lambda _, after: after.both > bound


def explore(given: Case, is_bad, rules: Rules = RULES, *, lasting: bool = False) -> Searched:  # type: ignore[no-untyped-def]
    return search(Model(rules, set(given.events), given.most, lasting=lasting), given.nodes, is_bad)


def told(found: Searched) -> str:
    """The way to a bad state, a line for each tick."""
    return "\n".join(f"{number}: {state}" for number, state in enumerate(found.story))


# ---- two primaries


@pytest.mark.parametrize("given", CASES, ids=str)
def test_two_nodes_take_writes_at_once_for_no_longer_than_the_bound(given: Case) -> None:
    """A control plane that ends between two orders of one election gives both as long again, when it is back."""
    bound = BOUND + RULES.delivered * (PLANE in given.events)
    found = explore(given, two_for_longer_than(bound))
    assert not found.story, told(found)
    assert found.states > 100


def test_the_lag_is_not_too_much_to_say_when_a_zone_is_back_for_a_moment() -> None:
    assert explore(case(3, 2, CUT), two_for_longer_than(LAG - 1)).story


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_when_a_zone_stays_cut_off_they_overlap_only_by_the_words_lost_before(nodes: int, lost: int) -> None:
    """The control plane waits from the last word that it heard, the engine from the last acknowledgement."""
    bound = max(0, max(LAG, RULES.lease + RULES.drift + RULES.notice + 1) - (RULES.heard + 1) + lost)
    found = explore(case(nodes, lost + 1, CUT, LOST_WORD), two_for_longer_than(bound), lasting=True)
    assert not found.story, told(found)


@pytest.mark.parametrize(
    ("broken", "given", "lasting", "bound"),
    [
        (replace(RULES, heard=RULES.lease), case(3, 1, CUT), True, 0),
        (replace(RULES, fence=False), case(3, 1, CUT), False, BOUND),
        (replace(RULES, witness=False), case(3, 1, AGENT), False, BOUND),
        (replace(RULES, lift_after=0), case(3, 2, CUT, AGENT), False, BOUND),
    ],
    ids=["no margin", "no fence", "no witness", "the fence falls at once"],
)
def test_without_a_rule_they_take_writes_for_longer(broken: Rules, given: Case, lasting: bool, bound: int) -> None:
    assert explore(given, two_for_longer_than(bound), broken, lasting=lasting).story
    assert not explore(given, two_for_longer_than(bound), lasting=lasting).story


def test_what_is_not_covered() -> None:
    """Two faults that last: an agent is dead, and the zone of the only replica is cut off and comes back before its link does."""
    assert explore(case(2, 2, CUT, AGENT), two_for_longer_than(BOUND)).story


# ---- the control plane may be away


def refuses_in_office(model: Model):  # type: ignore[no-untyped-def]
    return lambda _, after: model.refuses(after.nodes[after.reign[-1]])


HASTY = replace(RULES, refuses_at=ticks(1))
"""Engines count whole seconds: the soonest that one refuses is a second after it was acknowledged to."""


@pytest.mark.parametrize("nodes", [2, 3])
def test_nothing_is_refused_while_only_the_control_plane_is_away(nodes: int) -> None:
    model = Model(HASTY, {PLANE, LOST_WORD, LOST_ANSWER}, 4)
    found = search(model, nodes, refuses_in_office(model))
    assert not found.story, told(found)
    assert search(model, nodes, lambda _, after: after.nodes[0].fenced).story  # although the fence does stand


def test_it_would_be_if_replicas_were_not_asked() -> None:
    """By themselves they acknowledge every second and a little, which is too seldom for an engine that counts seconds."""
    model = Model(replace(HASTY, acknowledges_every=3), {PLANE}, 1)
    assert search(model, 3, refuses_in_office(model)).story


# ---- a lost zone


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("unheard_at", [2, 10], ids=["links noticed soon", "links noticed late"])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_primary_that_is_cut_off_is_replaced_in_time(nodes: int, unheard_at: int, lost: int) -> None:
    """Within 3.5 s where links are noticed soon, else 6 s, counted from the last moment at which it could be written to."""
    rules = replace(RULES, unheard_at=unheard_at)
    bound = max(rules.heard, unheard_at) + rules.delivered - 1 + lost
    given = case(nodes, lost + 1, CUT, LOST_WORD)
    found = explore(given, lambda _, after: after.none > bound, rules, lasting=True)
    assert not found.story, told(found)
    assert lost or explore(given, lambda _, after: after.none == bound, rules, lasting=True).story  # it takes no less


# ---- epochs


def goes_back(before: State, after: State) -> bool:
    newer = zip(before.nodes, after.nodes, strict=True)
    return len(after.reign) < len(before.reign) or any(node.epoch < former.epoch for former, node in newer)


@pytest.mark.parametrize("nodes", [2, 3])
def test_a_lower_epoch_never_wins(nodes: int) -> None:
    given = case(nodes, 4, CUT, STALE)
    found = explore(given, goes_back)
    assert not found.story, told(found)
    assert explore(given, goes_back, replace(RULES, epochs=False)).story
