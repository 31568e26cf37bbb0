"""Observations: what an attacker sees of one family of versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.types import validators
from tf_compleak.types.versions import Release


@dataclass(frozen=True, eq=False)
class Observations:
    """What an attacker sees of one family: V versions, N examples, C classes.

    Attributes:
      versions: V unique names.
      probabilities: f32[V, N, C], each row a distribution (up to the output's resolution).
      labels: int64[N] in [0, C).
      members: bool[N], or None where the attacker must not know.
      ids: [N] unique; the same id means the same example in every family.
      sensitivities: f32[V, N, C] (see `inference.observe.sensitivities`), or None.
      resolutions: V output steps, 0 for float outputs; zeros of a quantized output are floored
        at half a step before a logarithm.
      augmented: f32[V, Q, N], the logit of the label's probability on Q flipped and shifted copies
        of every example, the same copies for every version and family; or None.
      aside: the same versions on examples outside the family's members and non-members, of which
        the family was trained on none: on the target the population, on a shadow the other
        families' examples too. None where nothing of the kind was queried.
    """

    versions: Release
    probabilities: np.ndarray
    labels: np.ndarray
    members: np.ndarray | None
    ids: np.ndarray
    sensitivities: np.ndarray | None = None
    resolutions: tuple[float, ...] = ()
    augmented: np.ndarray | None = None
    aside: Observations | None = None

    def __post_init__(self):
        if not self.resolutions:
            object.__setattr__(self, "resolutions", (0.0,) * len(self.versions))
        if self.probabilities.ndim != 3 or len(self.probabilities) != len(self.versions):
            raise ValueError(
                f"probabilities: shape must be [versions, examples, classes] with "
                f"{len(self.versions)} versions, got {self.probabilities.shape}."
            )
        _, n, classes = self.probabilities.shape
        if classes < 2:
            raise ValueError("probabilities: one class only; give a column for every class.")
        if not len(self.labels) == len(self.ids) == n:
            raise ValueError(f"labels, ids: {n} expected, got {len(self.labels)}, {len(self.ids)}.")
        if self.members is not None and (len(self.members) != n or self.members.dtype != bool):
            raise ValueError(f"members: bool[{n}] expected.")
        validators.distinct("versions", self.versions)
        validators.distinct("ids", self.ids)
        validators.labels("labels", self.labels, classes)
        _check_probabilities(self.versions, self.probabilities, self.resolutions)
        self._check_extras()

    def _check_extras(self) -> None:
        versions, n, _ = self.probabilities.shape
        for name, expected in (("sensitivities", (versions, n)), ("augmented", (versions, n))):
            array = getattr(self, name)
            if array is None:
                continue
            shape = (array.shape[0], array.shape[1 if name == "sensitivities" else -1])
            if array.ndim != 3 or shape != expected:
                raise ValueError(f"{name}: got shape {array.shape} for {versions} versions, {n}.")
            validators.finite(name, array)
        if self.aside is not None:
            if self.aside.versions != self.versions or self.aside.classes != self.classes:
                raise ValueError("aside: its versions or classes are not those of the examples.")
            if self.aside.members is not None and self.aside.members.any():
                raise ValueError("aside: holds members; it is for examples outside the split.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return self.probabilities.shape[2]

    def select(self, release: Sequence[str]) -> Observations:
        """The same examples seen through the versions of `release`, in that order."""
        for name in release:
            validators.choice("release", name, self.versions)
        rows = [self.versions.index(name) for name in release]

        def chosen(array):
            return None if array is None else array[rows]

        return dataclasses.replace(
            self,
            versions=tuple(release),
            probabilities=self.probabilities[rows],
            sensitivities=chosen(self.sensitivities),
            resolutions=tuple(self.resolutions[row] for row in rows),
            augmented=chosen(self.augmented),
            aside=None if self.aside is None else self.aside.select(release),
        )

    def take(self, indices: np.ndarray) -> Observations:
        """The same versions seen on some of the examples; what is aside stays."""

        def taken(array):
            return None if array is None else array[:, indices]

        return dataclasses.replace(
            self,
            probabilities=self.probabilities[:, indices],
            labels=self.labels[indices],
            members=None if self.members is None else self.members[indices],
            ids=self.ids[indices],
            sensitivities=taken(self.sensitivities),
            augmented=None if self.augmented is None else self.augmented[..., indices],
        )

    def hidden(self) -> Observations:
        """The same without the membership: what an attack is given of its target."""
        return dataclasses.replace(self, members=None)

    @classmethod
    def from_arrays(
        cls,
        probabilities,
        labels,
        members,
        *,
        versions: Sequence[str],
        sensitivities=None,
        ids=None,
        resolutions: Sequence[float] = (),
        aside: Observations | None = None,
    ) -> Observations:
        """Observations of plain arrays, checked.

        Args:
          probabilities: [V, N, C] of any float type; [N, C] when there is one version.
          labels: integers [N]; members: bool or 0 / 1 [N]; ids: [N], by default 0 to N - 1: give
            the data set's own where an attack compares families example by example.
          versions: V names; call the uncompressed one "original".

        Raises:
          ValueError: in one line that says what is wrong.
        """
        try:
            probabilities = np.asarray(probabilities, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise ValueError(f"probabilities: not an array of numbers ({error}).") from error
        if probabilities.ndim == 2:
            probabilities = probabilities[None]
        labels, members = np.asarray(labels), np.asarray(members)
        if members.dtype != bool and not np.isin(members, (0, 1)).all():
            raise ValueError("members: must be bool, or 0 and 1.")
        return cls(
            versions=tuple(versions),
            probabilities=probabilities,
            labels=labels.astype(np.int64) if labels.dtype.kind in "iu" else labels,
            members=members.astype(bool),
            ids=np.arange(len(labels)) if ids is None else np.asarray(ids),
            sensitivities=None if sensitivities is None else np.float32(sensitivities),
            resolutions=tuple(float(step) for step in resolutions),
            aside=aside,
        )

    @classmethod
    def from_attack_input(
        cls,
        *,
        labels_train,
        labels_test,
        logits_train=None,
        logits_test=None,
        probs_train=None,
        probs_test=None,
        version: str = "original",
    ) -> Observations:
        """Observations from the arrays of tensorflow/privacy's `AttackInputData`.

        train means member, test non-member. Give logits [N, C] or probabilities [N, C] of both.
        """
        choices = [pair for pair in ((logits_train, logits_test), (probs_train, probs_test))]
        pairs = [pair for pair in choices if pair[0] is not None and pair[1] is not None]
        if len(pairs) != 1 or sum(array is not None for pair in choices for array in pair) != 2:
            raise ValueError(
                "from_attack_input: give logits_train and logits_test, or probs_train and "
                "probs_test."
            )
        sides = [np.asarray(part, dtype=np.float64) for part in pairs[0]]
        for side, part, labels in zip(
            ("train", "test"), sides, (labels_train, labels_test), strict=True
        ):
            shape = (len(labels), *sides[0].shape[1:])
            if part.ndim != 2 or part.shape != shape:
                raise ValueError(
                    f"from_attack_input: the {side} side must be [examples, classes] with a row "
                    f"for each of its {len(labels)} labels and the classes of the other side, got "
                    f"shape {part.shape}."
                )
        rows = np.concatenate(sides)
        if pairs[0][0] is logits_train:
            rows = np.exp(rows - rows.max(axis=1, keepdims=True))
            rows /= rows.sum(axis=1, keepdims=True)
        labels = np.concatenate([np.asarray(labels_train), np.asarray(labels_test)])
        members = np.arange(len(rows)) < len(pairs[0][0])
        return cls.from_arrays(rows, labels, members, versions=[version])


def _check_probabilities(versions, probabilities, resolutions) -> None:
    classes = probabilities.shape[2]
    for name, rows, resolution in zip(versions, probabilities, resolutions, strict=True):
        validators.finite(f"probabilities of {name}", rows)
        if rows.size and rows.min() < 0:
            raise ValueError(f"probabilities of {name}: negative values; are these logits?")
        off = np.abs(rows.sum(axis=1, dtype=np.float64) - 1)
        allowed = 0.01 + classes * resolution
        if (off > allowed).any():
            raise ValueError(
                f"probabilities of {name}: row {int(off.argmax())} sums to 1 only within "
                f"{off.max():.3g} (allowed: {allowed:.3g}); are these logits?"
            )
