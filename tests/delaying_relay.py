"""``python delaying_relay.py ONE OTHER SECONDS``: passes every frame from one interface to the other, that much later.

For kernels without netem. The interfaces must not leave checksums and segmentation to their hardware.
"""

from __future__ import annotations

import collections
import select
import socket
import sys
import time

ALL_FRAMES = 0x0003
LONGEST_FRAME = 65536


def main(one: str, other: str, delay: float) -> None:
    """Relay until killed."""
    ends = [_listening(one), _listening(other)]
    waiting: collections.deque[tuple[float, socket.socket, bytes]] = collections.deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], timeout)[0]:
            frame, source = end.recvfrom(LONGEST_FRAME)
            if source[2] != socket.PACKET_OUTGOING:  # else what we have sent ourselves
                waiting.append((time.monotonic() + delay, ends[end is ends[0]], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, target, frame = waiting.popleft()
            try:
                target.send(frame)
            except OSError:  # a frame that does not fit, or an interface that is down: lost, as frames are
                continue


def _listening(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
    end.bind((interface, 0))
    return end


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
