"""A model of leases and fencing: one node group, its agents and the control plane, step by step, with everything that may go wrong.

A tick is half a second: the beat of an agent. What the clocks of the product round, each search rounds the way that hurts it most.
Every node is in a zone of its own and has an agent of its own. ``docs/fencing.md`` tells the protocol in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import NamedTuple

from api_schemas.agent.agent import BEAT, LEASE
from controlplane.store.fleet import HEARD_WITHIN

TICK = BEAT


def ticks(seconds: float) -> int:
    """A time of the product, which must be a whole number of ticks."""
    number = round(seconds / TICK)
    assert abs(number * TICK - seconds) < 1e-9, f"{seconds} s is no whole number of ticks"
    return number


@dataclass(frozen=True)
class Rules:
    """The protocol's bounds in ticks, and which of its rules hold.

    ``drift`` is by how much an agent's slow clock lengthens its lease; ``notice`` how long an agent takes to fence once it is out.
    ``refuses_at`` is for how long nobody must have acknowledged for a fenced engine to refuse: it counts whole seconds once a second, so
    between 1 and 3 s. ``lift_after`` is how many words must be answered before a fence falls: a second has a beat at both ends.
    ``unheard_at`` is for how long a replica must not have heard its primary to be no witness: 1 to 5 s, for it
    also counts seconds, is told something once a second, and is looked at every two. ``delivered`` is the most an order takes.
    """

    lease: int = ticks(LEASE)
    heard: int = ticks(HEARD_WITHIN)
    drift: int = 1
    notice: int = 1
    refuses_at: int = 6
    unheard_at: int = 2
    delivered: int = 2
    lift_after: int = 3
    acknowledges_every: int = 1
    fence: bool = True
    witness: bool = True
    epochs: bool = True


class Event(Enum):
    """What may go wrong, one thing in a tick, or be well again, which costs none of a search's disturbances."""

    CUT = "a zone is cut off from all others and the control plane, or is no more"
    AGENT = "an agent ends, or is back (not while its zone is cut off: that is not covered)"
    PLANE = "the control plane ends, or is back"
    LOST_WORD = "a word of an agent is lost"
    LOST_ANSWER = "a word of an agent is heard, but its answer lost"
    STALE = "an order of an earlier epoch comes late, or twice"


class Node(NamedTuple):
    """An engine and its agent. Ages are in ticks, and stop to count where they no longer matter."""

    epoch: int = 1
    leader: int = 0
    lease: int = 0  # since it sent its last answered word
    acknowledged: int = 0  # since anybody outside its zone has acknowledged anything to it
    unheard: int = 0  # since it heard its primary
    out: int = 0  # since its agent could know that the lease is out
    back: int = 0  # of words that were answered since it is in touch again, while the fence still stands
    fenced: bool = False
    alive: bool = True  # its agent
    order: int = 0  # since the newest order waits for it


class State(NamedTuple):
    """Everything at one moment. ``reign`` names the primary of each epoch; ``heard`` is since when the control plane has heard an agent."""

    nodes: tuple[Node, ...]
    heard: tuple[int, ...]
    reign: tuple[int, ...] = (0,)
    cut: int = -1
    plane: bool = True
    disturbed: int = 0
    both: int = 0  # for how long two nodes have taken writes
    none: int = 0  # for how long nobody in reach has, although somebody could


Disturbance = tuple[Event, int] | None


