"""The plan: which attack is run on which release of which family, seen through which exposure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from dataclasses import dataclass

from tf_compleak.attacks import ATTACKS, suits
from tf_compleak.leakage.exposures import FULL
from tf_compleak.leakage.question import Question
from tf_compleak.types import STRONGEST, Failure, Release, default_releases
from tf_compleak.types.versions import release_text

TARGET = "target"
NULL_RUN = "null run"
TOKENS_HAVE_NO_NEIGHBOURS = (
    "not applicable: sensitivities need inputs that noise can move a little; token ids have no "
    "such neighbours, and the embeddings lie inside the .tflite file"
)
Key = tuple[str, Release]  # attack, release


@dataclass(frozen=True)
class Run:
    """One attack on one release of a target family.

    Attributes:
      shadows: the families that it is fitted on; none: it is cross-fitted over the target.
      fewer: whether there are more shadows than these (strength curve).
      exposure: what the app shows of the confidences.
      null: the draw of membership that it is run under, in all families; 0: the real one.
    """

    attack: str
    release: Release
    target: str = TARGET
    shadows: tuple[str, ...] = ()
    fewer: bool = False
    exposure: str = FULL
    null: int = 0

    @property
    def families(self) -> tuple[str, ...]:
        """The target, then the shadows."""
        return (self.target, *self.shadows)

    @property
    def title(self) -> str:
        """What it is called on the terminal and under failures."""
        shown = "" if self.exposure == FULL else f" ({self.exposure})"
        target = "" if self.target == TARGET else f" on {self.target}"
        count = f", {len(self.shadows)} shadows" if self.fewer else ""
        return f"{self.attack} {release_text(self.release)}{target}{count}{shown}"

    @property
    def variant(self) -> str:
        """What tells it from the plain run of its attack and release, as part of a file's name."""
        parts = []
        if self.target != TARGET or self.fewer:
            parts.append(f"{self.target}, {len(self.shadows)} shadows")
        if self.exposure != FULL:
            parts.append(re.sub(r"[^a-z0-9.]", "-", self.exposure))
        return ", ".join(parts)


