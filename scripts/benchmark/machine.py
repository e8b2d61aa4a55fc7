"""Programs on this machine: on their processor, measured, and ended by their ids."""

import contextlib
import functools
import json
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

GENERATORS_CPU = 0
TARGETS_CPU = 1


class Unavailable(Exception):
    """Something cannot be installed here; the text says why."""


class Failed(Exception):
    """A run came to nothing; the text says why."""


@dataclass(frozen=True)
class Run:
    """What a program printed, how it ended, and what it cost."""

    output: str
    errors: str
    exit_code: int
    cpu_s: float
    rss_kb: int
    # What others took of the generators' processor meanwhile, from 0 to 1.
    disturbance: float

    def why(self):
        """The line of its messages that tells most: the first that speaks of an error, or the first of all."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()]
        return (telling or lines or [f"exit code {self.exit_code}"])[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(cpu, command):
    """The command on one processor, where there are several."""
    if os.cpu_count() > 1 and shutil.which("taskset"):
        return ["taskset", "-c", str(cpu), *command]
    return command


def measured(command, environment=None, patience_s=120):
    """Runs a command on the generators' processor. It is killed when patience ends."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin, busy_s = time.monotonic(), _busy_s(GENERATORS_CPU)
        process = subprocess.Popen(
            pinned(GENERATORS_CPU, command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
            env={**os.environ, **(environment or {})},
        )
        try:
            status, usage, peak_kb = _awaited(process.pid, time.monotonic() + patience_s)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        cpu_s = usage.ru_utime + usage.ru_stime
        others_s = max(_busy_s(GENERATORS_CPU) - busy_s - cpu_s, 0)
        return Run(
            output=_text(output), errors=_text(errors), exit_code=process.returncode, cpu_s=cpu_s,
            rss_kb=_peak(usage, peak_kb), disturbance=others_s / (time.monotonic() - begin),
        )


def _awaited(pid, deadline):
    """Waits for a process and looks at its memory meanwhile: its status, its usage, the peak that was seen."""
    peak_kb = 0
    while time.monotonic() < deadline:
        peak_kb = max(peak_kb, _high_water_kb(pid))
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, peak_kb
        time.sleep(0.02)
    raise Failed("it did not end in time, and was killed")


def _busy_s(cpu):
    """How long a processor has worked for programs since the machine started; 0 where that cannot be known."""
    try:
        with open("/proc/stat") as file:
            line = next((line for line in file if line.startswith(f"cpu{cpu} ")), None)
    except OSError:
        return 0
    if not line:
        return 0
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def _high_water_kb(pid):
    """The most memory that a process had since its exec; 0 where that cannot be known, as after its end."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def _peak(usage, seen_kb):
    """The peak of a process's memory. The kernel's own figure is exact, but begins before the exec with the memory of
    this program; what is not above that is better taken from what was seen."""
    own_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss if usage.ru_maxrss > own_kb or not seen_kb else seen_kb


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def allow_open_files(wanted):
    """Raises the limit of open files as far as it may be raised, and says what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < wanted:
        # Only root may.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
            hard = wanted
    allowed = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def debian(program, package):
    """Sees to it that a program of a Debian package is there."""
    if shutil.which(program):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"install Debian's package {package}")
    _update()
    if subprocess.run(["apt-get", "install", "-q", "-y", package], stdout=subprocess.DEVNULL).returncode:
        raise Unavailable(f"Debian's package {package} cannot be installed")


@functools.cache
def _update():
    subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL)


@functools.cache
def target_dir():
    metadata = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT)
    return json.loads(metadata)["target_directory"]
