"""What measurements on this machine have in common: a port that is free, waiting for something, and keeping what was found."""

import json
import pathlib
import random
import socket
import sys
import time

# Above the ports that instances get where a manifest says nothing else.
PORT_LOWEST, PORT_TRIES = 30_000, 100
# Given already; nobody may have bound them yet.
GIVEN = set()


def free_port():
    """Below the ports that connections get, of which a benchmark uses thousands."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(PORT_TRIES):
        port = random.randrange(PORT_LOWEST, lowest)
        if port in GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN.add(port)
        return port
    sys.exit(f"no free port of {PORT_TRIES} that were tried between {PORT_LOWEST} and {lowest}")


def wait(what, true, seconds):
    """Until that is so; gives what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    sys.exit(f"{what}: not within {seconds} s")


class Results:
    """`benches/results/NAME.json`, which has each part as soon as it is measured: one that fails costs no other. A run of everything begins anew."""

    def __init__(self, name, begins_anew):
        self.path = pathlib.Path(__file__).resolve().parent / f"results/{name}.json"
        self.found = {} if begins_anew or not self.path.exists() else json.loads(self.path.read_text())

    def keep(self, **parts):
        self.found.update(parts)
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.found, indent=2) + "\n")
        for name, part in parts.items():
            print(f"{time.strftime('%H:%M:%S')} {name}: {json.dumps(part)}", flush=True)
