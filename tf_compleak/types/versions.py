"""Versions, releases of them, and the three tiers of access."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tf_compleak.types.estimates import Estimate
from tf_compleak.types.records import Count, Items, Magnitude, Name, Record, Share

ORIGINAL = "original"
STRONGEST = "strongest"  # what all attacks as one are called in rows (`leakage.strongest`)

Release = Items[Name]
Tier = Literal["NR", "SR", "MR"]
Output = Literal["probabilities", "logits"]


def release_text(release: Release) -> str:
    """A release in one word: its versions joined by "+", those that hold one in parentheses."""
    return "+".join(f"({name})" if "+" in name else name for name in release)


def release_from(text: str) -> Release:
    """The versions that `release_text` joined."""
    names = re.split(r"[+](?![^()]*[)])", text)
    return tuple(name[1:-1] if re.fullmatch(r"[(].*[)]", name) else name for name in names)


def tier(release: Release) -> Tier:
    """NR: one version. SR: the original and one other. MR: all else (CompLeak, section 4)."""
    if not release:
        raise ValueError("release: empty; name at least one version.")
    if len(release) == 1:
        return "NR"
    return "SR" if len(release) == 2 and ORIGINAL in release else "MR"


def default_releases(versions: Release) -> list[Release]:
    """Every version alone, the original with each other one, all with and without the original."""
    others = tuple(name for name in versions if name != ORIGINAL)
    releases: list[Release] = [(name,) for name in versions]
    if ORIGINAL in versions:
        releases += [(ORIGINAL, name) for name in others]
        if len(others) >= 2:
            releases.append((ORIGINAL, *others))
    return [*releases, others] if len(others) >= 2 else releases


@dataclass(frozen=True)
class Version(Record):
    """One file of a family and the facts about it; no loaded model.

    Attributes:
      name: unique within the family, the recipe's name in a study.
      recipe: `str` of the recipe that made it.
      path: the `.tflite` file, relative to the workdir.
      output: what the file emits, decided once where it was made.
      bytes, gzip_bytes: size of the file, plain and compressed by gzip level 9.
      member_accuracy, non_member_accuracy, validation_accuracy: top-1 share.
      agreement: share of examples that it gives the class that the original gives.
      relative_loss: share that it lost of what the original's accuracy has above guessing, 0 to 1:
        on validation examples where there are some, else on non-members.
      status: "ok", or "failed" (see the report's failures for the reason).
      resolution: step of the output (1/256 for INT8 softmax), 0 for float outputs.
      notes: facts a reader should know, such as what the calibration saw.
      left_alone: names of kernels that its recipe did not change, such as depthwise ones.
      left_alone_share: their part of the weights of all kernels.
    """

    name: Name
    recipe: str
    path: str
    output: Output = "probabilities"
    bytes: Count = 0
    gzip_bytes: Count = 0
    member_accuracy: Estimate | None = None
    non_member_accuracy: Estimate | None = None
    validation_accuracy: Estimate | None = None
    agreement: Estimate | None = None
    relative_loss: Estimate | None = None
    status: Literal["ok", "failed"] = "ok"
    resolution: Magnitude = 0.0
    notes: Items[str] = ()
    left_alone: Items[str] = ()
    left_alone_share: Share = 0.0


@dataclass(frozen=True)
class Failure(Record):
    """A version or an attack that could not be made or measured, and why."""

    name: str
    reason: str
