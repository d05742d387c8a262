#!/usr/bin/env python3
"""Measures the running ecosystem: time of a warm `mana up`, memory of every process idle and after load, and how long a
killed service is away. Writes benches/results/system.json. Uses a data folder and ports of its own."""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANA = ROOT / "target/release/mana"
OFFSET = 9700
ROUNDS = 7  # of a warm `mana up`
REPAIRS = 3  # rounds in which each service is killed once
IDLE_SECONDS = 20
LOAD_SECONDS = 8
SERVICES = {"mana-core-auth": 3001, "chat-backend": 3002, "chat-web": 3100}
HOSTS = {"mana-core-auth": "auth.localhost", "chat-backend": "api-chat.localhost", "chat-web": "app-chat.localhost"}
EDGE = f"127.0.0.1:{8080 + OFFSET}"


def mana(data, *arguments):
    command = [MANA, "--manifest", ROOT / "mana.toml", "--data", data, "--port-offset", str(OFFSET), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def get(host, path, timeout=1.0):
    request = urllib.request.Request(f"http://{EDGE}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def pss_kib(pid):
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                total = int(line.split()[1])
    return total


def processes(data):
    status = json.loads(mana(data, "status", "--json"))
    pids = {"control": status["control_pid"]}
    for service in status["services"]:
        for instance in service["instances"]:
            if instance.get("pid"):
                pids[service["name"]] = instance["pid"]
    return pids


def memory(data):
    return {name: pss_kib(pid) for name, pid in processes(data).items()}


def warm_ups(data):
    times = []
    for _ in range(ROUNDS):
        start = time.monotonic()
        mana(data, "up")
        times.append(round(time.monotonic() - start, 3))
        mana(data, "down")
    return times


def repair(data, service):
    """Kills the service's instance; seconds until it answers through the edge again."""
    pid = processes(data)[service]
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    gone = False
    while time.monotonic() - start < 30:
        status = get(HOSTS[service], "/api/health")
        if status != 200:
            gone = True
        elif gone or processes(data)[service] != pid:
            return round(time.monotonic() - start, 3)
        time.sleep(0.005)
    raise SystemExit(f"{service} did not come back within 30 s")


def post(host, path, body, token=None):
    headers = {"Host": host, "content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"http://{EDGE}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def load(data):
    """A bounded mixed load of 16 clients: chat requests through the whole lifecycle, pages, lists, keys, and sign-ins, which
    take the most memory (Argon2id)."""
    account = {"email": "bench@example.org", "password": "correct horse battery"}
    token = post("auth.localhost", "/api/auth/register", {**account, "name": "Bench"})["accessToken"]
    mana(data, "run", "mana-core-auth", "--", "grant", "--email", account["email"], "--credits", "1000000")
    ask = {"messages": [{"role": "user", "content": "What is a mana?"}]}
    kinds = [
        lambda: post("api-chat.localhost", "/api/chat/completions", ask, token),
        lambda: get("app-chat.localhost", "/login", 10.0),
        lambda: get("auth.localhost", "/.well-known/jwks.json", 10.0),
        lambda: get("chat.localhost", "/", 10.0),
    ]
    # More sign-ins of one account at the same time than it may fail are refused: one after the other.
    turn = threading.Lock()

    def sign_in():
        with turn:
            post("auth.localhost", "/api/auth/login", account)

    kinds.append(sign_in)
    stop = time.monotonic() + LOAD_SECONDS
    counts, failures = [], []

    def client(number):
        done = 0
        while time.monotonic() < stop:
            try:
                kinds[(number + done) % len(kinds)]()
            except OSError as error:
                failures.append(str(error))
                break
            done += 1
        counts.append(done)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"the load met failures: {sorted(set(failures))}")
    return sum(counts)


def main():
    results = {"rounds": ROUNDS, "idle_seconds": IDLE_SECONDS, "load_seconds": LOAD_SECONDS}
    with tempfile.TemporaryDirectory(prefix="mana-bench-") as data:
        try:
            start = time.monotonic()
            mana(data, "up")
            results["first_up_s"] = round(time.monotonic() - start, 3)
            mana(data, "down")
            results["warm_up_s"] = warm_ups(data)
            repairs = {service: [] for service in SERVICES}
            for _ in range(REPAIRS):
                mana(data, "up")
                for service in SERVICES:
                    repairs[service].append(repair(data, service))
                mana(data, "down")
            results["repair_s"] = repairs
            mana(data, "up")
            time.sleep(IDLE_SECONDS)
            results["pss_idle_kib"] = memory(data)
            results["load_requests"] = load(data)
            results["pss_after_load_kib"] = memory(data)
        finally:
            mana(data, "down")
    results["warm_up_median_s"] = statistics.median(results["warm_up_s"])
    target = ROOT / "benches/results/system.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
