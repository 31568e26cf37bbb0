"""How work says how far it has come: one callback for all of it.

Tell(task, done, total, text); see `engine.journal` for what its numbers mean. A task is given
`Progress(done, total, text)`, which passes it on under the task's name.
"""

from collections.abc import Callable

Tell = Callable[[str, int, int, str], None]
Progress = Callable[..., None]  # done, total, text ("" where there is nothing to say)


def silent(task: str, done: int, total: int, text: str) -> None:
    """A `Tell` that nobody hears."""
