"""A model of who leads: two control planes, their database, and an agent that speaks to whichever leads; every state that they can reach.

A tick is half a second. Whatever is sent may be lost, or come late; any control plane may be cut off from the database or from the agent, or
stand still, at any tick and for as long as it likes. Clocks count from when something was sent (who relies on it) or received (who
judges by it). ``docs/adr/0018`` tells the protocol in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from api_schemas.agent.agent import BEAT
from api_schemas.agent.agent import LEASE as AGENT_LEASE
from controlplane.store.fleet import HEARD_WITHIN
from controlplane.store.leadership import LEASE, PATIENCE

TICK = BEAT
NOBODY = -1


def ticks(seconds: float) -> int:
    """A time of the product, which must be a whole number of ticks."""
    number = round(seconds / TICK)
    assert abs(number * TICK - seconds) < 1e-9, f"{seconds} s is no whole number of ticks"
    return number


@dataclass(frozen=True)
class Rules:
    """The protocol's bounds in ticks, and which of its rules hold. ``late`` is by how much an answer may come late and still count."""

    lease: int = ticks(LEASE)
    patience: int = ticks(PATIENCE)
    agent_lease: int = ticks(AGENT_LEASE)
    heard: int = ticks(HEARD_WITHIN)
    late: int = 2
    forgives: bool = True
    takes_words_only_if_leading: bool = True


class Plane(NamedTuple):
    """``current``: its term is the database's. ``sent``: ticks since its newest answered beat was sent. ``seen``: for how long it has seen the
    beat that stands, None if it has not seen that one. ``heard``: ticks since the agent's newest word, as it counts."""

    current: bool = False
    sent: int = 99
    seen: int | None = None
    heard: int = 0


class State(NamedTuple):
    """``told``: ticks since the agent sent its newest word that was answered."""

    planes: tuple[Plane, Plane] = (Plane(), Plane())
    told: int = 99


def leads(plane: Plane, rules: Rules) -> bool:
    """Whether it relies on leading."""
    return plane.sent < rules.lease


def counts_as_lost(plane: Plane, rules: Rules) -> bool:
    """Whether it may elect others in the agent's stead."""
    return leads(plane, rules) and plane.heard > rules.heard


def relies(state: State, rules: Rules) -> bool:
    """Whether the agent believes to be heard, so that its primaries take writes that nobody else acknowledges."""
    return state.told <= rules.agent_lease


def broken(state: State, rules: Rules) -> str | None:
    """The promise that does not hold in this state."""
    if all(leads(plane, rules) for plane in state.planes):
        return "two lead"
    if relies(state, rules) and any(counts_as_lost(plane, rules) for plane in state.planes):
        return "an agent that relies on being heard is counted as lost"
    return None


def after_a_tick(state: State, rules: Rules) -> Iterator[State]:
    """Whatever may happen within the next tick: time passes, each control plane takes a step or none, and the agent says a word or none."""
    aged = _aged(state, rules)
    for order in ((0, 1), (1, 0)):
        for steps in product(range(3), repeat=2):
            for stepped in _stepped(aged, order, steps, rules):
                yield stepped
                yield from _words(stepped, rules)


def _aged(state: State, rules: Rules) -> State:
    planes = tuple(
        Plane(
            plane.current,
            min(plane.sent + 1, rules.lease),
            None if plane.seen is None else min(plane.seen + 1, rules.patience + 1),
            min(plane.heard + 1, rules.heard + 1),
        )
        for plane in state.planes
    )
    return State((planes[0], planes[1]), min(state.told + 1, rules.agent_lease + 1))


def _stepped(state: State, order: tuple[int, int], steps: tuple[int, int], rules: Rules) -> Iterator[State]:
    """Each plane in that order: 0 nothing, for it stands still or does not reach the database; 1 its step; 2 the same, but no answer comes."""
    states = [state]
    for who in order:
        states = [outcome for each in states for outcome in _step(each, who, steps[who], rules)]
    yield from states


def _step(state: State, who: int, kind: int, rules: Rules) -> Iterator[State]:
    if kind == 0:
        yield state
        return
    me, answered = state.planes[who], kind == 1
    if leads(me, rules):
        yield from _beat(state, who, answered, rules)
    elif me.seen is not None and me.seen > rules.patience:
        yield from _take_over(state, who, answered, rules)
    elif answered:  # a look: it sees the beat that stands
        yield _with(state, who, me._replace(seen=0 if me.seen is None else me.seen))


def _beat(state: State, who: int, answered: bool, rules: Rules) -> Iterator[State]:
    """The beat stands from now on; the leader counts from when it was sent, which was a while ago if it came late."""
    me = state.planes[who]
    if not me.current:
        if answered:  # it hears that another has taken over
            yield _with(state, who, me._replace(sent=rules.lease, seen=None))
        return
    unseen = _unseen(state)
    if not answered:
        yield unseen
        return
    for late in range(min(rules.late, me.sent) + 1):
        yield _with(unseen, who, unseen.planes[who]._replace(sent=late))


def _take_over(state: State, who: int, answered: bool, rules: Rules) -> Iterator[State]:
    """A new term; who does not hear that it has begun does not lead it, and neither does anybody else for a while."""
    unseen = _unseen(state)
    other = unseen.planes[1 - who]._replace(current=False)
    for late in range(rules.late + 1) if answered else (rules.lease,):
        mine = unseen.planes[who]._replace(current=True, sent=late)
        if answered and rules.forgives:
            mine = mine._replace(heard=0)
        yield _with(_with(unseen, 1 - who, other), who, mine)


def _words(state: State, rules: Rules) -> Iterator[State]:
    """The agent's word reaches one of them, perhaps late, and the answer reaches the agent or not."""
    for who in (0, 1):
        me = state.planes[who]
        if rules.takes_words_only_if_leading and not leads(me, rules):
            continue
        heard = _with(state, who, me._replace(heard=0))
        yield heard
        for late in range(rules.late + 1):
            if late < state.told:
                yield heard._replace(told=late)


def _unseen(state: State) -> State:
    """Nobody has seen the beat that stands now."""
    return State((state.planes[0]._replace(seen=None), state.planes[1]._replace(seen=None)), state.told)


def _with(state: State, who: int, plane: Plane) -> State:
    planes = (plane, state.planes[1]) if who == 0 else (state.planes[0], plane)
    return state._replace(planes=planes)


def search(rules: Rules) -> tuple[int, list[State]]:
    """How many states can be reached, and the shortest way to one in which a promise is broken, empty if there is none."""
    first = _aged(State(), rules)
    came_from: dict[State, State | None] = {first: None}
    frontier = [first]
    while frontier:
        following = []
        for state in frontier:
            if broken(state, rules):
                return len(came_from), _way_to(state, came_from)
            for reached in after_a_tick(state, rules):
                if reached not in came_from:
                    came_from[reached] = state
                    following.append(reached)
        frontier = following
    return len(came_from), []


def _way_to(state: State, came_from: dict[State, State | None]) -> list[State]:
    way: list[State] = []
    at: State | None = state
    while at is not None:
        way.append(at)
        at = came_from[at]
    return way[::-1]
