"""What nodes measure, at the doors: ``/v1/metrics`` for programs, ``/metrics`` for Prometheus.

This is no operation: those never talk to an agent. What nodes measure is known to agents alone, and nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api_schemas.agent.metrics import MetricsWanted, Point
from api_schemas.agent.metrics import NodeMetrics as Told
from api_schemas.faults import InvalidParameterValue, ServiceUnavailable
from api_schemas.metric import METRICS, UNITS, Kind, Metric
from api_schemas.metrics import DescribeMetrics, Metrics, MetricValues, MissingAgent, NodeMetrics
from controlplane.api.wire import shortened
from controlplane.clock import Clock
from controlplane.domain.topology import World
from controlplane.reconciler.gathering import Gathered, Gatherer, Place
from controlplane.store.store import StoreAwayError

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

_AWAY = "The database of the control plane does not answer, so it is not known which nodes there are. The caches go on. Try again."
_LABELS = ("account", "region", "replication_group_id", "node_group_id", "cache_cluster_id", "cache_node_id", "availability_zone", "engine")
_MICROSECONDS = 1e6
_TELLS_ROLE = "IsPrimary"


class MetricsDoor:
    """Answers questions about metrics by asking the agents."""

    def __init__(self, gatherer: Gatherer, clock: Clock, only_account: Callable[[Request], str | None] = lambda _: None) -> None:
        """``only_account`` answers whose nodes alone the caller of a request may see; None for everybody's."""
        self._gatherer = gatherer
        self._clock = clock
        self._only_account = only_account

    def describe(self, world: World, asked: DescribeMetrics) -> Metrics:
        """The nodes of the caller's world. Raises a Fault."""
        if asked.metric is not None and asked.metric not in UNITS:
            raise InvalidParameterValue(_no_such_metric(asked.metric))
        try:
            places = self._gatherer.of(world, asked.replication_group_id, asked.cache_cluster_id)
            agents = self._gatherer.agents()
        except StoreAwayError as away:
            raise ServiceUnavailable(_AWAY) from away
        keys: dict[str, list[str]] = {}
        for place in places:
            if place.agent is not None:
                keys.setdefault(place.agent, []).append(place.key)
        names = None if asked.metric is None else [asked.metric, _TELLS_ROLE]
        gathered = self._gatherer.gather(keys, MetricsWanted(names=names, window=asked.period, minutes=asked.minutes))
        now = self._clock.now()
        shown = [_shown(place, gathered, now, asked.metric) for place in places]
        engines = {place.topology.engine for place in places}
        units = {name: metric.unit for engine in sorted(engines) for name, metric in METRICS[engine].items()}
        missing = [MissingAgent(agent=agent, zone=agents.get(agent, ""), because=why) for agent, why in sorted(gathered.missing.items())]
        return Metrics(nodes=shown, missing_agents=missing, units=units if asked.metric is None else {asked.metric: UNITS[asked.metric]})

    async def scrape(self, request: Request) -> Response:
        """The nodes of everybody whom the caller may see, as Prometheus reads them."""
        return await run_in_threadpool(self.exposition, request.headers.get("accept", ""), self._only_account(request))

    def exposition(self, accept: str = "", account: str | None = None) -> Response:
        """The same, in the form of Prometheus's that the scraper accepts."""
        from prometheus_client import CollectorRegistry  # who is never scraped need not wait for it
        from prometheus_client.exposition import choose_encoder
        from prometheus_client.registry import Collector

        try:
            places = [place for place in self._gatherer.everywhere() if account in (None, place.topology.world.account)]
            agents = self._gatherer.agents()
        except StoreAwayError:
            return PlainTextResponse(f"{_AWAY}\n", 503)
        gathered = self._gatherer.gather(dict.fromkeys(agents), MetricsWanted(counters=True))

        class Scraped(Collector):
            def collect(self) -> Iterator[Family]:
                return _families(places, agents, gathered)

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Scraped())
        encode, content_type = choose_encoder(accept)
        return Response(encode(registry), media_type=content_type)


