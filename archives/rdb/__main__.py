"""The child process of ``aside``: a question in JSON on stdin, lines of JSON on stdout, and nothing else in between."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any


def main(what: str, memory: str, niceness: str) -> None:
    """Answer one question, within limits. Whatever goes wrong with the files is an answer, too."""
    from archives.rdb.header import RdbRefusedError

    os.nice(int(niceness))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _say({"answer": _ANSWERS[what](json.load(sys.stdin))})
    except RdbRefusedError as refused:
        _say({"refused": str(refused)})
    except MemoryError:
        _say(_too_large(memory))
    except OSError as failed:
        _say(_too_large(memory) if failed.errno == errno.ENOMEM else {"failed": [failed.errno, failed.strerror, failed.filename]})


def _too_large(memory: str) -> dict[str, Any]:
    return {"refused": f"The file takes more than the {memory} bytes of memory that are allowed for looking at it."}


def _say(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _told(done: int) -> None:
    _say({"done": done})


def _summarise(asked: dict[str, Any]) -> Any:
    from archives.rdb.checking import summarise
    from archives.rdb.shapes import summary_to_dict

    return summary_to_dict(summarise(Path(asked.pop("path")), told=_told, **asked))


def _digest(asked: dict[str, Any]) -> Any:
    from archives.rdb.digest import digest

    return asdict(digest(Path(asked["path"]), _told))


def _cut(asked: dict[str, Any]) -> Any:
    from archives.rdb.cutting import Cut, cut
    from archives.rdb.shapes import cut_file_to_dict

    sources = [Path(path) for path in asked.pop("sources")]
    targets = [Cut(Path(path), slots and tuple((first, last) for first, last in slots)) for path, slots in asked.pop("targets")]
    return [cut_file_to_dict(made) for made in cut(sources, targets, told=_told, **asked)]


_ANSWERS = {"summarise": _summarise, "digest": _digest, "cut": _cut}

if __name__ == "__main__":
    # By its path and isolated from the environment, so that the child runs these very files whatever PYTHONPATH says or is missing.
    sys.path.append(str(Path(__file__).parents[2]))
    main(*sys.argv[1:])
