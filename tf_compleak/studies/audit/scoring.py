"""Attacks of an audit: fitted on shadows, or cross-fitted over the known sides; run in workers."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_compleak.attacks import load
from tf_compleak.engine import file_store
from tf_compleak.engine.stage import Damaged, read
from tf_compleak.engine.workdir import Stage, fingerprint, slug
from tf_compleak.leakage import crossfit
from tf_compleak.studies.audit.settings import Audit
from tf_compleak.types import Release, seeds
from tf_compleak.types.observations import Observations


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
    folder = file_store.path(_place(root, exposure, family))
    record = read(folder)
    if record is None:
        raise Damaged(f"{folder}: its stage.json cannot be read; the same command makes it again.")
    return record["facts"]


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


def marginal_stage(root: Path, settings: Audit, families: list[str]) -> Stage:
    """Where what each version adds is kept."""
    exposure = settings.exposure[0]
    inputs = [_record(root, exposure, family)["fingerprint"] for family in families]
    chosen = [settings.marginal, settings.subset_budget, settings.folds, settings.seed]
    print_ = fingerprint(stage="marginal/1", inputs=inputs, settings=chosen)
    return Stage(_place(root, exposure, kind="marginal"), print_)


def attack(progress: Callable, root: Path, job: Job) -> None:
    """Run one job and keep its scores: values f64[N], margins over the threshold, members."""
    families = [seen(root, job.exposure, family, job.release) for family in job.families]
    if job.null:
        families = [
            _drawn(each, job.seed, name) for each, name in zip(families, job.families, strict=True)
        ]
    target, *shadows = families
    share = 0.0
    seed = seeds.integer(job.seed, "audit", job.attack, *job.release)
    if shadows:
        fitted = load(job.attack).fit(shadows, seed=seed)
        values = fitted.score(target.hidden())
        margins = values - fitted.threshold
    else:
        rng = seeds.generator(job.seed, "folds", "null" if job.null else "")
        folds = crossfit.folds_of(target.members, job.folds, rng)
        values, margins = crossfit.cross_fitted(progress, target, folds, load(job.attack), seed)
        share = crossfit.noise(target, folds, load(job.attack), seed)
    with stage_of(root, job).writing() as (folder, facts):
        facts["noise"] = share
        for name, array in (("values", values), ("margins", margins), ("members", target.members)):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _drawn(family: Observations, seed: int, name: str) -> Observations:
    rng = seeds.generator(seed, "null", name)
    return dataclasses.replace(family, members=rng.permutation(family.members))


def noise_of(root: Path, job: Job) -> float:
    """`crossfit.noise` of a finished job; 0 where it was fitted on shadows."""
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
