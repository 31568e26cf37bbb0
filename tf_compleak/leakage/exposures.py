"""Exposures: what of its confidences an app shows, and so what an attacker sees.

full            every confidence
topK            the K highest, with their classes; the rest is spread evenly over the others
label           the class with the highest confidence, nothing else
round:D         confidences rounded to D decimals
temperature:T   confidences of the logits divided by T
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_compleak.types import validators
from tf_compleak.types.observations import Observations

Shown = tuple[np.ndarray, float]
FULL = "full"
NAMES = (FULL, "top1", "top3", "label", "round:2", "temperature:2")


@dataclass(frozen=True)
class Exposure:
    """One way of showing confidences; `show(probabilities f32[N, C], step)` gives both changed."""

    name: str
    show: Callable[[np.ndarray, float], Shown]


def parse(text: str) -> Exposure:
    """The exposure of a name; ValueError for an unknown one or a number out of range."""
    if text == FULL:
        return Exposure(text, lambda p, step: (p, step))
    if text == "label":
        return Exposure(text, lambda p, step: (_only_label(p), 0.0))
    if match := re.fullmatch(r"top(\d+)", text):
        count = int(validators.between(f"--exposure={text}", int(match[1]), 1, 1000))
        return Exposure(text, lambda p, step: (_top(p, count), step))
    if match := re.fullmatch(r"round:(\d+)", text):
        decimals = int(validators.between(f"--exposure={text}", int(match[1]), 1, 6))
        return Exposure(text, lambda p, step: _rounded(p, step, decimals))
    if match := re.fullmatch(r"temperature:(\d+(?:\.\d+)?)", text):
        value = validators.between(f"--exposure={text}", float(match[1]), 0.01, 1000)
        return Exposure(text, lambda p, step: _heated(p, step, value))
    validators.choice("--exposure", text, NAMES)
    raise AssertionError(text)  # every name of NAMES is parsed above


def shown(observations: Observations, name: str) -> Observations:
    """What an exposure leaves of observations, and of those of the examples aside.

    Sensitivities and answers on changed copies need more than it shows: they are left out, as are
    the target's answers, which are those of its own `aside`.
    """
    if name == FULL:
        return observations
    show = parse(name).show
    pairs = [
        show(rows, step)
        for rows, step in zip(observations.probabilities, observations.resolutions, strict=True)
    ]
    aside = observations.aside
    return dataclasses.replace(
        observations,
        probabilities=np.stack([rows for rows, _ in pairs]),
        resolutions=tuple(step for _, step in pairs),
        sensitivities=None,
        augmented=None,
        target_probabilities=None,
        target_resolutions=(),
        aside=None if aside is None else shown(aside, name),
    )


def _only_label(p: np.ndarray) -> np.ndarray:
    return np.eye(p.shape[1], dtype=np.float32)[p.argmax(axis=1)]


def _top(p: np.ndarray, count: int) -> np.ndarray:
    """The rest of the mass goes evenly to the other classes: they are not told apart."""
    classes = p.shape[1]
    if count >= classes - 1:
        return p
    top = np.argpartition(-p, count - 1, axis=1)[:, :count]
    confidences = np.take_along_axis(p, top, axis=1)
    rest = np.maximum(0, 1 - confidences.sum(axis=1, keepdims=True, dtype=np.float64))
    spread = np.repeat(np.float32(rest / (classes - count)), classes, axis=1)
    np.put_along_axis(spread, top, confidences, axis=1)
    return spread


def _rounded(p: np.ndarray, step: float, decimals: int) -> Shown:
    return np.round(p, decimals), max(step, 10.0**-decimals)


def _heated(p: np.ndarray, step: float, value: float) -> Shown:
    """Zeros of a quantized output count as half a step, as everywhere."""
    logits = np.log(np.maximum(np.float64(p), max(step / 2, 1e-12))) / value
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.float32(powers / powers.sum(axis=1, keepdims=True)), 0.0
