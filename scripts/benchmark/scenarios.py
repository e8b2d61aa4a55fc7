"""CPU per request of each generator, beside the others in the same rounds.

CPU time is user + system of the generator's process. It depends little on how fast the target is, and its ratio within
a round survives a noisy machine, so ratios are medians of the rounds' ratios. They do not survive all noise: who shares
a processor loses its caches, and wrk has the least to lose. Therefore a table says when others took much of the
generators' processor. CPU time is taken from the process's start to its end: what a generator needs to start is in it,
and in short runs of slow starters it is much of it.
"""

import statistics
import sys
from dataclasses import dataclass, field

from .load import Load
from .machine import Failed, measured
from .report import title
from .target import Nginx

# What others may take of the generators' processor without being mentioned.
MOST_DISTURBANCE = 0.1


@dataclass(frozen=True)
class Scenario:
    """A table: what is sent, on which of the target's ports, and which generators the others are compared with."""

    name: str
    title: str
    way: str
    bases: tuple
    journey: str = "plain"

    def takes(self, peer):
        """Whether a generator has a row: the bases of a journey have one, too, for what a plain GET costs now."""
        return self.name in peer.can or (self.journey != "plain" and peer.name in self.bases)

    def rows(self, peers, options, folder):
        """Runs the rounds, and makes a row of each generator's."""
        entries = [Entry(peer, self) for peer in peers if self.takes(peer)]
        with Nginx(folder) as target:
            for number in range(1, options.rounds + 1):
                for entry in (entry for entry in entries if not entry.failed):
                    print(f"{self.name}, round {number} of {options.rounds}: {entry.peer.name}", file=sys.stderr)
                    entry.run(entry.load(target, options))
        return [entry.row(entries, options.seconds) for entry in entries]

    def remarks(self, rows):
        """What one should know before believing the rows."""
        disturbance = max((one["disturbance"] for row in rows for one in row.get("rounds", [])), default=0)
        if disturbance < MOST_DISTURBANCE:
            return []
        return [f"disturbed: other programs took up to {disturbance:.0%} of the generators' processor in a run"]

    def heads(self):
        return ["generator", "CPU µs/request", *(f"ratio to {title(base)}" for base in self.bases), "requests/s",
                "requests/CPU s", "max RSS"]

    def cells(self, row):
        """A row as it is printed."""
        ratios = [f"{row['ratios'][base]:.2f}" if base in row["ratios"] else "–" for base in self.bases]
        return [
            title(row["generator"]) + (", plain GET" if row["is_reference"] else ""),
            f"{row['cpu_us_per_request']:.1f}", *ratios, f"{row['requests_per_second']:,.0f}",
            f"{row['requests_per_cpu_second']:,.0f}", f"{row['max_rss_mb']:.1f} MB",
        ]


@dataclass
class Entry:
    """A generator in a scenario, and what its rounds came to: one that failed is not asked again."""

    peer: object
    scenario: Scenario
    rounds: list = field(default_factory=list)
    failed: str = ""

    @property
    def is_reference(self):
        """Whether it only says what a plain GET costs now, for it knows no journeys."""
        return self.scenario.name not in self.peer.can

    def load(self, target, options):
        return Load(
            journey="plain" if self.is_reference else self.scenario.journey,
            url=target.url(self.scenario.way), users=options.connections, seconds=options.seconds,
            folder=target.folder, http2=self.scenario.way in ("http2", "h2c"),
            certificate=target.certificate if self.scenario.way in ("tls", "http2") else None,
        )

    def run(self, load):
        try:
            self.rounds.append(one_run(self.peer, load))
        except Failed as failure:
            self.failed = str(failure)

    def row(self, entries, seconds):
        if self.failed:
            return {"generator": self.peer.name, "failed": self.failed}
        others = {entry.peer.name: entry for entry in entries if not entry.failed}
        each = costs(self.rounds)
        return {
            "generator": self.peer.name,
            "is_reference": self.is_reference,
            "cpu_us_per_request": statistics.median(each) * 1e6,
            "ratios": {
                base: ratio(self.rounds, others[base].rounds) for base in self.scenario.bases if base in others
            },
            "requests_per_second": statistics.median(one["requests"] / seconds for one in self.rounds),
            "requests_per_cpu_second": statistics.median(1 / cost for cost in each),
            "max_rss_mb": max(one["rss_kb"] for one in self.rounds) / 1024,
            "rounds": self.rounds,
        }


def one_run(peer, load):
    """The requests of a run, and what it cost."""
    run = measured(peer.command(load), peer.environment(load), patience_s=60 + 10 * load.seconds)
    try:
        requests = peer.requests(run)
    except (ValueError, LookupError, OSError) as error:
        raise Failed(f"what it said cannot be read: {error}") from error
    if not requests:
        raise Failed("it made no request")
    return {"requests": requests, "cpu_s": run.cpu_s, "rss_kb": run.rss_kb, "disturbance": run.disturbance}


def costs(rounds):
    """CPU seconds per request, round by round."""
    return [one["cpu_s"] / one["requests"] for one in rounds]


def ratio(own, base):
    """How many times as much as another generator's requests these cost: the median of the rounds."""
    return statistics.median(one / other for one, other in zip(costs(own), costs(base)))


SCENARIOS = [
    Scenario("plain", "plain GET", "http", ("wrk", "hyper")),
    Scenario("journey", "scripted journey: login, template, JSON capture, expectation", "http", ("wrk", "hyper"),
             journey="journey"),
    Scenario("authenticated", "authenticated.yaml of docs/examples, without its pauses", "http", ("wrk",),
             journey="authenticated"),
    Scenario("tls", "GET over TLS, HTTP/1.1", "tls", ("wrk",)),
    Scenario("http2", "GET over HTTP/2 with TLS, a connection a user", "http2", ("h2load",)),
    Scenario("h2c", "GET over HTTP/2 without TLS, a connection a user", "h2c", ("h2load",)),
]