@dataclass(frozen=True)
class Plan:
    """Everything that is run for a question.

    Attributes:
      families: the target, then its shadows; the target alone: attacks are cross-fitted.
      names: all versions; usable: those that may be attacked.
      targets: how many of the families play the target, their scores pooled.
      inapplicable: attacks that cannot be run on such data, with the reason of each.
      has_inputs: whether the examples themselves are known, for the blind baseline.
    """

    question: Question
    families: tuple[str, ...]
    names: Release
    usable: Release
    targets: int = 1
    inapplicable: tuple[tuple[str, str], ...] = ()
    has_inputs: bool = True

    @property
    def num_shadows(self) -> int:
        """Shadows that an attack is fitted on, unless it is one of the strength curve."""
        return len(self.families) - 1

    def releases(self) -> list[Release]:
        """The releases to attack; one that names a version that is not usable is left out.

        By default every single version, the original with each other version, and all versions
        together with and without the original.
        """
        if self.question.releases:
            return [r for r in self.question.releases if set(r) <= set(self.usable)]
        return default_releases(self.usable)

    def row_keys(self) -> list[Key]:
        """Every attack on every release that it suits, attack by attack."""
        releases, lost = self.releases(), dict(self.inapplicable)
        return [
            (attack, release)
            for attack in self.question.attacks
            if attack not in lost
            for release in releases
            if suits(attack, release)
        ]

    def all_keys(self, failed: Collection[str] = ()) -> list[Key]:
        """`row_keys`, and the strongest attacker on every release that it is run on."""
        combined = {run.release for run in self.combined(failed)}
        strongest = [(STRONGEST, release) for release in self.releases() if release in combined]
        return [*self.row_keys(), *strongest]

    def runs(self, key: Key, count: int = 0, exposure: str = FULL) -> list[Run]:
        """The runs whose scores one row pools: one for every family that plays the target.

        The shadows are the `count` families after the target, in a circle; 0: all others.
        """
        runs = []
        for index in range(self.targets):
            others = (*self.families[index + 1 :], *self.families[:index])
            shadows = others[: count or len(others)]
            fewer = len(shadows) < len(others)
            runs.append(Run(*key, self.families[index], shadows, fewer, exposure))
        return runs

    def counts(self, attack: str) -> list[int]:
        """Numbers of shadows of an attack's strength curve, fewest first, all of them last."""
        least = ATTACKS[attack].least_shadows
        chosen = {count for count in self.question.shadow_counts if count >= least}
        return sorted(chosen | {self.num_shadows})

    def all_runs(self) -> list[Run]:
        """Every run under the real membership, the widest releases first."""
        runs = []
        for key in sorted(self.row_keys(), key=lambda key: -len(key[1])):
            first, *others = self.question.exposure
            for count in reversed(self.counts(key[0])):
                runs += self.runs(key, count, first)
            for exposure in others:
                runs += self.runs(key, 0, exposure)
        return runs

    def combined(self, failed: Collection[str] = ()) -> dict[Run, tuple[Run, ...]]:
        """The runs of the strongest attacker, each with the runs that it is combined of.

        For every release that an attack is run on: all attacks on it and on some of its versions,
        fitted on the same shadows and seen through the same exposure. There are none where no
        release has two.

        Args:
          failed: titles of runs that failed; they are left out.
        """
        alike: dict[Run, list[Run]] = {}
        for run in self.all_runs():
            if run.title not in failed:
                whole = dataclasses.replace(run, attack=STRONGEST, release=())
                alike.setdefault(whole, []).append(run)
        combined = {
            dataclasses.replace(whole, release=release): tuple(
                run for run in runs if set(run.release) <= set(release)
            )
            for whole, runs in alike.items()
            for release in dict.fromkeys(run.release for run in runs)
        }
        several = any(len(parts) > 1 for parts in combined.values())
        return combined if several else {}

    def null_runs(self, failed: Collection[str] = ()) -> list[Run]:
        """The runs that are repeated under membership drawn anew, so that it means nothing.

        Of every kind of attack, whatever names and tiers it goes by, the run on the most versions,
        the last of these, seen through the first exposure. What a run attained has no say in that.

        Args:
          failed: titles of runs that failed; of what remains the widest is taken.
        """
        widest: dict[str, Run] = {}
        for key in self.row_keys():
            runs, kind = self.runs(key, 0, self.question.exposure[0]), ATTACKS[key[0]].target
            if any(run.title in failed for run in runs):
                continue
            if kind not in widest or len(key[1]) >= len(widest[kind].release):
                widest[kind] = runs[0]
        return list(widest.values())

    def null_combined(self, failed: Collection[str] = ()) -> dict[Run, tuple[Run, ...]]:
        """The null run of the strongest attacker, with the null runs that it is combined of.

        Args:
          failed: titles of null runs that failed, and of runs.
        """
        nulls = self.null_runs(failed)
        parts = [run for run in nulls if f"{NULL_RUN} of {run.title}" not in failed]
        if len(parts) < 2 or not self.combined(failed):
            return {}
        widest = max(parts, key=lambda run: len(run.release))
        return {dataclasses.replace(widest, attack=STRONGEST): tuple(parts)}

    def failures(self) -> list[Failure]:
        """A failure for every attack that cannot be run on such data, and for lost releases."""
        failures = [Failure(attack, reason) for attack, reason in self.inapplicable]
        for release in self.question.releases:
            broken = [name for name in release if name not in self.usable]
            if broken and len(release) > 1:
                failures.append(Failure(release_text(release), f"not attacked: {broken[0]} failed"))
        return failures


def kinds(question: Question, attack: str) -> tuple[str, ...]:
    """What an attack needs to be asked beyond the confidences."""
    needs = ATTACKS[attack].needs
    return tuple(kind for kind in needs if kind != "augmented" or question.queries)
