"""Membership inference attacks: one line of `ATTACKS` each, loaded when asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tf_compleak import _checks
from tf_compleak.types import Attack, Release, Tier, tier


@dataclass(frozen=True)
class Entry:
    """Where an attack lives ("module:factory") and the tiers of release it is made for."""

    target: str
    tiers: tuple[Tier, ...]


ATTACKS = {
    "entropy": Entry("thresholds:entropy", ("NR",)),
    "modified-entropy": Entry("thresholds:modified_entropy", ("NR",)),
    "nasr-lr": Entry("classifiers:logistic_regression", ("NR",)),
    "nasr-mlp": Entry("classifiers:mlp", ("NR",)),
    "sr-lr": Entry("classifiers:logistic_regression", ("SR",)),
    "sr-mlp": Entry("classifiers:mlp", ("SR",)),
    "mr": Entry("stack:Stack", ("MR",)),
}


def load(name: str) -> Attack:
    """The attack called `name`; ValueError with the nearest known name otherwise."""
    _checks.choice("--attacks", name, ATTACKS)
    module, factory = ATTACKS[name].target.split(":")
    return getattr(importlib.import_module(f"tf_compleak.attacks.{module}"), factory)()


def suits(name: str, release: Release) -> bool:
    """Whether the attack is made for releases of that tier."""
    return tier(release) in ATTACKS[name].tiers
