"""A hostile file, as a row of a table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watch import Watch

LIMIT = 30.0  # seconds: --time_limit of these tests
DENIED = "not permitted|denied"  # by the walls


@dataclass(frozen=True)
class Row:
    """A hostile file.

    Attributes:
      name: what it tries; make: makes it, given what to attack; limit: seconds.
      seen: words of the line that it is refused with, "" where it is opened without harm.
      walls: the same where the lists are off, words apart by "|", of which one is seen; None where
        that is not tried. `DENIED` and other words of the system show that the attack was reached
        and the walls stopped it; `CANNOT`, `STOPS`, `KERAS_TOO` and "" show only that nothing
        happens: Keras or TensorFlow gives up before the attack, or leaves it out.
    """

    name: str
    make: Callable[[Watch], Path]
    seen: str
    walls: str | None = None
    limit: float = LIMIT
