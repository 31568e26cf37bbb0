"""What the commands that take no absl flags say of themselves."""

SHOW = """\
tf-compleak show: the state of every stage of a workdir: done, failed, or to do, and why.

Usage:
  tf-compleak show WORKDIR             sizes of all files are checked
  tf-compleak show WORKDIR --verify    every file is read and its SHA-256 compared

What a run would do after a change of flags: tf-compleak run ... --dry_run
"""

TENSORBOARD = """\
tf-compleak tensorboard: the figures of one or more workdirs as TensorBoard runs: scalars (MI/...),
training curves, and HParams: the settings in which the studies differ, beside their leading rows.

Usage:
  tf-compleak tensorboard WORKDIR... --logdir=DIR
  tensorboard --logdir=DIR
"""

COMPARE = """\
tf-compleak compare: does this release leak more than the last one? Rows of the same attack on the
same release of versions are held against each other: paired where both reports have the scores of
the same examples, else as independent samples, from both intervals.

Usage:
  tf-compleak compare A B                                  workdirs, or their report.json
  tf-compleak compare last this --fail_if='worse:tpr@0.01,worse:auc'      a gate for CI
  tf-compleak compare last this --json                     the same as JSON

The intervals of a metric hold for all its rows together. --fail_if: exit code 3 where an interval
lies wholly above 0, and where something could not be compared (a void report, other data, a row
that only B has, a figure that is not measurable).
Exit codes: 0 done, 2 bad input, 3 --fail_if is met, 4 a report is void.
"""

SERVE = """\
tf-compleak serve: a page of this machine that lists studies with their state and their reports, and
asks again while one runs.

Usage:
  tf-compleak serve WORKDIR...                 prints the URL; ends with Ctrl-C
  tf-compleak serve runs/* --port=8765         a port of your choice; by default any that is free

It listens on 127.0.0.1 only. The URL holds a random token: who has it, sees the reports. To look
from another machine: ssh -L 8765:127.0.0.1:8765 HOST.
"""
