"""The training curve of a family: a table, and scalars that TensorBoard shows."""

import csv
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from tf_compleak.models.trainer import Epoch

COLUMNS = ("epoch", "loss", "accuracy", "validation_accuracy", "learning_rate", "seconds")


def write(folder: Path, history: Sequence[tuple[Epoch, float]]) -> None:
    """`curve.csv` and an event file in `folder`, from every epoch and its validation accuracy."""
    rows = [
        (epoch.index, epoch.loss, epoch.accuracy, validated, epoch.learning_rate, epoch.seconds)
        for epoch, validated in history
    ]
    with open(folder / "curve.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    with tf.summary.create_file_writer(str(folder)).as_default():
        for index, *values in rows:
            for name, value in zip(COLUMNS[1:], values, strict=True):
                tf.summary.scalar(name, value, step=index)
