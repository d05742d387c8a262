"""Programs that are measured: started on their cores, looked at while they run, stopped."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

CORES = sorted(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 10
SAMPLE_SECONDS = 0.05
PROFILE_HERTZ = "1999"


class Places:
    """Which cores the proxy has, and which ones clients and upstream have. With as many workers as cores all share all; with
    fewer, the proxy has that many to itself. The same for every proxy."""

    def __init__(self, workers, pinned):
        apart = pinned and workers < len(CORES)
        self.proxy = CORES[:workers] if apart else CORES
        self.load = CORES[workers:] if apart else CORES

    def use_for_load(self):
        """Moves this program, and the clients it starts from now on."""
        os.sched_setaffinity(0, self.load)


def on(cores, command):
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def allow_many_sockets():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def wait_for(name, port, process):
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{name} does not answer on 127.0.0.1:{port} within {START_TIMEOUT_SECONDS} s; it said: {process.said()}")


class Process:
    """A program and its children."""

    def __init__(self, command, folder, cores, environment=None, until_input_ends=False):
        environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), **(environment or {})}
        given = subprocess.PIPE if until_input_ends else subprocess.DEVNULL
        self.output = tempfile.TemporaryFile(dir=folder)
        self.child = subprocess.Popen(on(cores, command), env=environment, stdin=given, stdout=self.output, stderr=subprocess.STDOUT)

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def pids(self):
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_seconds(self):
        """User and system time so far."""
        user = system = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICKS, system / TICKS

    def memory_bytes(self, kind="Pss"):
        """`Pss`, or `Rss`, which counts what several of its processes share several times."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{kind}:"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        if self.child.stdin:
            self.child.stdin.close()
        self.child.terminate()
        try:
            self.child.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.output.close()


class Peak:
    """The most memory a process has while something runs: `with Peak(process) as peak: …`, then `peak.bytes`."""

    def __init__(self, process):
        self.process, self.bytes, self.ended = process, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, self.process.memory_bytes())

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.bytes = max(self.bytes, self.process.memory_bytes())


@contextlib.contextmanager
def profiled(process, file):
    """`perf record` of a process and its children while something runs; nothing where no file is given."""
    if file is None:
        yield
        return
    pids = ",".join(map(str, process.pids()))
    perf = subprocess.Popen(["perf", "record", "-q", "-F", PROFILE_HERTZ, "-o", str(file), "-p", pids])
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait()
