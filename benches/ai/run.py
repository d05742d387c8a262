#!/usr/bin/env python3
"""Measures what the platform adds to a model call, beside LiteLLM's proxy and Portkey's gateway in the same run: the same model (`ai-echo`, no delay), the same client, interleaved rounds. Then streams, a contended account, the
credits cache, and memory over minutes of mixed load. On SQLite and on PostgreSQL with Redis; every commit is durable. Writes benches/results/ai.json. Installs the peers into target/peers."""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from local import Results, free_port, wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ROOT / "target/release"
PEERS = ROOT / "target/peers"
LITELLM, PORTKEY = "1.106.2", "1.15.2"
OFFSET = 9800
ROUNDS = 5
SECONDS = 4
RATE = 200  # a second: the typical load
SPREAD = 2  # seconds within which streams begin
STREAMS = (100, 250, 500, 1000)
TOKENS = 64
GAP_MS = 20
ASK = "What is a mana?"
KEY = "sk-bench-0123456789"


def post(port, path, body, headers=None, host="localhost"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Host": host, "content-type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def pss(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1]) * 1024


def tree(pid):
    """It and all that it started."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in tree(int(child)))]


class Call:
    """A request to somebody who answers for a model, as files for the load."""

    def __init__(self, folder, name, port, path, body, token=None, headers=()):
        self.name, self.port, self.path = name, port, path
        lines = ["content-type: application/json", *([f"authorization: Bearer {token}"] if token else []), *headers]
        self.headers, self.body = folder / f"{name}.headers", folder / f"{name}.json"
        self.headers.write_text("".join(f"{line}\n" for line in lines))
        self.headers.chmod(0o600)
        self.body.write_text(json.dumps(body))

    def load(self, mode, *flags):
        command = [BINARIES / "load", mode, "--address", f"127.0.0.1:{self.port}", "--path", self.path, "--headers", self.headers, "--body", self.body, *map(str, flags)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: {done.stderr}")
        return json.loads(done.stdout)


@contextlib.contextmanager
def running(command, port, path, env=None, log=None):
    with open(log or os.devnull, "w") as out:
        process = subprocess.Popen([str(part) for part in command], env={**os.environ, **(env or {})}, stdout=out, stderr=out, start_new_session=True)

    def answers():
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} ended with {process.returncode}: {pathlib.Path(log).read_text()[-2000:] if log else ''}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return answer.status < 500
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False

    try:
        wait(f"{command[0]} answers", answers, 120)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def provider(folder):
    """A model that answers at once, at a port of its own."""
    port = free_port()
    with running([BINARIES / "ai-echo"], port, "/api/health", {"PORT": str(port)}, folder / "provider.log"):
        yield port


def install_peers():
    PEERS.mkdir(parents=True, exist_ok=True)
    if not (PEERS / "litellm/bin/litellm").exists():
        subprocess.run(["python3", "-m", "venv", PEERS / "litellm"], check=True)
        subprocess.run([PEERS / "litellm/bin/pip", "install", "--quiet", f"litellm[proxy]=={LITELLM}"], check=True)
    if not (PEERS / "portkey/node_modules/@portkey-ai/gateway").exists():
        (PEERS / "portkey").mkdir(exist_ok=True)
        (PEERS / "portkey/package.json").write_text("{}")
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", f"@portkey-ai/gateway@{PORTKEY}"], cwd=PEERS / "portkey", check=True, capture_output=True)


class Platform:
    """The shipped ecosystem in development, with a data folder and ports of its own, on one of the two stores."""

    def __init__(self, folder, store, provider):
        self.folder, self.store = folder, store
        # The provider is outside, as real ones are: asked directly, as the peers do.
        text = (ROOT / "mana.toml").read_text()
        ours = 'env = { AI_PROVIDERS = "echo", '
        if text.count(ours) != 1:
            raise SystemExit("mana.toml: where chat-backend is told of its provider is not where it was")
        text = text.replace(ours, f'{ours}AI_ECHO_URL = "http://127.0.0.1:{provider}", ')
        if store == "postgres":
            # What `scripts/test-services.sh run` started.
            address = os.environ["MANA_TEST_POSTGRES_URL"].rsplit("/", 1)[0]
            text = text.replace("[environments.staging]", f'[environments.development]\ndatabase = "{address}/bench_{{database}}"\ncache = "{os.environ["MANA_TEST_REDIS_URL"]}#bench:"\n\n[environments.staging]', 1)
            for database in ("manacore", "chat", "chat_web"):
                subprocess.run(["psql", "-q", f"{address}/postgres", "-c", f"CREATE DATABASE bench_{database}"], check=True)
        for name in ("target", "apps", "ui", "docs"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "mana.toml").write_text(text)

    def mana(self, *arguments, told=None):
        command = [BINARIES / "mana", "--manifest", self.folder / "mana.toml", "--data", self.folder / "data", "--port-offset", str(OFFSET), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, input=told)
        if done.returncode != 0:
            raise SystemExit(f"mana {' '.join(map(str, arguments))}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def __enter__(self):
        # The gateway beside the platform shows it, too.
        self.service_token = secrets.token_hex(32)
        self.mana("secret", "set", "SERVICE_TOKEN", told=self.service_token)
        self.mana("up")
        return self

    def __exit__(self, *_):
        self.mana("down")
        if self.store == "postgres":
            address = os.environ["MANA_TEST_POSTGRES_URL"].rsplit("/", 1)[0]
            for database in ("manacore", "chat", "chat_web"):
                subprocess.run(["psql", "-q", f"{address}/postgres", "-c", f"DROP DATABASE bench_{database} WITH (FORCE)"], check=True)

    def services(self):
        return {service["name"]: service["instances"][0] for service in json.loads(self.mana("status", "--json"))["services"] if service["instances"]}

    def person(self, name="bench"):
        account = {"email": f"{name}@example.org", "password": "correct horse battery", "name": "Bench"}
        token = post(3001 + OFFSET, "/api/auth/register", account)["accessToken"]
        self.mana("run", "mana-core-auth", "--", "grant", "--email", account["email"], "--credits", "100000000")
        return token

    def renew(self, name="bench"):
        return post(3001 + OFFSET, "/api/auth/login", {"email": f"{name}@example.org", "password": "correct horse battery"})["accessToken"]


def medians(rows):
    keys = ("p50_seconds", "p99_seconds", "requests_per_second")
    return {**{key: statistics.median(row[key] for row in rows) for key in keys}, "errors": sum(row["errors"] for row in rows), "last_error": next((row["last_error"] for row in rows if row["last_error"]), None)}


def interleaved(calls, mode, *flags):
    """Rounds, each beginning with another one; medians."""
    rows = {call.name: [] for call in calls}
    for turn in range(ROUNDS):
        for call in calls[turn % len(calls):] + calls[: turn % len(calls)]:
            rows[call.name].append(call.load(mode, *flags, "--seconds", SECONDS))
    return {name: medians(found) for name, found in rows.items()}


def calls_of(folder, token, direct):
    body = {"model": "echo", "messages": [{"role": "user", "content": ASK}]}
    v1 = "/v1/chat/completions"
    return [
        Call(folder, "direct", direct, v1, body),
        Call(folder, "reserve and settle", 3002 + OFFSET, v1, body, token),
        Call(folder, "messages stored", 3002 + OFFSET, "/api/chat", {"messages": body["messages"]}, token),
    ]


def beside(folder, store, peers):
    """The four rows, and the peers."""
    with provider(folder) as direct, Platform(folder, store, direct) as platform:
        token = platform.person()
        calls = calls_of(folder, token, direct)
        gateway = free_port()
        env = {"PORT": str(gateway), "AI_PROVIDERS": "echo", "AI_ECHO_URL": f"http://127.0.0.1:{direct}", "MANA_CORE_AUTH_URL": f"http://127.0.0.1:{3001 + OFFSET}", "SERVICE_TOKEN": platform.service_token, "TOKEN_APPS": "mana"}
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        env |= {"TOKEN_ISSUER": claims["iss"], "TOKEN_AUDIENCE": claims["aud"] if isinstance(claims["aud"], str) else claims["aud"][0]}
        body = {"model": "echo", "messages": [{"role": "user", "content": ASK}]}
        with contextlib.ExitStack() as stack:
            stack.enter_context(running([BINARIES / "examples/gateway"], gateway, "/api/health", env, folder / "gateway.log"))
            calls.insert(1, Call(folder, "token", gateway, "/v1/chat/completions", body, token))
            memory = {}
            if peers:
                (folder / "litellm.yaml").write_text(
                    f"model_list:\n- model_name: echo\n  litellm_params: {{model: openai/echo, api_base: 'http://127.0.0.1:{direct}/v1', api_key: none}}\ngeneral_settings: {{master_key: {KEY}}}\n")
                port = free_port()
                litellm = stack.enter_context(running([PEERS / "litellm/bin/litellm", "--config", folder / "litellm.yaml", "--port", port, "--host", "127.0.0.1", "--num_workers", "1"], port, "/health/liveliness", {"LITELLM_LOG": "ERROR"}, folder / "litellm.log"))
                calls.append(Call(folder, "LiteLLM", port, "/v1/chat/completions", body, KEY))
                port = free_port()
                command = ["node", PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless"]
                portkey = stack.enter_context(running(command, port, "/", {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}, folder / "portkey.log"))
                headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{direct}/v1")
                calls.append(Call(folder, "Portkey", port, "/v1/chat/completions", body, KEY, headers))
            one = interleaved(calls, "closed", "--connections", 1)
            own = [call for call in calls if call.name not in ("LiteLLM", "Portkey")]
            rate = interleaved(own, "rate", "--rate", RATE, "--connections", 64)
            many = interleaved(calls, "closed", "--connections", 64)
            if peers:
                memory = {"LiteLLM": sum(map(pss, tree(litellm))), "Portkey": sum(map(pss, tree(portkey)))}
            memory |= {name: pss(instance["pid"]) for name, instance in platform.services().items()}
        wrong = check(platform)
    return {"wrong": wrong, "one": one, "rate": rate, "many": many, "memory_bytes": memory}


def check(platform):
    """The ledger's own: it sums to zero and each balance is the sum of its entries. What is wrong, or nothing."""
    try:
        platform.mana("run", "mana-core-auth", "--", "check-ledger")
    except SystemExit as wrong:
        return str(wrong)


