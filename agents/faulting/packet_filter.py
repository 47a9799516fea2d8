"""A packet filter that keeps networks apart, by whichever program of the system we are allowed to use.

Rules are levels: an owner's rules are replaced as a whole, in a table or chain of its own, and no rules leave nothing behind. So rules
that a killed agent has left are swept by setting none. Dropped packets are gone without a word, as in a network that is cut.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol

_WHERE = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_PATIENCE = 10.0
_NET_ADMIN = 1 << 12


class FilterRefusedError(Exception):
    """The system did not take the rules; the text says why."""


@dataclass(frozen=True)
class Drop:
    """Packets from one network (CIDR) to another are dropped; ``because`` is the fault's id, which the rule carries."""

    source: str
    destination: str
    because: str


class PacketFilter(Protocol):
    """The rules of owners. An owner is at most 16 letters and digits."""

    name: ClassVar[str]

    def put(self, owner: str, drops: Sequence[Drop]) -> None:
        """Exactly these are the owner's rules from now on; none leaves nothing behind. Raises FilterRefusedError."""

    def count(self, owner: str) -> int:
        """How many rules the owner has."""


class Nft:
    """By ``nft``: a table for each owner, replaced in one transaction."""

    name: ClassVar[str] = "nft"

    def put(self, owner: str, drops: Sequence[Drop]) -> None:
        """Exactly these are the owner's rules from now on; none leaves nothing behind. Raises FilterRefusedError."""
        table = f"ip cachewright_{owner}"
        lines = [f"add table {table}", f"delete table {table}"]
        if drops:
            lines += [f"add table {table}", f"add chain {table} input {{ type filter hook input priority -10; }}"]
            lines += [
                f'add rule {table} input ip saddr {drop.source} ip daddr {drop.destination} counter drop comment "{drop.because}"'
                for drop in drops
            ]
        _run([_program("nft"), "-f", "-"], lines)

    def count(self, owner: str) -> int:
        """How many rules the owner has."""
        try:
            return _run([_program("nft"), "list", "table", "ip", f"cachewright_{owner}"]).count(" drop ")
        except FilterRefusedError:
            return 0  # there is no such table


class Iptables:
    """By ``iptables``, of either kind: a chain for each owner, to which INPUT leads while there is anything in it."""

    name: ClassVar[str] = "iptables"

    def put(self, owner: str, drops: Sequence[Drop]) -> None:
        """Exactly these are the owner's rules from now on; none leaves nothing behind. Raises FilterRefusedError."""
        chain = f"CACHEWRIGHT-{owner}"
        rules = [
            f'-A {chain} -s {drop.source} -d {drop.destination} -m comment --comment "{drop.because}" -j DROP' for drop in drops
        ]
        if not drops and not self._takes("-S", chain):
            return
        _run([_program("iptables-restore"), "--noflush", "--wait"], ["*filter", f":{chain} - [0:0]", *rules, "COMMIT"])
        led_to = self._takes("-C", "INPUT", "-j", chain)
        if drops and not led_to:
            self._must_take("-I", "INPUT", "1", "-j", chain)
        if not drops:
            if led_to:
                self._must_take("-D", "INPUT", "-j", chain)
            self._must_take("-X", chain)

    def count(self, owner: str) -> int:
        """How many rules the owner has."""
        try:
            return self._must_take("-S", f"CACHEWRIGHT-{owner}").count("-j DROP")
        except FilterRefusedError:
            return 0  # there is no such chain

    def _must_take(self, *words: str) -> str:
        return _run([_program("iptables"), "--wait", *words])

    def _takes(self, *words: str) -> bool:
        try:
            self._must_take(*words)
        except FilterRefusedError:
            return False
        return True


def owner_of(folder: Path) -> str:
    """The owner that an agent with this folder is to the packet filter."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


@cache
def find_filter() -> PacketFilter | None:
    """A packet filter that took a rule of ours and gave it up again; None where none does, as for most users."""
    if not _may_filter():
        return None
    works: PacketFilter
    for works in (Nft(), Iptables()):
        try:
            works.put(f"try{os.getpid()}", [Drop("127.255.255.253/32", "127.255.255.254/32", "a trial")])
            works.put(f"try{os.getpid()}", [])
        except FilterRefusedError:
            continue
        return works
    return None


def _may_filter() -> bool:
    """Whether this process may set packet filters at all, so that nobody else is bothered with a trial."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    able = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(able, 16) & _NET_ADMIN)


def _program(name: str) -> str:
    found = shutil.which(name, path=_WHERE)
    if found is None:
        raise FilterRefusedError(f"{name} is not installed")
    return found


def _run(command: Sequence[str], lines: Sequence[str] = ()) -> str:
    """What the program said. Raises FilterRefusedError."""
    try:
        said = subprocess.run(command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True,  # noqa: S603
                              timeout=_PATIENCE, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise FilterRefusedError(f"{command[0]} could not be run: {failed}") from failed
    if said.returncode != 0:
        raise FilterRefusedError(f"{command[0]} refused: {' '.join(said.stderr.split())[-300:]}")
    return said.stdout
