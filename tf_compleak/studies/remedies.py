"""Remedies that a study tries: what they are called and what they change.

dp-sgd:eps=E           DP-SGD with epsilon E in all; more by colons: delta=1e-5, norm=1
label-smoothing:S      a share S of every label is spread evenly over all classes
early-stopping:N       training ends after N epochs without a better validation accuracy
distillation           trained anew on the plain model's answers instead of labels;
                       distillation:T at temperature T, 2 where none is named
full, topK, label, round:D, temperature:T    what the app shows (`leakage.exposures`)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tf_compleak.leakage import exposures
from tf_compleak.types import validators

TRAININGS = ("dp-sgd:eps=8", "label-smoothing:0.1", "early-stopping:5", "distillation")
NAMES = (*TRAININGS, *(name for name in exposures.NAMES if name != exposures.FULL))
DP_SGD = {"eps": (0.01, 1000), "delta": (1e-12, 0.5), "norm": (1e-6, 1e6)}  # least, most
NUMBER = r"\d+(?:\.\d*)?(?:e-?\d+)?"


@dataclass(frozen=True)
class DpSgd:
    """DP-SGD (`models.private`); `delta` 0: the accountant's default for so many members."""

    epsilon: float
    delta: float = 0.0
    norm: float = 1.0


@dataclass(frozen=True)
class LabelSmoothing:
    """See `models.losses`."""

    share: float


@dataclass(frozen=True)
class EarlyStopping:
    """As --early_stopping."""

    patience: int


@dataclass(frozen=True)
class Distillation:
    """See `models.losses`; the teacher is the family's plain model."""

    temperature: float = 2.0


@dataclass(frozen=True)
class Shown:
    """Another training is not needed: the app shows less."""

    exposure: str


Remedy = DpSgd | LabelSmoothing | EarlyStopping | Distillation | Shown


def parse(text: str) -> Remedy:
    """The remedy of a name; ValueError for an unknown one or a number out of range."""
    kind, _, rest = text.partition(":")
    flag = f"--remedies={text}"
    match kind:
        case "dp-sgd":
            return _dp_sgd(flag, rest)
        case "label-smoothing":
            return LabelSmoothing(validators.between(flag, _number(flag, rest), 0.001, 0.999))
        case "early-stopping":
            patience = validators.between(flag, _number(flag, rest), 1, 1e6)
            if patience != int(patience):
                raise ValueError(f"{flag}: epochs are counted; write a whole number.")
            return EarlyStopping(int(patience))
        case "distillation":
            temperature = _number(flag, rest) if rest else Distillation.temperature
            return Distillation(validators.between(flag, temperature, 0.1, 100))
    if text == exposures.FULL:
        raise ValueError(f"{flag}: hides nothing; name what the app shows, such as top1.")
    try:
        return Shown(exposures.parse(text).name)
    except ValueError as error:
        if text.startswith(("top", "round:", "temperature:")) and "between" in str(error):
            raise ValueError(str(error).replace("--exposure", "--remedies")) from None
        validators.choice("--remedies", text, NAMES)
        raise


def _number(flag: str, text: str) -> float:
    if not re.fullmatch(NUMBER, text):
        example = next(name for name in TRAININGS if name[:5] in flag)
        raise ValueError(f"{flag}: {text!r} is no number; write one, as in {example}.")
    return float(text)


def _dp_sgd(flag: str, rest: str) -> DpSgd:
    values = {}
    for part in rest.split(":") if rest else ():
        name, _, value = part.partition("=")
        validators.choice(flag, name, DP_SGD)
        if name in values:
            raise ValueError(f"{flag}: {name} is named twice; name it once.")
        values[name] = _number(flag, value)
    if "eps" not in values:
        raise ValueError(f"{flag}: names no epsilon; write {TRAININGS[0]}.")
    for name, value in values.items():
        validators.between(f"{flag}, {name}", value, *DP_SGD[name])
    return DpSgd(values["eps"], values.get("delta", 0.0), values.get("norm", DpSgd.norm))
