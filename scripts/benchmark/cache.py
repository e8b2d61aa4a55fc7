"""Where peers are installed: once for each pinned version, outside the repository."""

import hashlib
import os
import shutil
import subprocess
import sys

from .machine import Unavailable

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


class Cache:
    """Folders named after what pins their content, so that a new pin is a new folder and leaves the others alone."""

    def __init__(self):
        self.home = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "squall")

    def built(self, package):
        """A program of ours beside this file. Always built: the sources may have changed, and cargo knows."""
        folder = self._folder("peers", _content("Cargo.lock"))
        program = os.path.join(folder, "release", package)
        if not os.path.exists(program):
            print(f"building {package}", file=sys.stderr)
        _run(package, folder, [
            "cargo", "build", "--release", "--locked", "--manifest-path", os.path.join(PEERS, "Cargo.toml"),
            "--target-dir", folder, "--package", package,
        ])
        return program

    def installed(self, crate, version):
        """A program of crates.io."""
        folder = self._folder(crate, version.encode())
        _once(crate, folder, [
            "cargo", "install", crate, "--version", version, "--locked", "--root", folder,
            "--target-dir", os.path.join(folder, "target"),
        ])
        return os.path.join(folder, "bin", crate)

    def from_pip(self, program, requirements):
        """A program of PyPI, in an environment of its own: another one's trouble is not its trouble."""
        folder = self._folder(program, _content(requirements))
        pip = os.path.join(folder, "bin", "pip")
        _once(f"{program}-venv", folder, [sys.executable, "-m", "venv", folder])
        _once(program, folder, [
            pip, "install", "--quiet", "--disable-pip-version-check", "-r", os.path.join(PEERS, requirements),
        ])
        return os.path.join(folder, "bin", program)

    def from_npm(self, package):
        """The entry of a package of npm, for node. No script of any package is run."""
        folder = self._folder(package, _content("package.json"))
        os.makedirs(folder, exist_ok=True)
        shutil.copy(os.path.join(PEERS, "package.json"), folder)
        _once(package, folder, [
            "npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock",
        ])
        return os.path.join(folder, "node_modules", package, "bin", "run")

    def _folder(self, name, pin):
        return os.path.join(self.home, f"bench-{name}-{hashlib.sha256(pin).hexdigest()[:16]}")


def _content(name):
    with open(os.path.join(PEERS, name), "rb") as file:
        return file.read()


def _once(name, folder, command):
    """Installs something unless a mark says that it is there completely."""
    mark = os.path.join(folder, f"{name}.complete")
    if not os.path.exists(mark):
        print(f"installing {name} (once)", file=sys.stderr)
        _run(name, folder, command)
        open(mark, "w").close()


def _run(name, folder, command):
    """Runs an installer; what it says is kept beside what it installs."""
    if not shutil.which(command[0]):
        raise Unavailable(f"there is no {os.path.basename(command[0])}")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.log")
    with open(path, "w") as log:
        done = subprocess.run(command, cwd=PEERS, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode:
        raise Unavailable(f"its installation failed; the log is {path}")
