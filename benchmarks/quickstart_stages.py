"""Where does the time of the quickstart go?

    python benchmarks/quickstart_stages.py [--workers=2] [--write]

Runs the shipped quickstart study in a temporary folder and prints the time of each part: wall time
of the whole, and the seconds that its tasks took on the workers, summed by kind.
"""

import collections
import tempfile
import time

from absl import app, flags
from results import write_section
from studies import kind, quickstart

FLAGS = flags.FLAGS
flags.DEFINE_integer("workers", 0, "processes; 0: one per core")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")


class Clock:
    """Adds up what the pipeline tells: the time from one end of a task to the next."""

    def __init__(self):
        self.start = time.perf_counter()
        self.seconds = collections.Counter()
        self.count = collections.Counter()
        self.ended = self.start

    def tell(self, task, done, total, text):
        """Note when a task ends."""
        if done == total == 1:
            now = time.perf_counter()
            self.seconds[kind(task)] += now - self.ended
            self.count[kind(task)] += 1
            self.ended = now


def main(_):
    """Run the quickstart once, print the table."""
    from tf_compleak.report import html
    from tf_compleak.studies.options import Options
    from tf_compleak.studies.run.pipeline import run

    study = quickstart()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        report = run(study, Options(workdir=folder, workers=FLAGS.workers), clock.tell)
    figures = time.perf_counter()
    html.render(report)
    end = time.perf_counter()
    clock.seconds["figures with intervals"] = figures - clock.ended
    clock.seconds["report page"] = end - figures
    lines = ["| part | tasks | seconds | share |", "|---|---|---|---|"]
    for name, seconds in clock.seconds.most_common():
        share = seconds / (end - clock.start)
        lines.append(f"| {name} | {clock.count[name] or ''} | {seconds:.1f} | {share:.0%} |")
    lines.append(f"| whole, wall | | {end - clock.start:.1f} | 100% |")
    text = "\n".join(lines)
    print(text)
    note = (
        "Seconds between one task's end and the next, whichever worker ran it: they add up to the "
        "wall time. Loading TensorFlow is in the first task of each worker."
    )
    if FLAGS.write:
        write_section("quickstart_stages.py", f"{text}\n\n{note}")


if __name__ == "__main__":
    app.run(main)
