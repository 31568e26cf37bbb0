"""Observations: what an attacker sees of one family of versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tf_compleak.types import outputs, validators
from tf_compleak.types.versions import Release


@dataclass(frozen=True, eq=False)
class Observations:
    """What an attacker sees of one family: V versions, N examples, C classes.

    Attributes:
      versions: V unique names.
      probabilities: f32[V, N, C], each row a distribution (up to the output's resolution).
      labels: int64[N] in [0, C).
      members: bool[N], or None where the attacker must not know.
      ids: [N] unique; the same id means the same example in every family. None where nobody says
        which examples families have in common: attacks that compare these are refused then.
      sensitivities: f32[V, N, C] (see `inference.observe.sensitivities`), or None.
      resolutions: V output steps, 0 for float outputs; zeros of a quantized output are floored
        at half a step before a logarithm.
      augmented: f32[V, Q, N], the logit of the label's probability on Q flipped and shifted copies
        of every example, the same copies for every version and family; or None.
      aside: the same versions on examples outside the family's members and non-members, of which
        the family was trained on none: on the target the population, on a shadow the other
        families' examples too. None where nothing of the kind was queried.
      target_probabilities: on a shadow, f32[V, N, C]: what the target, which was trained on none of
        them, says of the same examples. None where it was not asked, or may have seen some.
      target_resolutions: V output steps of these answers.
    """

    versions: Release
    probabilities: np.ndarray
    labels: np.ndarray
    members: np.ndarray | None
    ids: np.ndarray | None
    sensitivities: np.ndarray | None = None
    resolutions: tuple[float, ...] = ()
    augmented: np.ndarray | None = None
    aside: Observations | None = None
    target_probabilities: np.ndarray | None = None
    target_resolutions: tuple[float, ...] = ()

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
        for name in ("labels", "ids"):
            array = getattr(self, name)
            if array is not None and len(array) != n:
                raise ValueError(f"{name}: {n} expected, got {len(array)}.")
        if self.members is not None and (len(self.members) != n or self.members.dtype != bool):
            raise ValueError(f"members: bool[{n}] expected.")
        validators.distinct("versions", self.versions)
        if self.ids is not None:
            validators.distinct("ids", self.ids)
        validators.labels("labels", self.labels, classes)
        rows = zip(self.versions, self.probabilities, self.resolutions, strict=True)
        for version, probabilities, step in rows:
            outputs.refuse_no_distribution(f"probabilities of {version}", probabilities, step)
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
        answers = self.target_probabilities
        if answers is not None and answers.shape != self.probabilities.shape:
            raise ValueError(f"target_probabilities: got shape {answers.shape}.")
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
            target_probabilities=chosen(self.target_probabilities),
            target_resolutions=tuple(
                self.target_resolutions[row] for row in rows if self.target_resolutions
            ),
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
            ids=None if self.ids is None else self.ids[indices],
            sensitivities=taken(self.sensitivities),
            augmented=None if self.augmented is None else self.augmented[..., indices],
            target_probabilities=taken(self.target_probabilities),
        )

    def with_answers_of(self, target: Observations) -> Observations:
        """A shadow's observations with what the target says of the same examples.

        As they are where the target was not asked about all of them, or has one of them itself.
        """
        aside = target.aside
        if not aside or any(part.ids is None for part in (self, target, aside)):
            return self
        order = np.argsort(aside.ids, kind="stable")
        rows = np.searchsorted(aside.ids, self.ids, sorter=order)
        rows = order[np.minimum(rows, len(order) - 1)]
        if (aside.ids[rows] != self.ids).any() or np.isin(self.ids, target.ids).any():
            return self
        return dataclasses.replace(
            self,
            target_probabilities=aside.probabilities[:, rows],
            target_resolutions=aside.resolutions,
        )

    def by_the_target(self) -> Observations:
        """A shadow's examples as the target sees them; ValueError where it was not asked."""
        if self.target_probabilities is None:
            raise ValueError("target_probabilities: the target was not asked about these examples.")
        return dataclasses.replace(
            self,
            probabilities=self.target_probabilities,
            resolutions=self.target_resolutions,
            sensitivities=None,
            augmented=None,
            aside=None,
            target_probabilities=None,
            target_resolutions=(),
        )

    def hidden(self) -> Observations:
        """The same without the membership: what an attack is given of its target."""
        return dataclasses.replace(self, members=None)

    @classmethod
    def from_arrays(
        cls,
        probabilities: ArrayLike,
        labels: ArrayLike,
        members: ArrayLike | None,
        *,
        versions: Sequence[str],
        sensitivities: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        resolutions: Sequence[float] = (),
        aside: Observations | None = None,
    ) -> Observations:
        """Observations of plain arrays, checked.

        Args:
          probabilities: [V, N, C] of any float type; [N, C] when there is one version.
          labels: integers [N].
          members: bool or 0 / 1 [N].
          ids: [N], which example of the data set each row is, the same id for the same example in
            every family; None: families have no examples in common, as far as anyone says.
          versions: V names; call the uncompressed one "original".
          resolutions: steps of quantized outputs; by default looked for in the values.

        Raises:
          ValueError: in one line that says what is wrong.
        """
        try:
            probabilities = np.asarray(probabilities, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise ValueError(f"probabilities: not an array of numbers ({error}).") from error
        if probabilities.ndim == 2:
            probabilities = probabilities[None]
        if not len(resolutions) and probabilities.ndim == 3:
            resolutions = [outputs.resolution(rows) for rows in probabilities]
        labels, members = np.asarray(labels), np.asarray(members)
        if members.dtype != bool and not np.isin(members, (0, 1)).all():
            raise ValueError("members: must be bool, or 0 and 1.")
        return cls(
            versions=tuple(versions),
            probabilities=probabilities,
            labels=labels.astype(np.int64) if labels.dtype.kind in "iu" else labels,
            members=members.astype(bool),
            ids=None if ids is None else np.asarray(ids),
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
        ids=None,
    ) -> Observations:
        """Observations from the arrays of tensorflow/privacy's `AttackInputData`.

        train means member, test non-member. Give logits [N, C] or probabilities [N, C] of both;
        `ids` are those of `from_arrays`, the train side's first.
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
        return cls.from_arrays(rows, labels, members, versions=[version], ids=ids)
