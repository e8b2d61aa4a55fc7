"""Memory of users that have sent one request and wait for the next, beyond what one user needs."""

import sys

from .load import Load
from .machine import Failed, allow_open_files
from .scenarios import one_run
from .target import Nginx

# More of the others' users would take longer to start than they are worth.
MOST_OF_OTHERS = 1000
# Files that a generator, and nginx, have open beside their connections.
OTHER_FILES = 200


class Waiting:
    """The table of it."""

    name = "waiting"
    title = "waiting users"

    def takes(self, peer):
        return "wait" in peer.can

    def rows(self, peers, options, folder):
        most = max(options.waiting)
        allowed = allow_open_files(most + OTHER_FILES)
        rows = []
        with Nginx(folder, connections=max(16384, most + OTHER_FILES)) as target:
            for peer in filter(self.takes, peers):
                counts = [users for users in options.waiting if peer.name == "squall" or users <= MOST_OF_OTHERS]
                rows += _rows(peer, counts, allowed, target)
        return rows

    def remarks(self, _rows):
        """Memory does not depend on who else is on the machine."""
        return []

    def heads(self):
        return ["generator", "users", "max RSS", "KB/user"]

    def cells(self, row):
        """A row as it is printed."""
        return [row["generator"], f"{row['users']:,}", f"{row['max_rss_mb']:.1f} MB", f"{row['kb_per_user']:.1f}"]


def _rows(peer, counts, allowed, target):
    """The rows of a generator; without the memory of one user there is only one, which says why."""
    try:
        one_kb = _memory_kb(peer, 1, target)
    except Failed as failure:
        return [{"generator": peer.name, "users": 1, "failed": str(failure)}]
    return [_row(peer, users, one_kb, allowed, target) for users in counts]


def _row(peer, users, one_kb, allowed, target):
    row = {"generator": peer.name, "users": users}
    try:
        if users + OTHER_FILES > allowed:
            raise Failed(f"only {allowed:,} open files are allowed here (ulimit -Hn)")
        memory_kb = _memory_kb(peer, users, target)
    except Failed as failure:
        return {**row, "failed": str(failure)}
    return {**row, "max_rss_mb": memory_kb / 1024, "kb_per_user": (memory_kb - one_kb) / max(users - 1, 1)}


def _memory_kb(peer, users, target):
    print(f"waiting: {peer.name}, {users:,} users", file=sys.stderr)
    # Enough for every user to start and to get its answer.
    load = Load("wait", target.url("http"), users, 4 + users // 2000, target.folder)
    run = one_run(peer, load)
    if run["requests"] != users:
        raise Failed(f"{run['requests']:,} requests of {users:,} users")
    return run["rss_kb"]
