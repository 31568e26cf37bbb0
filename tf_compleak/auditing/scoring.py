"""Attacks of an audit: fitted on shadows, or cross-fitted over the known sides; run in workers.

Cross-fitting: the examples are dealt into folds, alike in membership; the attack is fitted on all
folds but one and scores the one left out, with the threshold of its own fit. The attacker so
measured knows who was in most of the training set: an auditor's upper view.

Folds must not be made alike in class, too: the share of members in a class, a chance of the draw,
would be the same in the folds fitted on and in the one left out, and labels alone would tell
members (null AUC 0.516, n = 4,000).

Intervals that take the scores as given are too narrow here where little or nothing leaks. Write
the fitted score as w x, with w = sum of s_j x_j over the other folds (s = +-1, membership): what it
attains on the left-out examples is the sum of s_i s_j x_i x_j over pairs of different folds, each
of which counts twice, once each way. Without a leak its variance is twice what it is for a given w.
So `noise`, the share of a score that is its fit's chance, is measured (two fits on halves of the
data, and how far they agree), and `widening` stretches intervals by the square root of one plus it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from tf_compleak import _seeds
from tf_compleak.attacks import load
from tf_compleak.observations import Observations
from tf_compleak.types import Release
from tf_compleak.workdir import Stage, fingerprint, slug


@dataclass(frozen=True)
class Job:
    """One attack on one release, as one exposure shows it.

    Attributes:
      families: "target", then the shadows; the target alone is cross-fitted in `folds` folds.
      null: under membership drawn anew, in all families.
    """

    exposure: str
    attack: str
    release: Release
    families: tuple[str, ...]
    folds: int
    seed: int
    null: bool = False

    @property
    def title(self) -> str:
        """What it is called on the terminal and under failures."""
        text = "null run" if self.null else f"{self.attack} {'+'.join(self.release)}"
        return text if self.exposure == "full" else f"{text} ({self.exposure})"


def folds_of(members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int[N] folds, equal to within one in size, in members, and in non-members."""
    order = np.lexsort((rng.random(len(members)), members))
    folds = np.empty(len(members), np.int64)
    folds[order] = np.arange(len(members)) % count
    return folds


def save(root: Path, exposure: str, family: str, seen: Observations) -> Stage:
    """Keep what an exposure shows of a family, for the workers."""
    digest = hashlib.sha256()
    arrays = {"labels": seen.labels, "members": seen.members, "ids": seen.ids}
    for index in range(len(seen.versions)):
        arrays[f"probabilities-{index}"] = seen.probabilities[index]
        if seen.sensitivities is not None:
            arrays[f"sensitivities-{index}"] = seen.sensitivities[index]
    for name, array in arrays.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    known = {"versions": list(seen.versions), "resolutions": list(seen.resolutions)}
    stage = Stage(_place(root, exposure, family), fingerprint(sha256=digest.hexdigest(), **known))
    if stage.facts() is None:
        with stage.writing() as (folder, facts):
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
            facts.update(known, fingerprint=stage.fingerprint)
    return stage


def _place(root: Path, exposure: str, *parts: str, kind: str = "seen") -> Path:
    return Path(root, kind, re.sub(r"[^a-z0-9.]", "-", exposure), *parts)


def _record(root: Path, exposure: str, family: str) -> dict:
    text = (_place(root, exposure, family) / "stage.json").read_text(encoding="utf-8")
    return json.loads(text)["facts"]


def seen(root: Path, exposure: str, family: str, release: Release) -> Observations:
    """What `save` kept, of some versions."""
    place, facts = _place(root, exposure, family), _record(root, exposure, family)
    rows = [facts["versions"].index(name) for name in release]

    def array(name: str) -> np.ndarray:
        return np.load(place / f"{name}.npy", allow_pickle=False)

    known = (place / "sensitivities-0.npy").exists()
    return Observations(
        versions=release,
        probabilities=np.stack([array(f"probabilities-{row}") for row in rows]),
        labels=array("labels"),
        members=array("members"),
        ids=array("ids"),
        sensitivities=np.stack([array(f"sensitivities-{row}") for row in rows]) if known else None,
        resolutions=tuple(facts["resolutions"][row] for row in rows),
    )


def stage_of(root: Path, job: Job) -> Stage:
    """Where a job's scores are kept."""
    inputs = [_record(root, job.exposure, family)["fingerprint"] for family in job.families]
    folder = "null" if job.null else job.attack
    place = _place(root, job.exposure, folder, slug(job.release), kind="attacks")
    print_ = fingerprint(stage="audit-attack/1", inputs=inputs, job=dataclasses.asdict(job))
    return Stage(place, print_)


