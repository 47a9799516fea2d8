"""What a Docker daemon's own account of itself comes to, and where it is refused."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

import pytest

from agents.runtimes.docker import user_of
from agents.runtimes.docker_daemon import DockerUnusableError, facts_of, why_not_here

URL = "unix:///nowhere/docker.sock"
TOLD = {"ServerVersion": "27.1", "NCPU": 4, "MemoryLimit": True, "SwapLimit": True, "CpuCfsQuota": True, "SecurityOptions": ["name=seccomp"],
        "OSType": "linux", "KernelVersion": os.uname().release, "OperatingSystem": "Debian"}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "told", "why"),
    [
        (URL, {}, None),
        ("tcp://10.0.0.7:2375", {}, "over a network"),
        ("ssh://me@there", {}, "over a network"),
        (URL, {"KernelVersion": "6.6.1-linuxkit", "OperatingSystem": "Docker Desktop"}, "Docker Desktop, kernel 6.6.1-linuxkit.*another machine"),
        (URL, {"OSType": "windows"}, "another machine"),
    ],
)
def test_where_engines_would_not_be_on_our_loopback(url: str, told: dict[str, Any], why: str | None) -> None:
    found = why_not_here(url, TOLD | told)
    assert (found is None) == (why is None)
    assert re.search(why or "", found or "")


@pytest.mark.parametrize(
    ("told", "sees", "says"),
    [
        ({}, True, "Docker 27.1 at unix:///nowhere/docker.sock"),
        ({"MemoryLimit": False}, True, "no memory limit"),
        ({"CpuCfsQuota": False}, True, "no processor limit"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, True, ", rootless"),
        ({}, False, "--pid=host"),
    ],
)
def test_what_does_not_work_is_said(told: dict[str, Any], sees: bool, says: str) -> None:
    assert says in str(facts_of(URL, TOLD | told, sees_processes=sees))


def test_who_engines_run_as() -> None:
    facts = facts_of(URL, TOLD, sees_processes=True)
    assert user_of(facts, "7:8") == "7:8"
    assert user_of(replace(facts, rootless=True), None) == "0:0"
    assert user_of(facts, None) == ("65534:65534" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}")
    with pytest.raises(DockerUnusableError, match="no uid:gid"):
        user_of(facts, "nobody")
