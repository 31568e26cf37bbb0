"""Before attacking: do the answers make sense? Kinds of output, labels, accuracy, agreement."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import special

from tf_compleak.data.sides import Side
from tf_compleak.inference import prepare
from tf_compleak.studies.audit.open_model import Asking, Opened
from tf_compleak.studies.audit.query import Answers, Family
from tf_compleak.types import Output
from tf_compleak.types.outputs import resolution

SAMPLE = 4096
TRIED = 256
LEVEL = 0.999  # certainty that a version is better than guessing


class Confidences(NamedTuple):
    """What a version of a family says: probabilities f32[N, C], members first, and their step."""

    probabilities: np.ndarray
    step: float
    kind: Output


def confidences(answers: Answers, outputs: str) -> Confidences:
    """Outputs as probabilities; whether they are logits is decided once, from a sample.

    Args:
      outputs: "probabilities", "logits", or "auto" to decide.
    """
    together = np.concatenate(answers.outputs)
    sample = together[:: max(1, len(together) // SAMPLE)]
    kind = prepare.decide(sample, answers.step) if outputs == "auto" else outputs
    step = 0.0
    if kind == "probabilities":
        step = answers.step or resolution(sample)
    return Confidences(prepare.probabilities(together, kind), step, kind)


def labels_of(family: Family, offset: int, classes: int, version: str) -> np.ndarray:
    """int64[N] labels of both sides, members first, as numbers of the outputs."""
    for side in family.sides:
        _check_labels(side, offset, classes, version)
    return np.concatenate([side.labels for side in family.sides]) + offset


def _check_labels(side: Side, offset: int, classes: int, version: str) -> None:
    if not len(side):
        return
    low, high = side.labels.min(), side.labels.max()
    if low + offset < 0 or high + offset >= classes:
        raise ValueError(
            f"{side.where}: labels lie in {low}..{high}, version {version} has {classes} outputs "
            f"(0..{classes - 1}); mend the labels or shift them by --label_offset."
        )


def same_classes(confidences: dict[str, Confidences], family: str) -> int:
    """C, which all versions must share."""
    counts = {name: said.probabilities.shape[1] for name, said in confidences.items()}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(
            f"--versions: numbers of classes differ in the {family} ({text}); versions of one "
            "model are needed."
        )
    return next(iter(counts.values()))


def guessing(labels: np.ndarray) -> float:
    """Accuracy of always naming the most common class."""
    return float(np.bincount(labels).max() / len(labels))


def beats_guessing(right: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the share of `right` is above guessing, with certainty `LEVEL` (Clopper-Pearson)."""
    hits, n = int(right.sum()), len(right)
    low = special.betaincinv(hits, n - hits + 1, 1 - LEVEL) if hits else 0.0
    return bool(low > guessing(labels))


def refuse_chance(
    name: str, said: Confidences, labels: np.ndarray, family: Family, asking: Asking, offset: int
) -> None:
    """ValueError when a version does no better than guessing, saying which settings would."""
    right = said.probabilities.argmax(axis=1) == labels
    if beats_guessing(right, labels):
        return
    raise ValueError(
        f"version {name}: its accuracy on members and non-members, {right.mean():.3f} "
        f"(n = {len(right)}), is no better than guessing ({guessing(labels):.3f}); inputs or "
        f"labels are not as it takes them. {_hint(name, said, labels, family, asking, offset)}"
        "Set --preprocess, --label_offset or --output, or pass --force."
    )


def _hint(name, said: Confidences, labels, family: Family, asking: Asking, offset: int) -> str:
    """Settings that would do better on a sample of the known non-members, where there are any."""
    outside = slice(len(family.sides[0]), None)
    named, labels = said.probabilities[outside].argmax(axis=1), labels[outside]
    tried = {("--label_offset", offset + shift): named == labels + shift for shift in (1, -1)}
    version = family.versions[name]
    if isinstance(version, str):
        rows = np.random.default_rng(0).permutation(len(family.sides[1]))[:TRIED]
        sample = family.sides[1].take(np.sort(rows))
        with contextlib.suppress(ValueError):
            for how, answer in _asked_anew(version, sample, asking).items():
                for shift in (0, 1, -1):
                    key = ("--preprocess", how if not shift else f"{how} --label_offset={shift}")
                    tried[key] = answer == sample.labels + shift
    best = max(tried, key=lambda key: tried[key].mean())
    if not beats_guessing(tried[best], labels):
        return ""
    right = tried[best]
    return (
        f"With {best[0]}={best[1]} it is {right.mean():.3f} on known non-members "
        f"(n = {len(right)}). "
    )


def _asked_anew(path: str, sample: Side, asking: Asking) -> dict[str, np.ndarray]:
    """int64[N] classes that a file names for a sample, by how its inputs are prepared."""
    named = {}
    for how in prepare.PREPROCESSES[1:]:
        opened = Opened(path, dataclasses.replace(asking, preprocess=how), (sample,))
        try:
            with contextlib.suppress(ValueError):
                named[how] = opened.ask(sample, 0, len(sample)).argmax(axis=1)
        finally:
            opened.close()
    return named


def agreement(first: Confidences, other: Confidences) -> np.ndarray:
    """bool[N]: where two versions name the same class."""
    return first.probabilities.argmax(axis=1) == other.probabilities.argmax(axis=1)


def notes(answers: Answers, confidences: Confidences) -> tuple[str, ...]:
    """Facts of a version that a reader should know."""
    facts = answers.facts
    lines = [f"outputs read as {confidences.kind}"]
    if facts.get("preprocess"):
        lines.append(f"inputs prepared as {facts['preprocess']}")
    if facts.get("metadata"):
        lines.append(f"the file says of its inputs: {facts['metadata']}")
    if facts.get("batch"):
        lines.append(f"asked {facts['batch']} at a time")
    return tuple(lines)
