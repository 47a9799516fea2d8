"""Several hosts on one machine: network namespaces joined by a switch, which can be cut off and slowed down one by one."""

from __future__ import annotations

import contextlib
import ctypes
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RELAY = Path(__file__).with_name("delaying_relay.py")
_NETWORK = 0x40000000  # CLONE_NEWNET


def may_make_networks() -> bool:
    """Whether this user may make namespaces."""
    with contextlib.suppress(OSError):
        name = f"try{secrets.token_hex(3)}"
        if subprocess.run(("ip", "netns", "add", name), capture_output=True).returncode == 0:
            return subprocess.run(("ip", "netns", "delete", name), capture_output=True).returncode == 0
    return False


def free_network() -> str:
    """The first two numbers of a network of 65,536 addresses that this machine has no address in."""
    shown = subprocess.run(("ip", "-json", "-4", "address"), check=True, capture_output=True, text=True).stdout
    taken = {part["local"] for interface in json.loads(shown) for part in interface.get("addr_info", [])}
    return next(net for net in (f"10.{second}" for second in range(77, 100)) if not any(each.startswith(f"{net}.") for each in taken))


@dataclass
class Host:
    """A namespace with an address, and more addresses for what runs there. ``inside`` is put before a command to run it there."""

    namespace: str
    port: str
    address: str
    more: tuple[str, ...] = ()
    slowed: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.namespace)

    def enter(self) -> None:
        """From now on the calling thread is on this host: what it connects to, it connects to from there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.namespace).open("rb") as namespace:
            if libc.setns(namespace.fileno(), _NETWORK):
                raise OSError(ctypes.get_errno(), f"no way into {self.namespace}")


class Network:
    """A switch in a namespace of its own, so that no rule of this machine's applies to it, and the hosts at its ports."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(2)
        self._switch = f"cw{self._id}"
        self.hosts: dict[str, Host] = {}
        ip("netns", "add", self._switch)
        self._in_switch("link", "add", "switch", "type", "bridge")
        self._in_switch("link", "set", "switch", "up")
        self._in_switch("link", "set", "lo", "up")

    def add_this_machine(self, address: str) -> None:
        """The tests themselves are at a port, under that address (with its prefix length)."""
        self._plug("0", None, "v0")
        ip("addr", "add", address, "dev", f"v{self._id}h0")
        ip("link", "set", f"v{self._id}h0", "up")

    def add(self, name: str, address: str, more: tuple[str, ...] = ()) -> Host:
        """A host at a port of its own. Its first address comes with a prefix length; the others are single ones."""
        number = str(len(self.hosts) + 1)
        namespace = f"cw{self._id}{name}"
        ip("netns", "add", namespace)
        self._plug(number, namespace, f"v{number}")
        for each in (address, *(f"{one}/32" for one in more)):
            ip("-n", namespace, "addr", "add", each, "dev", "eth0")
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "set", "eth0", "up")
        self.hosts[name] = Host(namespace, f"v{number}", address.partition("/")[0], more)
        return self.hosts[name]

    def cut(self, *names: str) -> None:
        """Nothing reaches these hosts or comes from them; what runs on one of them goes on."""
        for name in names:
            self._in_switch("link", "set", self.hosts[name].port, "down")

    def join(self, *names: str) -> None:
        """These hosts are reached again."""
        for name in names:
            self._in_switch("link", "set", self.hosts[name].port, "up")

    @contextlib.contextmanager
    def slowed(self, name: str, seconds: float) -> Iterator[None]:
        """Every frame to and from that host comes so much later."""
        host = self.hosts[name]
        near, far = f"n{host.port}", f"f{host.port}"
        self._in_switch("link", "add", near, "type", "veth", "peer", "name", far)
        for interface in (near, far, host.port):
            self._compute_in_software(self._switch, interface)
        self._compute_in_software(host.namespace, "eth0")
        self._in_switch("link", "set", host.port, "nomaster")
        self._in_switch("link", "set", far, "master", "switch")
        for interface in (near, far):
            self._in_switch("link", "set", interface, "up")
        words = ("ip", "netns", "exec", self._switch, sys.executable, str(RELAY), host.port, near, str(seconds))
        relay = subprocess.Popen(words)
        try:
            yield
        finally:
            relay.kill()
            relay.wait()
            self._in_switch("link", "delete", near)
            self._in_switch("link", "set", host.port, "master", "switch")

    def clear(self) -> None:
        """Take everything away. What still runs inside goes on without a network."""
        for host in self.hosts.values():
            subprocess.run(("ip", "netns", "delete", host.namespace), capture_output=True)
        subprocess.run(("ip", "netns", "delete", self._switch), capture_output=True)
        subprocess.run(("ip", "link", "delete", f"v{self._id}h0"), capture_output=True)

    def _plug(self, number: str, namespace: str | None, port: str) -> None:
        end = f"v{self._id}h{number}"
        ip("link", "add", end, "type", "veth", "peer", "name", port, "netns", self._switch)
        if namespace is not None:
            ip("link", "set", end, "netns", namespace, "name", "eth0")
        self._in_switch("link", "set", port, "master", "switch")
        self._in_switch("link", "set", port, "up")

    def _in_switch(self, *words: str) -> None:
        ip("-n", self._switch, *words)

    @staticmethod
    def _compute_in_software(namespace: str, interface: str) -> None:
        words = ("ip", "netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        subprocess.run(words, check=True, capture_output=True)


def ip(*words: str) -> None:
    """One command of iproute2. CalledProcessError, which says why, if it fails."""
    done = subprocess.run(("ip", *words), capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
