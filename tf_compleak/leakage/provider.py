"""Providers: where the families' observations come from. The only thing in which doors differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tf_compleak.engine.declaration import Declaration, Opener
from tf_compleak.engine.workdir import Workdir
from tf_compleak.leakage.question import Question
from tf_compleak.types import Estimate, Release, Texts, Version, seeds
from tf_compleak.types.observations import Observations


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the blind baseline sees of the target's examples.

    Attributes:
      values: f[N, F] (see `attacks.blind.summary`), or N texts.
      labels: int64[N]; members: bool[N].
    """

    values: np.ndarray | Texts
    labels: np.ndarray
    members: np.ndarray


def drawing(seed: int, family: str, draw: int) -> np.random.Generator:
    """What a null run draws a family's membership by, for the first, second, ... time."""
    return seeds.generator(seed, "null", family, str(int(draw)))


class Provider(Protocol):
    """Families that are trained here, opened from files, or given as arrays.

    Rows of observations stand in an order that does not depend on membership.
    """

    workdir: Workdir

    @property
    def question(self) -> Question:
        """What is asked."""
        ...

    def opener(self) -> Opener:
        """How a worker opens the same."""
        ...

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        ...

    def observations(
        self, family: str, release: Release, kinds: tuple[str, ...] = (), null: int = 0
    ) -> Observations:
        """What a release says about a family's examples, with members known.

        Args:
          kinds: what else was asked: "aside", "sensitivities", "augmented".
          null: above 0: with membership drawn anew (by `drawing`, for the `null`-th time), and
            arranged as if that were the family's. The models know nothing of that membership: an
            attack that still tells it reads it elsewhere, from the order of the examples or what it
            should not be given.
        """
        ...

    def ids(self, family: str) -> np.ndarray:
        """[N] ids of a family's examples, in the order of its observations."""
        ...

    def names(self, family: str) -> np.ndarray:
        """[N] what users call a family's examples, in the order of its observations."""
        ...

    def observed(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Fingerprints of all that such observations come from, as JSON values."""
        ...

    def asked(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> Sequence[Declaration]:
        """The stages that such observations are read from."""
        ...

    def versions(self, names: Sequence[str]) -> tuple[Version, ...]:
        """The records of these versions of the target."""
        ...

    def validation_accuracy(self, family: str, name: str) -> Estimate | None:
        """Of a version of a family; None where no validation examples were asked about."""
        ...

    def versions_from(self) -> dict[str, Any]:
        """Digests of what the records of versions come from, as JSON values."""
        ...

    def inputs(self) -> Inputs:
        """What the blind baseline sees, where there are inputs (`Plan.has_inputs`)."""
        ...

    def inputs_from(self) -> dict[str, Any]:
        """Fingerprints of what `inputs` come from, as JSON values."""
        ...
