"""How quickly a server is ready, how much memory it takes, and how much it does when nothing happens; against moto."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from bench import groups
from bench import measure as m
from bench.moto import answers, is_installed, moto_server
from cachewright import LocalServer, local_server

BOUND = 240
ROUNDS = 8
IDLE_SECONDS = 20.0
SOME, ALL = 30, 67  # groups of three nodes; the latter make 201 nodes
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Started:
    """Seconds to the ready line and to the first answer, of which on a CPU; and memory in MB right then."""

    ready: float
    answered: float
    cpu: float
    first_describe: float
    rss: float
    pss: float


def run() -> None:
    m.heading(f"start: to ready {ROUNDS} times in turns, then memory and idle work of one server")
    variants = {"ours": _ours, "moto": _motos, "libraries": _libraries, "python": _python}
    if not is_installed():
        del variants["moto"]
    m.interleaved(1, variants)  # once for nothing: Python compiles what it has not compiled yet
    taken = m.interleaved(ROUNDS, variants)
    figures = {who: {name: m.Figures.of(getattr(one, name) for one in of) for name in vars(of[0])} for who, of in taken.items()}
    ours, moto = figures["ours"], figures.get("moto")
    m.table(["what", "Cachewright", "moto", "target"], [
        ["spawn → ready line, ms", ours["ready"].in_ms(), "-", _met(ours["ready"].median <= 0.6, "≤ 600")],
        ["spawn → first answer (`/healthz`; moto: `/moto-api/`), ms", *_both(ours, moto, "answered"), "-"],
        ["… of which on a CPU, in the server itself, ms", *_both(ours, moto, "cpu"), "-"],
        ["for comparison: Python that only imports the libraries we start with, ms", figures["libraries"]["ready"].in_ms(), "-", "-"],
        ["for comparison: Python that does nothing, ms", figures["python"]["ready"].in_ms(), "-", "-"],
        ["from the first answer to that of a first DescribeReplicationGroups, ms", *_both(ours, moto, "first_describe"), "-"],
        ["memory after that first call: RSS, MB", *_plain(ours, moto, "rss"), _met(ours["rss"].median <= 90, "≤ 90")],
        ["the same with its relay processes: PSS, MB", *_plain(ours, moto, "pss"), "-"],
    ])  # fmt: skip
    print("Median (min, max).\n")
    with local_server() as server:
        _under_load(server)


def _under_load(server: LocalServer) -> None:
    rows: list[list[str]] = []
    wanted = groups.names("bench", ALL)
    for part in (wanted[:SOME], wanted[SOME:]):
        took = groups.create(server.url, part, nodes=3)
        rows.append([f"{len(part)} groups of three created, four at a time", f"{took:.1f} s", "-"])
        so_far = SOME if part[0] == wanted[0] else ALL
        rows.append([f"{so_far} groups of three: server RSS", f"{_rss(server.pid):.0f} MB", "-"])
        rows.append([f"{so_far} groups of three: server and relays PSS", f"{_pss(server):.0f} MB", "-"])
    time.sleep(2.0)
    relays = [process.pid for process in _relays(server)]
    engines = [process.pid for process in psutil.process_iter(["cmdline"]) if _is_engine(process, server)]
    pids = {"server with its agents": [server.pid], "relays": relays, "engines": engines}
    before = {who: sum(map(_ticks, which)) for who, which in pids.items()}
    time.sleep(IDLE_SECONDS)
    share = {who: (sum(map(_ticks, which)) - before[who]) / _TICK / IDLE_SECONDS for who, which in pids.items()}
    for who, part_of_core in share.items():
        target = _met(part_of_core <= 0.05, "≤ 5 %") if who.startswith("server") else "-"
        number = f" ({len(pids[who])})" if who != "server with its agents" else ""
        rows.append([f"{ALL * 3} nodes, idle for {IDLE_SECONDS:.0f} s: {who}{number}", f"{part_of_core:.1%} of a core", target])
    m.table(["what", "Cachewright", "target"], rows)


def _ours() -> Started:
    started = time.perf_counter()
    with local_server() as server:
        ready = time.perf_counter() - started
        m.until(lambda: answers(server.url, "/healthz"), 10.0)
        answered = time.perf_counter() - started
        return Started(ready, answered, _cpu(server.pid), _first_describe(server.url), _rss(server.pid), _pss(server))


def _motos() -> Started:
    with moto_server() as moto:
        cpu = _cpu(moto.pid)
        first = _first_describe(moto.url)
        return Started(moto.ready, moto.ready, cpu, first, _rss(moto.pid), _pss_of(psutil.Process(moto.pid)))


def _libraries() -> Started:
    return _imports("import sqlmodel, pydantic_settings, uvicorn, starlette.applications, uvloop, httptools, typer")


def _python() -> Started:
    return _imports("pass")


def _imports(code: str) -> Started:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    took = time.perf_counter() - started
    return Started(took, took, took, 0.0, 0.0, 0.0)


def _first_describe(url: str) -> float:
    started = time.perf_counter()
    http = m.Http(url)
    http.ask(http.query("DescribeReplicationGroups"))
    http.close()
    return time.perf_counter() - started


def _cpu(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


def _rss(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def _pss(server: LocalServer) -> float:
    return sum(map(_pss_of, [psutil.Process(server.pid), *_relays(server)]))


def _pss_of(process: psutil.Process) -> float:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def _relays(server: LocalServer) -> list[psutil.Process]:
    """The relay processes of this server's agents, known by the folder they are given."""
    everyone = psutil.process_iter(["cmdline"])
    return [one for one in everyone if "agents.relay" in (words := one.info["cmdline"] or []) and _below(words[-1], server)]


def _is_engine(process: psutil.Process, server: LocalServer) -> bool:
    """Engines rename themselves, so they are known by the folder they work in."""
    try:
        return "agents.relay" not in (process.info["cmdline"] or []) and _below(process.cwd(), server)
    except psutil.Error:
        return False


def _below(path: str, server: LocalServer) -> bool:
    return Path(path).is_relative_to(server.data_dir)


def _ticks(pid: int) -> int:
    """Clock ticks that a process has spent, in itself and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _both(ours: dict[str, m.Figures], moto: dict[str, m.Figures] | None, name: str) -> tuple[str, str]:
    return ours[name].in_ms(), moto[name].in_ms() if moto else "not installed"


def _plain(ours: dict[str, m.Figures], moto: dict[str, m.Figures] | None, name: str) -> tuple[str, str]:
    return f"{ours[name].median:.0f}", f"{moto[name].median:.0f}" if moto else "not installed"


def _met(yes: bool, target: str) -> str:
    return f"{target}: {'met' if yes else '**not met**'}"


if __name__ == "__main__":
    m.main(run, BOUND)
