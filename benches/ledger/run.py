#!/usr/bin/env python3
"""Measures debits (reserve, then settle, each answered when its commit is durable) of one account by many clients at once,
over HTTP on loopback, on SQLite and PostgreSQL, and compares with the goal. Writes benches/results/ledger.json. Run it as
    scripts/test-services.sh run benches/ledger/run.py [--profile release|dev] [--seconds N] [--rounds N]
The books are checked by `check-ledger` after each round."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOAL = 500  # debits a second at 64 clients
CLIENTS = (1, 64)
TOKEN = "a service token for measuring"


def build(profile):
    command = ["cargo", "build", "--locked", "-p", "mana-core-auth", "--bin", "mana-core-auth", "--example", "debits", "--profile", profile]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / ("debug" if profile == "dev" else profile)


def psql(url, statement):
    subprocess.run(["psql", "-q", url, "-c", statement], check=True)


def measure(binaries, database, clients, seconds):
    environment = {"PATH": os.environ["PATH"], "PORT": "0", "TOKEN_ISSUER": "http://auth.test", "SERVICE_TOKEN": TOKEN,
                   "AUTH_SIGNING_SEED": "01" * 32, "DATABASE_URL": database}
    program = binaries / "mana-core-auth"
    subprocess.run([program, "migrate"], env=environment, check=True, capture_output=True)
    service = subprocess.Popen([program], env={**environment, "RUST_LOG": "warn,kit::service=info"}, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line["address"] for line in map(json.loads, service.stdout) if "address" in line)
        # What it logs from here on is read away, so that it never waits for a full pipe.
        drain = subprocess.Popen(["cat"], stdin=service.stdout, stdout=subprocess.DEVNULL)
        command = [binaries / "examples/debits", f"http://{address}", str(clients), str(seconds)]
        out = subprocess.run(command, env={"SERVICE_TOKEN": TOKEN}, check=True, capture_output=True, text=True).stdout
    finally:
        service.terminate()
        service.wait(30)
    drain.wait(5)
    subprocess.run([program, "check-ledger"], env=environment, check=True, capture_output=True)
    return json.loads(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binaries = build(options.profile)
    server = os.environ["MANA_TEST_POSTGRES_URL"]
    rows = []
    for store in ("sqlite", "postgres"):
        for clients in CLIENTS:
            rounds = []
            for turn in range(options.rounds):
                with tempfile.TemporaryDirectory() as folder:
                    name = f"bench_{os.getpid()}_{clients}_{turn}"
                    if store == "postgres":
                        psql(server, f"CREATE DATABASE {name}")
                        database = server.rsplit("/", 1)[0] + "/" + name
                    else:
                        database = f"sqlite://{folder}/ledger.db"
                    rounds.append(measure(binaries, database, clients, options.seconds))
                    if store == "postgres":
                        psql(server, f"DROP DATABASE {name} WITH (FORCE)")
            row = {"store": store, "clients": clients, "rounds": options.rounds}
            for key in ("debits_per_second", "p50_us", "p99_us"):
                row[key] = round(statistics.median(one[key] for one in rounds))
            rows.append(row)
            goal = f", goal {GOAL}: {'reached' if row['debits_per_second'] >= GOAL else 'missed'}" if clients == 64 else ""
            print(f"{store:8} {clients:3} clients: {row['debits_per_second']:6} debits/s, p50 {row['p50_us'] / 1000:.1f} ms, "
                  f"p99 {row['p99_us'] / 1000:.1f} ms{goal}", flush=True)
    result = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "profile": options.profile, "seconds": options.seconds,
              "goal_debits_per_second": GOAL, "rows": rows}
    (ROOT / "benches/results/ledger.json").write_text(json.dumps(result, indent=1) + "\n")


main()
