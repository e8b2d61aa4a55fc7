"""Which generators stand beside each other."""

import sys
from dataclasses import dataclass

from .cache import Cache
from .machine import Unavailable
from .peers import all_peers
from .squall import Squall

QUICK = ("wrk", "hyper", "h2load", "squall")


def names():
    """Everything that can be asked for, in the order of the tables."""
    return [*(peer.name for peer in all_peers()), "squall"]


def chosen(asked, squall):
    """The generators that were asked for by name, by `locust` for both of its clients, or by `all`."""
    both = {"locust-fast": "locust", "locust-http": "locust"}
    return [
        peer for peer in [*all_peers(), squall]
        if "all" in asked or peer.name in asked or both.get(peer.name) in asked
    ]


@dataclass(frozen=True)
class Lineup:
    """The generators that are here, and those that cannot be had, with the reasons."""

    peers: list
    missing: list

    @property
    def reasons(self):
        return {peer.name: reason for peer, reason in self.missing}

    def missing_in(self, tables):
        """Those that would have had rows in one of the tables."""
        return [peer.name for peer, _ in self.missing if takes_part(peer, tables)]


def takes_part(peer, tables):
    return any(table.takes(peer) for table in tables)


def install(asked, tables, options):
    """Installs the generators that have something to do in one of the tables."""
    cache = Cache()
    peers, missing = [], []
    for peer in chosen(asked, Squall(options.squall, build=not options.no_build)):
        if not takes_part(peer, tables):
            continue
        try:
            peer.install(cache)
            peers.append(peer)
        except Unavailable as reason:
            print(f"{peer.name} is not available here: {reason}", file=sys.stderr)
            missing.append((peer, str(reason)))
    return Lineup(peers, missing)
