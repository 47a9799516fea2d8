"""How a process that runs agents is set up, before it starts any engine."""

from __future__ import annotations

import contextlib
import resource
import sys

_SWITCH_INTERVAL = 0.001  # seconds; those who look after nodes hand over often, and none of them computes for long


def set_up() -> None:
    """Let this process, and the engines that inherit it, open as many files as the host allows; hand over between threads often.

    An engine cannot serve more clients than it may open files.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.setswitchinterval(_SWITCH_INTERVAL)
