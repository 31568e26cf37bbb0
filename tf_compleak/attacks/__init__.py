"""Membership inference attacks: one line of `ATTACKS` each, loaded when asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tf_compleak.attacks.contract import Attack
from tf_compleak.types import Release, Tier, tier, validators


@dataclass(frozen=True)
class Entry:
    """Where an attack lives ("module:factory"), the tiers of release it is made for, its needs.

    `needs` names what of `Observations` must be queried beyond the confidences: "aside",
    "sensitivities"; "augmented" is used where `--queries` asks for it. `weight`: of its seconds,
    beside other stages', see `engine.declaration.Declaration`.
    """

    target: str
    tiers: tuple[Tier, ...]
    needs: tuple[str, ...] = ()
    least_shadows: int = 1
    weight: int = 1


EVERY: tuple[Tier, ...] = ("NR", "SR", "MR")

ATTACKS = {
    "confidence": Entry("thresholds:confidence", ("NR",)),
    "confidence-global": Entry("thresholds:confidence_global", ("NR",)),
    "loss": Entry("thresholds:loss", ("NR",)),
    "loss-global": Entry("thresholds:loss_global", ("NR",)),
    "entropy": Entry("thresholds:entropy", ("NR",)),
    "entropy-global": Entry("thresholds:entropy_global", ("NR",)),
    "modified-entropy": Entry("thresholds:modified_entropy", ("NR",)),
    "modified-entropy-global": Entry("thresholds:modified_entropy_global", ("NR",)),
    "shokri-lr": Entry("classifiers:UnlabelledLinear", ("NR",), weight=5),
    "shokri-rf": Entry("classifiers:UnlabelledForest", ("NR",), weight=15),
    "shokri-mlp": Entry("classifiers:UnlabelledMlp", ("NR",), weight=15),
    "nasr-lr": Entry("classifiers:Linear", ("NR",), weight=5),
    "nasr-rf": Entry("classifiers:Forest", ("NR",), weight=15),
    "nasr-mlp": Entry("classifiers:Mlp", ("NR",), weight=15),
    "samia": Entry("samia:Samia", ("NR",), ("sensitivities",), weight=200),
    "sr1-lr": Entry("classifiers:UnlabelledLinear", ("SR",), weight=5),
    "sr1-rf": Entry("classifiers:UnlabelledForest", ("SR",), weight=15),
    "sr1-mlp": Entry("classifiers:UnlabelledMlp", ("SR",), weight=15),
    "sr2-lr": Entry("classifiers:Linear", ("SR",), weight=5),
    "sr2-rf": Entry("classifiers:Forest", ("SR",), weight=15),
    "sr2-mlp": Entry("classifiers:Mlp", ("SR",), weight=15),
    "mr": Entry("stack:Stack", ("MR",), weight=200),
    "mr-rf": Entry("stack:linear_or_forest", ("MR",), weight=40),
    "tabular": Entry("tabular:Tabular", EVERY, weight=5),
    "qmia": Entry("qmia:Qmia", ("NR",), weight=5),
    "calibrated": Entry("calibrated:Calibrated", EVERY, ("aside",), weight=100),
    "base": Entry("base:Base", EVERY, ("aside",)),
    "rmia": Entry("rmia:Rmia", EVERY, ("aside",)),
    "lira-offline": Entry("lira:offline", EVERY, ("aside",)),
    "lira-online": Entry("lira:online", EVERY, ("aside",), 2),
    "lira-boosted": Entry("boosted:Boosted", EVERY, ("aside", "augmented"), weight=200),
}


def load(name: str) -> Attack:
    """The attack called `name`; ValueError with the nearest known name otherwise."""
    validators.choice("--attacks", name, ATTACKS)
    module, factory = ATTACKS[name].target.split(":")
    return getattr(importlib.import_module(f"tf_compleak.attacks.{module}"), factory)()


def suits(name: str, release: Release) -> bool:
    """Whether the attack is made for releases of that tier."""
    return tier(release) in ATTACKS[name].tiers
