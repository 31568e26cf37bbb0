"""What shadow models say of one and the same example: some were trained on it, some were not.

Likelihood-ratio attacks compare the target's answer on an example with the answers of reference
models: "in" models saw the example in training, "out" models did not. Shadows of random halves hold
both kinds for most examples; shadows with data of their own are all "out" for the target's
examples, and must have been queried on them (`Observations.aside`). The target is "out" for their
examples then, and where it answered on these (`Observations.target_probabilities`) it is one more
reference of them: a shadow that plays the target has as many references as the target, from one
shadow on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tf_compleak.types.observations import Observations

Statistic = Callable[[Observations], np.ndarray]
NO_IDS = (
    "compares what models say of the same example, and the target's or a shadow's examples have no "
    "ids; give them (Observations.from_arrays(..., ids=...)), the same id for the same example in "
    "every family"
)


@dataclass(frozen=True, eq=False)
class References:
    """K reference models on N examples, a statistic of F numbers each.

    Attributes:
      values: f32[K, F, N], 0 where unknown.
      inside, outside: bool[K, N], whether the model was trained on the example; both False where
        the model was not asked.
      labels: int64[N], -1 where no model was asked; empty where it is not known.
    """

    values: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def mean(self, side: np.ndarray) -> np.ndarray:
        """f64[F, N] mean over the models of one side (`inside`, `outside`); NaN without any."""
        counts = side.sum(axis=0)
        total = np.einsum("kfn,kn->fn", self.values, side, dtype=np.float64)
        return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)

    def spread(self, side: np.ndarray) -> np.ndarray:
        """f64[F]: standard deviation around the examples' own means, shared over examples.

        Where no example has two models of that side, the deviation over all examples.
        """
        counts = side.sum(axis=0)
        mean = np.nan_to_num(self.mean(side))
        squares = np.einsum(
            "kfn,kn->f", (self.values - mean) ** 2, side & (counts > 1), dtype=np.float64
        )
        freedom = int((counts - 1)[counts > 1].sum())
        if not freedom:
            return np.maximum(np.nanstd(self.mean(side), axis=1), 1e-6)
        return np.maximum(np.sqrt(squares / freedom), 1e-6)


class _Answers(NamedTuple):
    """One model on M examples, by ascending ids[M]: statistic f32[F, M], members, labels int[M]."""

    ids: np.ndarray
    values: np.ndarray
    members: np.ndarray
    labels: np.ndarray


class Panel:
    """Reference models whose statistic was computed once, to be looked up by example id.

    The shadows and, where it answered on the examples of all of them, the target: it is asked about
    its own examples nowhere here.

    Attributes:
      ids: every example that some model was asked about, ascending.
      has_target: whether the target is one of the models, the last; `len` counts the shadows alone.
    """

    def __init__(
        self, shadows: Sequence[Observations], statistic: Statistic, with_target: bool = True
    ):
        if not shadows:
            raise ValueError("shadows: none given; an attack is fitted on at least one.")
        for shadow in shadows:
            if shadow.members is None or shadow.members.all() or not shadow.members.any():
                raise ValueError("shadows: each needs known members and non-members.")
            _refuse_no_ids(shadow)
        self._models = [_answers(shadow, statistic) for shadow in shadows]
        self._num_shadows = len(shadows)
        self.has_target = with_target and all(
            shadow.target_probabilities is not None for shadow in shadows
        )
        if self.has_target:
            self._models.append(_of_the_target(shadows, statistic))
        self.ids = np.unique(np.concatenate([model.ids for model in self._models]))

    def __len__(self) -> int:
        return self._num_shadows

    @property
    def target(self) -> int | None:
        """The number of the target among the models, to leave it out; None where it is none."""
        return self._num_shadows if self.has_target else None

    def check_references(self, attack: str) -> None:
        """ValueError where a shadow that plays the target has no reference."""
        if len(self) < 2 and not self.has_target:
            raise ValueError(
                f"{attack}: one shadow needs a model that was asked about its examples and not "
                "trained on them; give the target's answers on them (the target's "
                "Observations.aside, or model files in an audit), or raise --num_shadows."
            )

    def at(self, ids: np.ndarray | None, without: int | None = None) -> References:
        """The models, all or all but one, on the examples called `ids`; ValueError for None."""
        if ids is None:
            raise ValueError(f"the attack {NO_IDS}.")
        models = [model for index, model in enumerate(self._models) if index != without]
        columns = [_nearest(model.ids, ids) for model in models]
        queried = np.stack(
            [model.ids[column] == ids for model, column in zip(models, columns, strict=True)]
        )
        lookups = list(zip(models, columns, queried, strict=True))
        values = np.stack(
            [np.where(mask, model.values[:, column], 0) for model, column, mask in lookups]
        )
        inside = np.stack([model.members[column] & mask for model, column, mask in lookups])
        labels = np.full(len(ids), -1)
        for model, column, mask in lookups:
            labels[mask] = model.labels[column[mask]]
        return References(values, inside, queried & ~inside, labels)


def _refuse_no_ids(shadow: Observations) -> None:
    if shadow.ids is None or (shadow.aside is not None and shadow.aside.ids is None):
        raise ValueError(f"the attack {NO_IDS}.")


def _answers(shadow: Observations, statistic: Statistic) -> _Answers:
    """What one shadow says of its examples and of those aside, by ascending id."""
    parts = [shadow] if shadow.aside is None else [shadow, shadow.aside]
    ids = np.concatenate([part.ids for part in parts])
    values = np.concatenate([np.float32(statistic(part)) for part in parts], axis=1)
    members = np.concatenate([shadow.members, np.zeros(len(ids) - len(shadow), dtype=bool)])
    labels = np.concatenate([part.labels for part in parts])
    order = np.argsort(ids, kind="stable")
    return _Answers(ids[order], values[:, order], members[order], labels[order])


def _of_the_target(shadows: Sequence[Observations], statistic: Statistic) -> _Answers:
    """What the target says of the shadows' examples; it was trained on none of them."""
    ids = np.concatenate([shadow.ids for shadow in shadows])
    values = np.concatenate(
        [np.float32(statistic(shadow.by_the_target())) for shadow in shadows], axis=1
    )
    labels = np.concatenate([shadow.labels for shadow in shadows])
    order = np.argsort(ids, kind="stable")
    return _Answers(ids[order], values[:, order], np.zeros(len(ids), dtype=bool), labels[order])


def _nearest(model_ids: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """int64[N] index into the ascending `model_ids` of every id; of another where it lacks one."""
    return np.minimum(np.searchsorted(model_ids, ids), len(model_ids) - 1)
