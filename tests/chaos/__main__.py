"""``python -m chaos``: as many rounds as wanted, and a report; exits with 1 when a round ended wrong."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from docker_engine import everywhere
from network import may_make_networks

from chaos.one_host import ONE_HOST
from chaos.several_hosts import SEVERAL_HOSTS
from chaos.storm import report, storm
from chaos.world import World


def main() -> int:
    """Run the storm as asked. Exits with 1 when a round ended wrong."""
    parser = argparse.ArgumentParser(prog="chaos", description="Random faults under clients that check every acknowledged write.")
    parser.add_argument("--rounds", type=int, default=50, help="how many rounds, by default 50")
    parser.add_argument("--seed", type=int, help="to have the same troubles again; drawn and told if not given")
    parser.add_argument("--only", action="append", help="only this kind of trouble; may be repeated")
    parser.add_argument("--runtime", choices=("process", "docker"), default="process", help="where engines live; docker takes root")
    parser.add_argument("--hosts", action="store_true", help="over five hosts and three control planes, in network namespaces of their own")
    parser.add_argument("--sharded-version", default="8.1", help="the Valkey of the group in cluster mode: 8.1 (usual) or 9.1")
    asked = parser.parse_args()
    world = SEVERAL_HOSTS if asked.hosts else ONE_HOST
    if unknown := set(asked.only or ()) - set(world.kinds):
        parser.error(f"there is no trouble called {', '.join(sorted(unknown))}; there are {', '.join(sorted(world.kinds))}")
    if asked.hosts and not may_make_networks():
        parser.error("several hosts need network namespaces, which only root may make")
    if asked.hosts and asked.runtime != "process":
        parser.error("on several hosts engines are processes: one Docker Engine has one network")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and take away what was set up
    with everywhere(asked.runtime):
        return blow(asked, world)


def blow(asked: argparse.Namespace, world: World) -> int:
    """The storm, and what is said of it."""
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="cachewright-chaos-"))
    told = storm(folder, seed, asked.rounds, lambda line: print(line, flush=True), asked.only, world, asked.sharded_version)
    print(f"\n{report(told, seed)}")
    if any(each.wrong for each in told):
        print(f"\nWhat the programs said: {folder}/*.log")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
