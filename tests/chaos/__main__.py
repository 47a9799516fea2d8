"""``python -m chaos``: as many rounds as wanted, and a report; exits with 1 when a round ended wrong."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from chaos.storm import report, storm
from chaos.troubles import KINDS


def main() -> int:
    """Run the storm as asked."""
    parser = argparse.ArgumentParser(prog="chaos", description="Random faults under clients that check every acknowledged write.")
    parser.add_argument("--rounds", type=int, default=50, help="how many rounds, by default 50")
    parser.add_argument("--seed", type=int, help="to have the same troubles again; drawn and told if not given")
    parser.add_argument("--only", action="append", choices=sorted(KINDS), help="only this kind of trouble; may be repeated")
    asked = parser.parse_args()
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cachewright-chaos-") as folder:
        told = storm(Path(folder), seed, asked.rounds, lambda line: print(line, flush=True), asked.only)
    print(f"\n{report(told, seed)}")
    return int(any(each.wrong for each in told))


if __name__ == "__main__":
    sys.exit(main())