class Model:
    """All that may follow from a state, with at most so many disturbances; with ``lasting`` nothing is well again."""

    def __init__(self, rules: Rules, events: set[Event], most: int, *, lasting: bool = False) -> None:
        self.rules = rules
        self._events = sorted(events, key=lambda event: event.name)
        self._most = most
        self._lasting = lasting

    def start(self, nodes: int) -> State:
        """All is well, the first node is primary."""
        return State(tuple(Node() for _ in range(nodes)), (0,) * nodes)

    def takes_writes(self, state: State, place: int) -> bool:
        """Whether a client that reaches the node can write to it."""
        return state.nodes[place].leader == place and not self.refuses(state.nodes[place])

    def refuses(self, node: Node) -> bool:
        """Whether the engine would answer NOREPLICAS."""
        return node.fenced and node.acknowledged >= self.rules.refuses_at

    def next(self, state: State) -> Iterator[State]:
        """Every state in which a tick may end."""
        for disturbance in self._disturbances(state):
            after = self._disturbed(state, disturbance)
            after = self._beat(after, disturbance)
            after = self._decide(after)
            for delivered in self._deliveries(after):
                yield self._look(state, self._agents(self._engines(self._deliver(after, delivered))))

    # ---- what may go wrong

    def _disturbances(self, state: State) -> Iterator[Disturbance]:
        yield None
        for event in self._events:
            for place in range(len(state.nodes)) if event is not Event.PLANE else (0,):
                heals = self._heals(state, event, place)
                allowed = not self._lasting if heals else state.disturbed < self._most
                if allowed and self._may_happen(state, event, place):
                    yield event, place

    def _heals(self, state: State, event: Event, place: int) -> bool:
        return {Event.CUT: state.cut == place, Event.AGENT: not state.nodes[place].alive, Event.PLANE: not state.plane}.get(event, False)

    def _may_happen(self, state: State, event: Event, place: int) -> bool:
        if event is Event.CUT:
            return state.cut == place or (state.cut < 0 and state.nodes[place].alive)
        if event is Event.AGENT:
            return state.cut != place
        if event is Event.STALE:
            return len(state.reign) > 1 and self._reaches(state, place)
        return event is Event.PLANE or self._reaches(state, place)

    def _disturbed(self, state: State, disturbance: Disturbance) -> State:
        if disturbance is None:
            return state
        event, place = disturbance
        if not self._heals(state, event, place):
            state = state._replace(disturbed=state.disturbed + 1)
        if event is Event.CUT:
            return state._replace(cut=-1 if state.cut == place else place)
        if event is Event.PLANE:
            return state._replace(plane=not state.plane, heard=(0,) * len(state.nodes))  # nobody is silent before it could speak
        node = state.nodes[place]
        if event is Event.AGENT:
            return _with(state, place, node._replace(alive=not node.alive, lease=self.rules.lease + self.rules.drift + 1))
        if event is Event.STALE:
            return _with(state, place, self._ordered(node, len(state.reign) - 1, state.reign[-2]))
        return state

    def _reaches(self, state: State, place: int) -> bool:
        return state.plane and state.cut != place and state.nodes[place].alive

    # ---- what happens in every tick

    def _beat(self, state: State, disturbance: Disturbance) -> State:
        """Every agent says a word; one that is answered renews its lease from when it was sent."""
        nodes, heard = list(state.nodes), list(state.heard)
        for place, node in enumerate(nodes):
            reaches = self._reaches(state, place)
            is_heard = reaches and disturbance != (Event.LOST_WORD, place)
            is_answered = is_heard and disturbance != (Event.LOST_ANSWER, place)
            heard[place] = 0 if is_heard else min(heard[place] + 1, self.rules.heard + 1)
            nodes[place] = node._replace(lease=0 if is_answered else min(node.lease + 1, self.rules.lease + self.rules.drift + 1))
        return state._replace(nodes=tuple(nodes), heard=tuple(heard))

    def _decide(self, state: State) -> State:
        """The control plane elects: when the primary is silent, no replica in reach hears it, and one could take over."""
        primary = state.reign[-1]
        if not state.plane or state.heard[primary] <= self.rules.heard:
            return state
        in_reach = [place for place in range(len(state.nodes)) if place != primary and self._reaches(state, place)]
        if self.rules.witness and any(self._hears(state.nodes[place], primary) for place in in_reach):
            return state
        followed = [place for place in in_reach if state.heard[place] == 0]
        if not followed:
            return state
        best = max(followed, key=lambda place: (state.nodes[place].epoch, -place))
        nodes = tuple(node._replace(order=0) for node in state.nodes)
        return state._replace(reign=(*state.reign, best), nodes=nodes)

    def _hears(self, node: Node, primary: int) -> bool:
        return node.leader == primary and node.unheard < self.rules.unheard_at

    def _deliveries(self, state: State) -> Iterator[tuple[bool, ...]]:
        """Which nodes get their newest order in this tick: each soon, but not necessarily now."""
        options = []
        for place, node in enumerate(state.nodes):
            if node.epoch >= len(state.reign) or not self._reaches(state, place):
                options.append((False,))
            else:
                options.append((True,) if node.order >= self.rules.delivered else (True, False))
        yield from product(*options)

    def _deliver(self, state: State, delivered: tuple[bool, ...]) -> State:
        nodes = list(state.nodes)
        for place, node in enumerate(nodes):
            if delivered[place]:
                nodes[place] = self._ordered(node, len(state.reign), state.reign[-1])
            elif node.epoch < len(state.reign) and self._reaches(state, place):
                nodes[place] = node._replace(order=node.order + 1)
        return state._replace(nodes=tuple(nodes))

    def _ordered(self, node: Node, epoch: int, leader: int) -> Node:
        if (self.rules.epochs and epoch < node.epoch) or (epoch, leader) == (node.epoch, node.leader):
            return node
        return node._replace(epoch=epoch, leader=leader, order=0, unheard=0 if leader != node.leader else node.unheard)

    def _engines(self, state: State) -> State:
        """Replicas hear their primary and acknowledge to it, where no cut is between them."""
        nodes = list(state.nodes)
        for place, node in enumerate(nodes):
            linked = [other for other, each in enumerate(nodes) if other != place and each.leader == place and self._joined(state, other, place)]
            rests = node.acknowledged + 1 < self.rules.acknowledges_every
            acknowledged = 0 if linked and not rests else min(node.acknowledged + 1, self.rules.refuses_at)
            hears = node.leader != place and nodes[node.leader].leader == node.leader and self._joined(state, place, node.leader)
            nodes[place] = node._replace(acknowledged=acknowledged, unheard=0 if hears else min(node.unheard + 1, self.rules.unheard_at))
        return state._replace(nodes=tuple(nodes))

    def _joined(self, state: State, one: int, other: int) -> bool:
        return state.cut not in (one, other)

    def _agents(self, state: State) -> State:
        """Every agent that lives fences, or takes the fence away."""
        return state._replace(nodes=tuple(self._fence(place, node) if node.alive else node for place, node in enumerate(state.nodes)))

    def _fence(self, place: int, node: Node) -> Node:
        if not self.rules.fence or node.leader != place:
            return node._replace(fenced=False, out=0, back=0)
        if node.lease > self.rules.lease + self.rules.drift:
            out = min(node.out + 1, self.rules.notice)
            return node._replace(fenced=node.fenced or out >= self.rules.notice, out=out, back=0)
        back = node.back + (node.lease == 0)
        if node.fenced and back < self.rules.lift_after:
            return node._replace(out=0, back=back)
        return node._replace(fenced=False, out=0, back=0)

    # ---- what is measured

    def _look(self, before: State, state: State) -> State:
        takers = [place for place in range(len(state.nodes)) if self.takes_writes(state, place)]
        is_usable = any(place != state.cut for place in takers)
        could = state.plane and state.cut == before.cut and all(node.alive for node in state.nodes)
        return state._replace(both=state.both + 1 if len(takers) > 1 else 0, none=state.none + 1 if could and not is_usable else 0)


def _with(state: State, place: int, node: Node) -> State:
    return state._replace(nodes=(*state.nodes[:place], node, *state.nodes[place + 1 :]))


@dataclass(frozen=True)
class Searched:
    """What a search found: how many states, how many ticks deep the last new one lay, and how one came to the first bad one, if any."""

    states: int
    depth: int
    story: tuple[State, ...] = ()


def search(model: Model, nodes: int, is_bad: Callable[[State, State], bool], depth: int = 24) -> Searched:
    """Every state that can be reached in so many ticks, breadth first, until one follows on another that must not."""
    start = model.start(nodes)
    came_from: dict[State, State | None] = {start: None}
    frontier, reached = [start], 0
    for reached in range(1, depth + 1):
        found: list[State] = []
        for state in frontier:
            for after in model.next(state):
                if is_bad(state, after):
                    return Searched(len(came_from), reached, (*_story(came_from, state), after))
                if after not in came_from:
                    came_from[after] = state
                    found.append(after)
        if not found:
            break
        frontier = found
    return Searched(len(came_from), reached)


def _story(came_from: dict[State, State | None], state: State | None) -> tuple[State, ...]:
    told: list[State] = []
    while state is not None:
        told.append(state)
        state = came_from[state]
    return tuple(reversed(told))
