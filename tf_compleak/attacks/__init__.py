"""Membership inference attacks: one line of `ATTACKS` each, loaded when asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tf_compleak import _checks
from tf_compleak.types import Attack, Release, Tier, tier


@dataclass(frozen=True)
class Entry:
    """Where an attack lives ("module:factory"), the tiers of release it is made for, its needs.

    `needs` names what of `Observations` must be queried beyond the confidences: "aside",
    "sensitivities"; "augmented" is used where `--queries` asks for it.
    """

    target: str
    tiers: tuple[Tier, ...]
    needs: tuple[str, ...] = ()


EVERY: tuple[Tier, ...] = ("NR", "SR", "MR")

ATTACKS = {
    "entropy": Entry("thresholds:entropy", ("NR",)),
    "modified-entropy": Entry("thresholds:modified_entropy", ("NR",)),
    "nasr-lr": Entry("classifiers:logistic_regression", ("NR",)),
    "nasr-mlp": Entry("classifiers:mlp", ("NR",)),
    "sr-lr": Entry("classifiers:logistic_regression", ("SR",)),
    "sr-mlp": Entry("classifiers:mlp", ("SR",)),
    "mr": Entry("stack:Stack", ("MR",)),
    "tabular": Entry("tabular:Tabular", EVERY),
    "rmia": Entry("rmia:Rmia", EVERY, ("aside",)),
    "lira-offline": Entry("lira:offline", EVERY, ("aside",)),
    "lira-online": Entry("lira:online", EVERY, ("aside",)),
    "lira-boosted": Entry("boosted:Boosted", EVERY, ("aside", "augmented")),
}


def load(name: str) -> Attack:
    """The attack called `name`; ValueError with the nearest known name otherwise."""
    _checks.choice("--attacks", name, ATTACKS)
    module, factory = ATTACKS[name].target.split(":")
    return getattr(importlib.import_module(f"tf_compleak.attacks.{module}"), factory)()


def suits(name: str, release: Release) -> bool:
    """Whether the attack is made for releases of that tier."""
    return tier(release) in ATTACKS[name].tiers
