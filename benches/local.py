"""What measurements on this machine have in common: a port that is free, and waiting for something."""

import pathlib
import random
import socket
import sys
import time

PORT_LOWEST, PORT_TRIES = 20_000, 100


def free_port():
    """Below the ports that connections get, of which a benchmark uses thousands."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(PORT_TRIES):
        port = random.randrange(PORT_LOWEST, lowest)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit(f"no free port of {PORT_TRIES} that were tried between {PORT_LOWEST} and {lowest}")


def wait(what, true, seconds):
    """Until that is so; gives what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    sys.exit(f"{what}: not within {seconds} s")
