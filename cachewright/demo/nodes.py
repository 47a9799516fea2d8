"""The nodes with the processes behind them, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_UNKNOWN = "-"


def show_nodes(console: Console, lab: Any) -> list[dict[str, Any]]:
    """Print the nodes and answer them."""
    from rich.table import Table

    table = Table(title="What runs now, as the engines say it", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("node", "role", "zone", "address", "process", "engine", "in sync"):
        table.add_column(column, no_wrap=True)
    nodes: list[dict[str, Any]] = lab.describe_nodes()["Nodes"]
    for node in nodes:
        table.add_row(*_cells(node))
    console.print(table)
    return nodes


def _cells(node: dict[str, Any]) -> list[str]:
    """What is not known of a node that is just being replaced is left open."""
    binary = node.get("EngineBinary")
    engine = f"{binary['Engine']} {binary['Version']}" if binary else _UNKNOWN
    facts = [str(node.get(fact, _UNKNOWN)) for fact in ("Node", "Role", "Zone", "Address", "ProcessId")]
    return [*facts, engine, "yes" if node["InSync"] else "no"]
