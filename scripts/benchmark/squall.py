"""Squall itself."""

import json
import os
import subprocess

from .machine import ROOT, Failed, target_dir

JOURNEYS = {
    "plain": {"steps": [{"get": "/"}]},
    "wait": {"think": "1h", "steps": [{"get": "/"}]},
    "journey": {
        "headers": {"Authorization": "Bearer {{ token }}"},
        "before": [
            {"post": "/login", "json": {"user": "load-{{ vu.id }}"}, "capture": {"token": "$.access_token"}},
        ],
        "steps": [
            {"get": "/items/{{ random_int(1, 1000) }}", "name": "item", "capture": {"id": "$.id"}},
            {"get": "/items/{{ id }}/detail", "name": "detail", "expect": {"status": 200}},
            {"post": "/cart", "name": "cart", "json": {"id": "{{ id }}", "quantity": 2}, "expect": {"status": 201}},
        ],
    },
}


class Squall:
    """One generator: what `cargo xtask dist` gives to others, or a binary that was named."""

    name = "squall"
    can = {"plain", "journey", "authenticated", "tls", "http2", "h2c", "wait"}

    def __init__(self, binary=None, build=True):
        self.binary = binary
        self.build = build

    def install(self, _cache):
        if self.binary:
            return
        if self.build:
            subprocess.check_call(["cargo", "build", "--profile", "dist", "--package", "squall-cli"], cwd=ROOT)
        self.binary = os.path.join(target_dir(), "dist", "squall")

    def command(self, load):
        path, out = os.path.join(load.folder, "plan.yaml"), os.path.join(load.folder, "out")
        with open(path, "w") as file:
            file.write(_example(load.journey) if load.journey == "authenticated" else json.dumps(_plan(load)))
        return [self.binary, "run", path, "--target", load.url, "--users", str(load.users),
                "--duration", f"{load.seconds}s", "--generators", "1", "--out", out, "--output", "json",
                "--progress", "none"]

    def environment(self, load):
        return {"SSL_CERT_FILE": load.certificate} if load.certificate else {}

    def requests(self, run):
        if not run.output:
            raise Failed(run.why())
        result = json.loads(run.output.splitlines()[-1])["result"]
        if result["totals"]["errors"] or run.exit_code:
            reasons = ", ".join(result["verdict"]["reasons"]) or result["verdict"]["outcome"]
            raise Failed(f"{reasons}; outcomes {result['outcomes']}")
        return result["totals"]["requests"]


def _example(name):
    """A plan of the documentation, without its pauses."""
    with open(os.path.join(ROOT, "docs", "examples", f"{name}.yaml")) as file:
        return "".join(line for line in file if not line.lstrip().startswith("think:"))


def _plan(load):
    http = {}
    if load.certificate:
        http["roots"] = "platform"
    if load.http2:
        http["version"] = "http2"
    return {
        "target": load.url,
        "http": http,
        "load": {"users": load.users, "duration": f"{load.seconds}s"},
        "scenarios": {load.journey: JOURNEYS[load.journey]},
    }