def _shown(place: Place, gathered: Gathered, now: datetime, only: str | None) -> NodeMetrics:
    told = gathered.nodes.get(place.key)
    fields = {
        "cache_cluster_id": place.cache_cluster_id,
        "cache_node_id": place.cache_node_id,
        "replication_group_id": place.replication_group_id,
        "node_group_id": place.group.id,
        "zone": place.node.zone,
        "engine": place.topology.engine,
        "agent": place.agent,
    }
    if told is None or told.now is None:
        return NodeMetrics(**fields, history=[], problem=_why_nothing(place, told, gathered))

    def values(point: Point) -> MetricValues:
        picked = point.values if only is None else {name: value for name, value in point.values.items() if name == only}
        return MetricValues(timestamp=now - timedelta(seconds=point.age), values=picked)

    history = [values(point) for point in told.history]
    return NodeMetrics(**fields, role=_role(told.now), age=told.now.age, now=values(told.now), history=history)


def _why_nothing(place: Place, told: Told | None, gathered: Gathered) -> str:
    if place.agent is None:
        return "it has no place yet"
    if place.agent in gathered.missing:
        return gathered.missing[place.agent]
    if told is not None and told.problem:
        return told.problem
    return f"it does not run: its agent saw it {place.phase}" if place.phase not in (None, "running") else "it does not run"


def _role(point: Point) -> str:
    found = point.values.get(_TELLS_ROLE)
    return "none" if found is None else "primary" if found else "replica"


def _families(places: list[Place], agents: dict[str, str], gathered: Gathered) -> Iterator[Family]:
    """One family of series after another; the nodes of an agent that does not answer are said to be unknown, and have no figures."""
    from prometheus_client.core import GaugeMetricFamily

    up = GaugeMetricFamily("cachewright_agent_up", "Whether the agent answered.", labels=("agent", "availability_zone"))
    for agent, zone in sorted(agents.items()):
        up.add_metric((agent, zone), float(agent not in gathered.missing))
    yield up
    measured = {place.key: told for place in places if (told := gathered.nodes.get(place.key)) is not None and told.now is not None}
    known = GaugeMetricFamily("cachewright_node_measured", "Whether it was measured; else it has no figures.", labels=_LABELS)
    for place in places:
        known.add_metric(_labels(place), float(place.key in measured))
    yield known
    age = GaugeMetricFamily("cachewright_node_sample_age_seconds", "How long ago that was.", labels=_LABELS)
    families: dict[str, Family] = {age.name: age}
    for place in places:
        told = measured.get(place.key)
        if told is not None and told.now is not None:
            age.add_metric(_labels(place), told.now.age)
            _add(families, place, told, told.now)
    yield from families.values()


def _add(families: dict[str, Family], place: Place, told: Told, now: Point) -> None:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = (*_labels(place), _role(now))
    for name, metric in METRICS[place.topology.engine].items():
        source = now.values if metric.kind is Kind.GAUGE else told.counters
        if metric.series is None or name not in source:
            continue
        family = families.get(metric.series)
        if family is None:
            make: Callable[..., Family] = GaugeMetricFamily if metric.kind is Kind.GAUGE else CounterMetricFamily
            family = families[metric.series] = make(metric.series, _help(metric), labels=(*_LABELS, "role"))
        value = source[name] / _MICROSECONDS if metric.kind is Kind.MEAN else source[name]
        family.add_metric(labels, value)  # type: ignore[attr-defined]


def _labels(place: Place) -> tuple[str, ...]:
    world = place.topology.world
    return (world.account, world.region, place.replication_group_id or "", place.group.id, place.cache_cluster_id, place.cache_node_id,
            place.node.zone, place.topology.engine)  # fmt: skip


def _help(metric: Metric) -> str:
    return f"{metric.name}: {metric.source}".replace("`", "")


def _no_such_metric(name: str) -> str:
    close = get_close_matches(name, UNITS, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "docs/metrics.md lists them."
    return f"{shortened(name)} is not a metric of any node here; {hint}"
