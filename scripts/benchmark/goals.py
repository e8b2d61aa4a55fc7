"""Whether the figures are what they shall be. A goal that is missed is told, and fails nothing: timings never do."""

from dataclasses import dataclass

from .scenarios import ratio


@dataclass(frozen=True)
class Ratio:
    """What a request of squall may cost, in requests of a peer in the same rounds."""

    scenario: str
    peer: str
    most: float

    def __str__(self):
        return f"{self.scenario}: at most {self.most} × {self.peer}"

    def figure(self, figures):
        rounds = {row["generator"]: row.get("rounds") for row in figures.get(self.scenario, [])}
        own, other = rounds.get("squall"), rounds.get(self.peer)
        return ratio(own, other) if own and other else None


@dataclass(frozen=True)
class Memory:
    """What each of so many waiting users may need."""

    users: int
    most: float

    def __str__(self):
        return f"{self.users:,} waiting users: at most {self.most} KB each"

    def figure(self, figures):
        own = [row for row in figures.get("waiting", []) if row["generator"] == "squall"]
        return next((row.get("kb_per_user") for row in own if row["users"] == self.users), None)


GOALS = [
    Ratio("plain", "hyper", 1.15),
    Ratio("plain", "wrk", 1.4),
    Ratio("journey", "wrk", 2.0),
    Ratio("journey", "k6", 0.1),
    Ratio("authenticated", "wrk", 2.5),
    Memory(1_000, 20),
    Memory(10_000, 20),
]


def judged(figures):
    """Each goal with its figure and what became of it."""
    verdicts = []
    for goal in GOALS:
        figure = goal.figure(figures)
        verdict = "not measured" if figure is None else "goal met" if figure <= goal.most else "goal missed"
        verdicts.append({"goal": str(goal), "figure": figure, "verdict": verdict})
    return verdicts
