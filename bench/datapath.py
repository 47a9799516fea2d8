"""What an endpoint costs: the same engine, through its endpoint and at its own address, by redis-benchmark in turns."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import groups
from bench import measure as m
from cachewright import local_server

BOUND = 240
ROUNDS = 20
LONGEST = 25.0  # seconds for the rounds of one comparison
CLIENTS = 50
REQUESTS = {1: 25_000, 16: 150_000}  # short runs and many: neighbours in time are alike, minutes are not
Run = Callable[[], dict[str, float]]


def run() -> None:
    m.heading(f"datapath: redis-benchmark, {CLIENTS} clients, up to {ROUNDS} rounds in turns, a group of three nodes (Valkey 8.1)")
    program = shutil.which("redis-benchmark")
    if program is None:
        raise SystemExit("redis-benchmark is not installed: apt-get install redis-tools")
    rows: list[list[str]] = []
    with local_server() as server:
        groups.create(server.url, ["bench"], nodes=3)
        shown = server.client().describe_replication_groups(ReplicationGroupId="bench")["ReplicationGroups"][0]["NodeGroups"][0]
        roles = {member["CurrentRole"]: member["ReadEndpoint"]["Address"] for member in shown["NodeGroupMembers"]}
        primary, reader = shown["PrimaryEndpoint"]["Address"], shown["ReaderEndpoint"]["Address"]
        for depth in REQUESTS:
            rows += _compare("primary endpoint", depth, ("set", "get"), (primary, roles["primary"]), program)
        for depth in REQUESTS:
            rows += _compare("reader endpoint (relay over 2 replicas)", depth, ("get",), (reader, roles["replica"]), program)
    head = ["through", "pipelined", "command", "per second", "direct", "rounds", "ratio (quartiles)", "direct / direct", "target ≥ 0.98"]
    m.table(head, rows)
    print("Requests per second are medians; a ratio is the median of the rounds' ratios. *Direct / direct* is the same")
    print("address twice in each round: what differs from 1 there is the machine's noise. The reader endpoint has no target: a relay")
    print("is a second hop on the same cores.")


def _compare(what: str, depth: int, commands: tuple[str, ...], addresses: tuple[str, str], program: str) -> list[list[str]]:
    through, direct = (partial(_benchmark, program, address, depth, commands) for address in addresses)
    through(), direct()  # once for nothing: the first run meets cold connections and keys that are not there
    taken = m.interleaved(ROUNDS, {"through": through, "direct": direct, "again": direct}, LONGEST)
    rows = []
    for command in commands:
        over, under, again = ([one[command] for one in taken[name]] for name in ("through", "direct", "again"))
        both = [(one + other) / 2 for one, other in zip(under, again, strict=True)]
        ratio, noise = m.ratios(over, both), m.ratios(again, under)
        met = "-" if what.startswith("reader") else _verdict(ratio, noise)
        rates = [f"{m.Figures.of(values).median:,.0f}" for values in (over, under)]
        rows.append([what, str(depth), command.upper(), *rates, str(len(over)), _said(ratio), _said(noise), met])
    return rows


def _verdict(ratio: m.Figures, noise: m.Figures) -> str:
    """A run that finds an address as far from itself as the endpoint from the address decides nothing, whichever way it points."""
    if abs(noise.median - 1) >= max(abs(ratio.median - 1), 0.02):
        return "undecided: noise"
    return "met" if ratio.median >= 0.98 else "**not met**"


def _said(ratio: m.Figures) -> str:
    return f"{ratio.median:.3f} ({ratio.quartiles[0]:.2f}, {ratio.quartiles[1]:.2f})"


def _benchmark(program: str, address: str, depth: int, commands: tuple[str, ...]) -> dict[str, float]:
    """Requests per second by command. The program spins for ever on a refused connection, hence the timeout."""
    load = ["-c", str(CLIENTS), "-n", str(REQUESTS[depth]), "-P", str(depth), "-t", ",".join(commands), "--csv"]
    done = subprocess.run([program, "-h", address, "-p", "6379", *load], capture_output=True, text=True, timeout=60, check=True)
    lines = [line.replace('"', "").split(",") for line in done.stdout.splitlines()]
    rates = {line[0].lower(): float(line[1]) for line in lines if line[0].lower() in commands}
    if set(rates) != set(commands):
        raise RuntimeError(f"redis-benchmark said {done.stdout[-300:]} {done.stderr[-300:]}")
    return rates


if __name__ == "__main__":
    m.main(run, BOUND)