def attack(progress: Callable, root: Path, job: Job) -> None:
    """Run one job and keep its scores: values f64[N], margins over the threshold, members."""
    families = [seen(root, job.exposure, family, job.release) for family in job.families]
    if job.null:
        families = [
            _drawn(each, job.seed, name) for each, name in zip(families, job.families, strict=True)
        ]
    target, *shadows = families
    share = 0.0
    seed = _seeds.integer(job.seed, "audit", job.attack, *job.release)
    if shadows:
        fitted = load(job.attack).fit(shadows, seed=seed)
        values = fitted.score(target.hidden())
        margins = values - fitted.threshold
    else:
        rng = _seeds.generator(job.seed, "folds", "null" if job.null else "")
        folds = folds_of(target.members, job.folds, rng)
        values, margins = cross_fitted(progress, target, folds, job.attack, seed)
        share = noise(target, folds, job.attack, seed)
    with stage_of(root, job).writing() as (folder, facts):
        facts["noise"] = share
        for name, array in (("values", values), ("margins", margins), ("members", target.members)):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _drawn(family: Observations, seed: int, name: str) -> Observations:
    rng = _seeds.generator(seed, "null", name)
    return dataclasses.replace(family, members=rng.permutation(family.members))


def cross_fitted(
    progress: Callable, target: Observations, folds: np.ndarray, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] of each example by the attack fitted without its fold, and their margins."""
    values, margins = np.empty(len(target)), np.empty(len(target))
    parts = np.unique(folds)
    for done, part in enumerate(parts):
        progress(done, len(parts) + 1, "fitting")
        rows, known = np.flatnonzero(folds == part), np.flatnonzero(folds != part)
        fitted = load(name).fit([target.take(known)], seed=seed)
        values[rows] = fitted.score(target.take(rows).hidden())
        margins[rows] = values[rows] - fitted.threshold
    return values, margins


def noise(target: Observations, folds: np.ndarray, name: str, seed: int) -> float:
    """Share in [0, 1] of a cross-fitted score that is chance of the fit; 0 where nothing is fitted.

    From the rank correlation r of the scores, on the first fold, of fits on two halves of the
    others: a fit on both has noise (1 - r) / (1 + r) (Spearman-Brown).
    """
    rows, known = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    side = folds_of(target.members[known], 2, _seeds.generator(seed, "halves"))
    found = []
    for half in (0, 1):
        fitted = load(name).fit([target.take(known[side == half])], seed=seed)
        found.append(rankdata(fitted.score(target.take(rows).hidden())))
    if np.ptp(found[0]) == 0 or np.ptp(found[1]) == 0:
        return 1.0
    r = max(0.0, float(np.corrcoef(*found)[0, 1]))
    return 0.0 if r > 1 - 1e-9 else (1 - r) / (1 + r)


def widening(auc: float, members: int, others: int, noise: float) -> float:
    """How much wider than for given scores an interval of a cross-fitted figure must be.

    Where little leaks the two fits may agree by chance; so the noise counts as at least
    exp(-z^2 / 8), z being how far the AUC is from 1/2 in its standard deviations without a leak.
    A score that no fit changes (noise 0) needs no widening.
    """
    if noise == 0:
        return 1.0
    z = (auc - 0.5) / math.sqrt((members + others + 1) / (12 * members * others))
    return math.sqrt(1 + max(noise, math.exp(-(z**2) / 8)))


def noise_of(root: Path, job: Job) -> float:
    """`noise` of a finished job; 0 where it was fitted on shadows."""
    return float(stage_of(root, job).facts()["noise"])


def scores(root: Path, job: Job) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, margins and members of a finished job."""
    place = stage_of(root, job).path
    return tuple(
        np.load(place / f"{name}.npy", allow_pickle=False)
        for name in ("values", "margins", "members")
    )


def blind(
    progress: Callable, root: Path, table: np.ndarray, members: np.ndarray, seed: int, key: str
) -> None:
    """The blind baseline: see `attacks.blind`."""
    from tf_compleak.attacks import blind as baseline

    values = baseline.scores(table, members, seed=seed)
    with blind_stage(root, key).writing() as (folder, _):
        np.save(folder / "values.npy", values, allow_pickle=False)
        np.save(folder / "members.npy", members, allow_pickle=False)


def blind_stage(root: Path, key: str) -> Stage:
    """Where the blind baseline's scores are kept; `key` stands for data and seed."""
    return Stage(Path(root) / "attacks" / "blind", fingerprint(stage="blind/1", key=key))
