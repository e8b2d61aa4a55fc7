"""What it takes to decode and merge the snapshots of a large fleet: one interval of it on one core, and the memory of a
whole run."""

import json
import os
import subprocess

from .machine import ROOT, measured, target_dir


def merge(_options):
    """Measures both, and prints what came of it."""
    build = ["cargo", "build", "--release", "--package", "squall-metrics", "--example", "fleet_merge"]
    subprocess.check_call(build, cwd=ROOT)
    interval, run = figures("interval"), figures("run")
    print(f"{interval['generators']:,} generators × {interval['endpoints']} endpoints, one interval: decoded and merged in "
          f"{interval['processor_s']:.2f} s of a core (goal 1.5), {interval['us_per_snapshot']:.0f} µs and "
          f"{interval['snapshot_bytes'] / 1e3:.1f} kB a snapshot of {interval['requests_per_snapshot']} requests")
    print(f"15 minutes of {run['generators']:,} generators, {run['snapshots']:,} snapshots: {run['peak_mb']} MB at most "
          f"(goal 500), {run['processor_s']:.0f} s of a core")
    return {"interval": interval, "run": run}


def figures(mode):
    """What the example prints. Most of its time goes into making the snapshots."""
    program = os.path.join(target_dir(), "release", "examples", "fleet_merge")
    return json.loads(measured([program, mode], patience_s=1_800).output)
