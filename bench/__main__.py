"""``python -m bench [NAME …]``: every bench, or those named, one after the other."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module

from bench import measure as m

NAMES = ("start", "describe", "create", "shards", "reshard", "failover", "vertical", "snapshot", "restore", "datapath", "memcached", "memcached_keys")


def _run(name: str) -> bool:
    """One bench within its bound; what goes wrong in it is shown and does not keep the others from running."""
    bench = import_module(f"bench.{name}")
    try:
        with m.bounded(bench.BOUND):
            bench.run()
    except (Exception, m.TooLongError):
        traceback.print_exc()
        return False
    finally:
        print(flush=True)
    return True


def _all() -> None:
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")] or list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        raise SystemExit(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    done = [_run(name) for name in wanted]
    if not all(done):
        raise SystemExit(1)


if __name__ == "__main__":
    m.main(_all, None)
