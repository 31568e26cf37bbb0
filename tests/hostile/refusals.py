"""How a hostile file is refused: in one line."""

import pytest


def refused(work, message, kind=(ValueError, OSError)) -> str:
    """The one line that `work` ends with."""
    with pytest.raises(kind, match=message) as caught:
        work()
    line = str(caught.value)
    assert "\n" not in line and len(line) < 1000
    return line
