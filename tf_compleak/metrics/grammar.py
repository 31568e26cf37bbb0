"""Conditions on figures, as flags write them: `auc>0.6`, `upper:tpr@0.01<=0.05`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tf_compleak.types import validators

NAMES = ("auc", "accuracy", "advantage", "epsilon", "tpr@RATE")


@dataclass(frozen=True)
class Metric:
    """A figure of a row: "auc", "accuracy", "advantage", "epsilon", or "tpr" at a rate `fpr`."""

    name: str
    fpr: float | None = None

    def __str__(self) -> str:
        return self.name if self.fpr is None else f"{self.name}@{self.fpr:g}"


@dataclass(frozen=True)
class Condition:
    """A metric (or the upper end of its interval), an operator of > >= < <=, and a bound."""

    metric: Metric
    operator: str
    bound: float
    upper: bool = False

    def __str__(self) -> str:
        return f"{'upper:' if self.upper else ''}{self.metric}{self.operator}{self.bound:g}"

    def holds(self, value: float) -> bool:
        """Whether a value meets the condition; NaN never does."""
        return {
            ">": value > self.bound,
            ">=": value >= self.bound,
            "<": value < self.bound,
            "<=": value <= self.bound,
        }[self.operator]


def metric(text: str, argument: str) -> Metric:
    """The metric that a text names.

    Raises:
      ValueError: for an unknown name, or a rate that is none.
    """
    name, at, rate = text.strip().partition("@")
    if name == "tpr" and at:
        try:
            value = float(rate)
        except ValueError as error:
            raise ValueError(f"{argument}: {rate!r} is no rate; write tpr@0.01.") from error
        return Metric("tpr", validators.between(f"{argument}: the rate of tpr", value, 1e-6, 0.5))
    if name == "tpr":
        raise ValueError(f"{argument}: tpr of which false positive rate? Write tpr@0.01.")
    if at:
        raise ValueError(f"{argument}: {text!r}; only tpr has a rate.")
    return Metric(validators.choice(argument, name, NAMES))


def regressions(text: str, argument: str) -> tuple[Metric, ...]:
    """The metrics of `worse:METRIC`, joined by commas; ValueError when one is none.

    Epsilon has a lower bound only, of which there is no difference with an interval.
    """
    metrics = []
    for part in filter(str.strip, text.split(",")):
        word, _, name = part.strip().partition(":")
        if word != "worse" or not name:
            raise ValueError(f"{argument}: {part!r} is no condition; write worse:tpr@0.01.")
        metrics.append(metric(name, argument))
        if metrics[-1].name == "epsilon":
            raise ValueError(f"{argument}: epsilon is a lower bound and has no interval.")
    if not metrics:
        raise ValueError(f"{argument}: {text!r} holds no condition; write worse:tpr@0.01.")
    return tuple(dict.fromkeys(metrics))


def condition(text: str, argument: str, operators: tuple[str, ...]) -> Condition:
    """The condition that a text states, with one of `operators`; ValueError when it is none."""
    match = re.fullmatch(r"\s*(upper:)?\s*([\w@.\-]+?)\s*(<=|>=|<|>)\s*(\S+)\s*", text)
    if not match or match[3] not in operators:
        example = f"tpr@0.01{operators[-1]}0.05"
        raise ValueError(f"{argument}: {text!r} is no condition; write {example}.")
    figure = metric(match[2], argument)
    if match[1] and figure.name == "epsilon":
        raise ValueError(f"{argument}: epsilon is a lower bound and has no upper end.")
    try:
        bound = float(match[4])
    except ValueError as error:
        raise ValueError(f"{argument}: {match[4]!r} is no number in {text!r}.") from error
    validators.between(f"{argument}: the bound of {figure}", bound, -1, 1e6)
    return Condition(figure, match[3], bound, bool(match[1]))
