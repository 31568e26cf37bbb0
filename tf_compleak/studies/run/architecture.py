"""The architecture of a study: its flags together with the data that it is to fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from tf_compleak.engine.declaration import Declaration
from tf_compleak.engine.stage import Stage
from tf_compleak.engine.workdir import Workdir
from tf_compleak.models import TEXT, ModelSpec, TextSpec
from tf_compleak.studies.study import Study
from tf_compleak.types import Examples, Split, Texts


class StudyFiles(Protocol):
    """What of a study's files its architecture and its stages depend on; see `source.Source`."""

    study: Study
    sha256: str
    workdir: Workdir
    examples: Examples
    splits: Mapping[str, Split]
    holds_texts: bool
    in_splits: np.ndarray
    own_code: str
    teacher: StudyFiles | None

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        ...

    def under(self, remedy: str) -> StudyFiles:
        """The same study under a remedy of another training."""
        ...

    def fingerprint(self, stage: Declaration) -> str:
        """Of a stage before the attacks."""
        ...

    def tokens(self, family: str) -> Stage:
        """The texts as ids of a family's vocabulary."""
        ...

    def preset(self) -> Stage:
        """The weights that text models start from."""
        ...

    def learned_from(self, family: str) -> Any:
        """What a family's vocabulary is learned from; None where it is given."""
        ...

    def calibration(self, family: str) -> np.ndarray:
        """Indices of the examples that activation ranges are found on."""
        ...

    def aside(self, family: str) -> np.ndarray:
        """Indices of the examples beside a family's own that attacks ask about."""
        ...


def check(study: Study, examples: Examples) -> None:
    """ValueError where a flag of the study does not go with the kind of its data."""
    texts = isinstance(examples.x, Texts)
    if texts and (study.family or study.train_command):
        which = "--family" if study.family else "--train_command"
        raise ValueError(
            f"--dataset={study.dataset}: holds texts, whose token ids depend on a vocabulary; "
            f"{which} takes numbers: give the ids that your model takes as npz:PATH, or x and y."
        )
    if texts and study.model not in TEXT:
        raise ValueError(
            f"--dataset={study.dataset}: holds texts, --model={study.model} does not take them; "
            f"choose {' or '.join(sorted(TEXT))}."
        )
    if texts or len(examples.x.shape) != 4:
        kind = "texts" if texts else f"inputs of shape {examples.x.shape[1:]}"
        for flag, value in (
            ("augmentation", ",".join(study.augmentation)),
            ("queries", study.queries),
        ):
            if value:
                raise ValueError(
                    f"--{flag}={value}: flips and shifts images, the data has {kind}; leave it out."
                )


def spec(source: StudyFiles) -> ModelSpec:
    """The architecture of the study; ValueError when it does not fit the data."""
    study, examples = source.study, source.examples
    shape, sizes, text = tuple(examples.x.shape[1:]), (study.depth, study.width), None
    if study.family:
        return ModelSpec("", 0, 0, shape, examples.classes, code=study.code)
    if source.holds_texts:
        shape, text = (study.sequence_length,), _text_spec(source)
        if study.preset:
            sizes = _preset_sizes(source)
    return ModelSpec(study.model, *sizes, shape, examples.classes, text)


def _text_spec(source: StudyFiles) -> TextSpec:
    study = source.study
    size = max(source.tokens(family).facts()["size"] for family in source.splits)
    if source.learned_from("target") is not None:
        size = study.vocabulary_size  # the same for every family, so that one graph serves all
    if not study.preset:
        return TextSpec(size, study.sequence_length, study.heads, 0, study.dropout)
    facts, start = source.preset().facts(), source.preset().folder() / "weights.npz"
    if size != facts["vocabulary"]:
        raise ValueError(
            f"--vocabulary={study.vocabulary}: {size} tokens, --preset={study.preset} has "
            f"{facts['vocabulary']}; use the preset's own: leave --vocabulary out."
        )
    return TextSpec(
        size, facts["positions"], facts["heads"], facts["feed_forward"], study.dropout, str(start)
    )


def _preset_sizes(source: StudyFiles) -> tuple[int, int]:
    study, facts = source.study, source.preset().facts()
    for name in ("depth", "width", "heads"):
        if getattr(study, name) not in (0, facts[name]):
            raise ValueError(
                f"--{name}={getattr(study, name)}: --preset={study.preset} has {facts[name]}; "
                f"leave --{name} out."
            )
    return facts["depth"], facts["width"]
