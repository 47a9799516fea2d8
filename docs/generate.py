"""Writes the pages that are made from the code: ``python -m docs.generate``. A test fails while they are stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from agents.runtime_settings import RuntimeSettings
from agents.settings import Settings as AgentSettings
from api_schemas.metric import METRICS, NOT_EXPOSED, Kind, Metric
from api_schemas.metrics import DESCRIBE_METRICS
from api_schemas.operation import Operation
from controlplane.api.wire import Wire
from controlplane.operations import keepers
from controlplane.operations.performs import kept_promises
from controlplane.operations.refusals import NOT_BUILT
from controlplane.settings import Settings

HERE = Path(__file__).parent


def operations() -> str:
    """Which operations are built, and what each changes."""
    keepers.load()
    built = {name: promise for name, promise in kept_promises().items() if not promise.ours}
    ours = sorted([*(promise for promise in kept_promises().values() if promise.ours), DESCRIBE_METRICS], key=lambda promise: promise.name)
    missing = sorted(Wire.load().operations - built.keys())
    return "\n".join([*_built(built), "", *_ours(ours), "", *_missing(missing), "", *_fields(), ""])


def _built(built: dict[str, Operation]) -> Iterator[str]:  # type: ignore[type-arg]
    yield "# Operations"
    yield ""
    yield f"{len(built)} operations of the service are built. Each is reached through the AWS Query door and through REST below `/v1`."
    yield "Generated from the promises in `api_schemas`; `make docs` writes it anew."
    yield "The last column is what agents do to engines for it in the end; the operation itself only writes down what is desired."
    yield ""
    yield "| operation | REST | what it does | what it changes in engines |"
    yield "|---|---|---|---|"
    for name, promise in sorted(built.items()):
        yield f"| {name} | `{promise.route}` | {promise.says} | {promise.changes} |"


def _ours(ours: list[Operation]) -> Iterator[str]:  # type: ignore[type-arg]
    yield "## Ours beyond the service"
    yield ""
    yield "| operation | REST | what it does | what it changes in engines |"
    yield "|---|---|---|---|"
    for promise in ours:
        yield f"| {promise.name} | `{promise.route}` | {promise.says} | {promise.changes} |"
    yield "| | `GET /events/stream` | Events as they happen, as server-sent events. | nothing |"
    yield "| | `GET /metrics`, not below `/v1` | What nodes measure, as Prometheus reads it. | nothing |"


def _missing(missing: list[str]) -> Iterator[str]:
    yield "## Not built yet"
    yield ""
    yield "These are recognised and answer `UnsupportedOperation` (400); nothing is changed."
    yield ""
    yield ", ".join(missing)


def _fields() -> Iterator[str]:
    yield "## Request fields that are refused"
    yield ""
    yield "Given with a value, each of these answers `InvalidParameterValue` and changes nothing."
    yield ""
    yield "| field | why |"
    yield "|---|---|"
    for name, why in sorted(NOT_BUILT.items()):
        yield f"| `{name}` | {why} |"


def settings() -> str:
    """Every setting of both programs."""
    about = "Each is an environment variable, and where the command line has an option of that name, the option wins."
    lines = ["# Settings", "", about, ""]
    served = ("Agents of `cachewright serve`", RuntimeSettings)
    for title, kind in (("Control plane", Settings), served, ("Agent as a program of its own", AgentSettings)):
        lines += [f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        prefix = kind.model_config.get("env_prefix", "")
        for name, field in kind.model_fields.items():
            known = not field.is_required() and field.default_factory is None and field.default not in (None, "")
            default = f"`{field.default}`" if known else ""
            lines.append(f"| `{prefix}{name.upper()}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


_ABOUT = """# Metrics

Every node is measured by its agent, which derives the service's CloudWatch metrics from what the engine says of itself. Generated from
the table in `api_schemas/metric.py`; `make docs` writes it anew. How to ask for them and what to watch is in [watching](watching.md).

A **gauge** is a value of the moment. A **delta** is by how much a counter rose within the period (60 s where nobody asks for another),
per minute. A **share** is processor time within the period, in percent. A **mean** is microseconds within the period for each call. A
**rate** is percent within the period.
"""


def metrics() -> str:
    """Every metric with its unit and where it comes from, and those that are left out."""
    lines = [_ABOUT]
    for title, engine in (("Valkey and Redis", "valkey"), ("Memcached", "memcached")):
        lines += [f"## {title}", "", "| metric | unit | kind | from | Prometheus |", "|---|---|---|---|---|"]
        lines += [_metric_row(metric) for metric in sorted(METRICS[engine].values(), key=lambda metric: metric.name.lower())]
        lines.append("")
    lines += ["## Left out", "", "| metric of the service | why |", "|---|---|"]
    lines += [f"| {names} | {why} |" for names, why in NOT_EXPOSED.items()]
    return "\n".join([*lines, ""])


def _metric_row(metric: Metric) -> str:
    series = "its two deltas are there" if metric.kind is Kind.RATE else f"`{metric.series}`"
    return f"| {metric.name} | {metric.unit} | {metric.kind} | {metric.source} | {series} |"


PAGES: dict[str, Callable[[], str]] = {"operations.md": operations, "settings.md": settings, "metrics.md": metrics}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write())
