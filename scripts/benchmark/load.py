"""What one run asks of a generator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """So many users for so many seconds, each on a connection of its own.

    `journey` is what they do: `plain` GETs without pauses, the scripted `journey`, the guide's `authenticated` one, or one GET
    and a long `wait`.
    `certificate` is the file of the authority to trust, if the URL is one of TLS.
    """

    journey: str
    url: str
    users: int
    seconds: int
    folder: str
    http2: bool = False
    certificate: str | None = None