def streams(folder, store):
    with provider(folder) as direct, Platform(folder, store, direct) as platform:
        token, found = platform.person(), []
        body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": f"[words={TOKENS}] [delay={GAP_MS}]"}]}
        calls = [Call(folder, "direct", direct, "/v1/chat/completions", body), Call(folder, "streamed", 3002 + OFFSET, "/v1/chat/completions", body, token)]
        for many in STREAMS:
            rounds = [{call.name: call.load("streams", "--connections", many, "--seconds", SPREAD) for call in calls} for _ in range(3)]
            found.append({"streams": many, "rounds": rounds})
        memory = {name: pss(instance["pid"]) for name, instance in platform.services().items()}
        wrong = check(platform)
    return {"wrong": wrong, "ladder": found, "memory_bytes": memory}


def mixed(folder, store, minutes):
    """Answers, streams, and balances that are read, for minutes: memory by the time, and how often the ledger was asked for a balance."""
    with provider(folder) as direct, Platform(folder, store, direct) as platform:
        token = platform.person()
        ask = {"messages": [{"role": "user", "content": ASK}]}
        stop, failures = time.monotonic() + minutes * 60, []
        renewed = {"token": token, "at": time.monotonic()}
        lock = threading.Lock()

        def bearer():
            with lock:
                if time.monotonic() - renewed["at"] > 600:
                    renewed.update(token=platform.renew(), at=time.monotonic())
                return renewed["token"]

        def client(number):
            turn = 0
            while time.monotonic() < stop:
                headers = {"authorization": f"Bearer {bearer()}"}
                try:
                    if (turn + number) % 10 == 0:
                        post(3002 + OFFSET, "/api/chat", ask, headers)
                    else:
                        request = urllib.request.Request(f"http://127.0.0.1:{3002 + OFFSET}/api/credits", headers=headers)
                        urllib.request.urlopen(request, timeout=10).read()
                except OSError as error:
                    failures.append(str(error))
                    time.sleep(0.5)
                turn += 1
                time.sleep(0.05)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        samples = []
        while time.monotonic() < stop:
            time.sleep(10)
            samples.append({name: pss(instance["pid"]) for name, instance in platform.services().items()})
        for thread in threads:
            thread.join()
        port = platform.services()["chat-backend"]["port"]
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        wrong = check(platform)
    reads = dict(re.findall(r'^chat_balance_reads_total\{.*?source="(\w+)".*?\} (\d+)', metrics, re.MULTILINE))
    half = samples[len(samples) // 2:]
    slope = {name: statistics.linear_regression(range(len(half)), [sample[name] for sample in half]).slope * 6 for name in half[0]} if len(half) > 1 else {}
    return {"wrong": wrong, "minutes": minutes, "failures": len(failures), "last_failure": failures[-1:] or None, "bytes_a_minute": slope, "last_bytes": samples[-1], "balance_reads": {name: int(count) for name, count in reads.items()}}


PARTS = ("beside", "streams", "mixed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of mixed load")
    parser.add_argument("--store", choices=("sqlite", "postgres"), help="one of the two")
    parser.add_argument("--only", choices=PARTS, help="measures it anew and leaves the other results as they were")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        build = ["cargo", "build", "--release", "--locked", "--workspace", "--bins", "--example", "gateway"]
        subprocess.run(build, cwd=ROOT, check=True)
        install_peers()
        # With a PostgreSQL and a Redis of its own.
        os.execv(ROOT / "scripts/test-services.sh", ["test-services.sh", "run", __file__, "--inside", *sys.argv[1:]])
    kept = Results("ai", begins_anew=options.only is None and options.store is None)
    kept.keep(versions={"LiteLLM": LITELLM, "Portkey": PORTKEY})
    for store in (options.store,) if options.store else ("sqlite", "postgres"):
        for part in PARTS:
            if options.only in (None, part):
                with tempfile.TemporaryDirectory(prefix="mana-bench-") as name:
                    folder = pathlib.Path(name)
                    found = beside(folder, store, store == "sqlite") if part == "beside" else streams(folder, store) if part == "streams" else mixed(folder, store, options.minutes)
                kept.keep(**{store: {**kept.found.get(store, {}), part: found}})
                if found["wrong"]:
                    sys.exit(f"{store}, {part}: {found['wrong']}")


if __name__ == "__main__":
    main()
