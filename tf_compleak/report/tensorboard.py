"""Reports as TensorBoard runs: scalars `MI/...`, training curves, and the HParams of a grid.

Written with TensorFlow's own summary writer; each study of a grid is one run of the log folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tf_compleak.report.frame import KINDS
from tf_compleak.types.findings import Findings, Result
from tf_compleak.types.versions import release_text

TIERS = ("NR", "SR", "MR")
ACCURACIES = ("member_accuracy", "non_member_accuracy", "validation_accuracy", "relative_loss")
Curve = Sequence[Mapping[str, float]]  # one dict an epoch


def scalars(report: Findings) -> dict[str, float]:
    """Every measurable figure of a report, by tag.

    `MI/RELEASE/ATTACK/auc` and so on for every row; `MI/NR/auc` and so on for a tier's leading row.
    """
    tagged = {}
    for row in report.results:
        tagged |= _figures(f"MI/{release_text(row.release)}/{row.attack}", row)
    for tier in TIERS:
        if best := report.leading(tier):
            tagged |= _figures(f"MI/{tier}", best)
    for version in report.versions:
        for name in ACCURACIES:
            figure = getattr(version, name)
            if figure is not None and figure.measurable:
                tagged[f"versions/{version.name}/{name}"] = figure.value
    return tagged


def _figures(prefix: str, row: Result) -> dict[str, float]:
    named = {
        "auc": row.auc,
        "advantage": row.advantage,
        "balanced_accuracy": row.accuracy,
        "auc_gain": row.auc_gain,
        **{f"tpr_at_fpr_{rate}": figure for rate, figure in row.tpr_at_fpr.items()},
    }
    for kind in KINDS:
        if gain := getattr(row, kind):
            named[f"{kind}_auc"] = gain.auc
            for rate, figure in gain.tpr_at_fpr.items():
                named[f"{kind}_tpr_at_fpr_{rate}"] = figure
    return {
        f"{prefix}/{name}": figure.value
        for name, figure in named.items()
        if figure is not None and figure.measurable
    }


def hparams(reports: Mapping[str, Findings]) -> dict[str, dict[str, str | float | bool]]:
    """The settings of each study that are not the same in all of them, by run; all if there is one.

    Lists are joined by commas.
    """
    plain = {
        run: {key: _plain(value) for key, value in report.study.items()}
        for run, report in reports.items()
    }
    keys = dict.fromkeys(key for settings in plain.values() for key in settings)
    chosen = [
        key
        for key in keys
        if len(reports) == 1 or len({str(settings.get(key)) for settings in plain.values()}) > 1
    ]
    return {run: {key: settings.get(key, "") for key in chosen} for run, settings in plain.items()}


def _plain(value) -> str | float | bool:
    if isinstance(value, (bool, int, float, str)):
        return value
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def write(
    reports: Mapping[str, Findings],
    logdir: str | os.PathLike,
    curves: Mapping[str, Mapping[str, Curve]] | None = None,
) -> None:
    """Write a run for each report.

    Args:
      reports: by the name of the run.
      curves: by run, then by family: "epoch" and the figures of every epoch of its training.

    Raises:
      ValueError: in one line, where TensorBoard is not installed.
      OSError: in one line, where the log folder cannot be made or written.
    """
    try:
        os.makedirs(logdir, exist_ok=True)  # before TensorFlow is loaded, which takes seconds
    except OSError as error:
        raise _refusal(logdir, error) from error
    try:
        import tensorflow as tf
        from tensorboard.plugins.hparams import api as hp
    except ImportError as error:
        raise ValueError("TensorBoard is not installed; pip install tensorboard.") from error
    try:
        _write(tf, hp, reports, logdir, curves or {})
    except (OSError, tf.errors.OpError) as error:
        raise _refusal(logdir, error) from error


def _refusal(logdir: str | os.PathLike, error: Exception) -> OSError:
    reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
    reason = " ".join(str(reason).split())[:200]
    return OSError(f"--logdir={logdir}: cannot be made or written ({reason}); name another folder.")


def _write(tf, hp, reports: Mapping[str, Findings], logdir, curves) -> None:
    tagged = {run: scalars(report) for run, report in reports.items()}
    settings = hparams(reports)
    with tf.summary.create_file_writer(os.fspath(logdir)).as_default():
        tags = sorted(
            {tag for values in tagged.values() for tag in values if tag.split("/")[1] in TIERS}
        )
        keys = next(iter(settings.values()))
        hp.hparams_config([hp.HParam(key) for key in keys], [hp.Metric(tag) for tag in tags])
    for run, values in tagged.items():
        with tf.summary.create_file_writer(os.path.join(logdir, run)).as_default():
            hp.hparams(settings[run], trial_id=run)
            for tag, value in values.items():
                tf.summary.scalar(tag, value, step=0)
            for family, epochs in (curves.get(run) or {}).items():
                _write_curve(tf, family, epochs)


def _write_curve(tf, family: str, epochs: Curve) -> None:
    for epoch in epochs:
        for name, value in epoch.items():
            if name != "epoch":
                tf.summary.scalar(f"training/{family}/{name}", value, step=int(epoch["epoch"]))
