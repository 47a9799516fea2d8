"""Keys of several types, a part of which expire: one fixed load, by slot, made once."""

from __future__ import annotations

import binascii
import socket
import threading

SLOTS = 16384
_DAY = "86400"

Place = tuple[str, int]


def slot_of(key: str) -> int:
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


class MixedKeys:
    """So many keys as the commands that set them. Of ten, seven are strings, two of which expire in a day, and one each is a hash, a list and
    a sorted set, of three."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._commands: list[list[bytes]] = [[] for _ in range(SLOTS)]
        for each in range(number):
            name = f"key:{each}"
            self._commands[slot_of(name)].append(_command(*_words(name, each)))

    def fill(self, place: Place, first: int = 0, last: int = SLOTS - 1) -> None:
        """Set those of some slots. Raises RuntimeError where an engine refuses one."""
        commands = [command for commands in self._commands[first : last + 1] for command in commands]
        with socket.create_connection(place, timeout=60) as wire:
            sender = threading.Thread(target=wire.sendall, args=[b"".join(commands)])
            sender.start()
            missing = len(commands)
            while missing:
                answer = wire.recv(1 << 20)
                if not answer or b"-" in answer:
                    raise RuntimeError(f"filling was refused: {answer[:100]!r}")
                missing -= answer.count(b"\n")
            sender.join()


def _words(name: str, number: int) -> tuple[str, ...]:
    value = f"{number:016d}"
    match number % 10:
        case 0:
            return "HSET", name, "name", value, "count", str(number), "kind", "hash"
        case 1:
            return "RPUSH", name, value, str(number), "list"
        case 2:
            return "ZADD", name, "1", value, "2", str(number), "3", "zset"
        case 3 | 4:
            return "SET", name, value, "EX", _DAY
        case _:
            return "SET", name, value


def _command(*words: str) -> bytes:
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)])
