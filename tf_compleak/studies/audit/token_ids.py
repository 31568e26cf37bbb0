"""Texts of an audit as token ids: by the vocabulary that its versions were trained with."""

from __future__ import annotations

import dataclasses

from tf_compleak.data import vocabularies
from tf_compleak.data.sides import Side, X
from tf_compleak.engine.stage import digest
from tf_compleak.studies.audit.audit_settings import Audit
from tf_compleak.studies.audit.query import Family


def tokenized(family: Family, settings: Audit) -> Family:
    """The family with its texts as int32[N, T] token ids; sides of numbers stay as they are.

    A shadow that has a vocabulary of its own takes that: it was trained with it.

    Raises:
      ValueError, OSError: for a vocabulary that cannot be read, naming it.
    """
    if all(side.texts is None for side in family.sides):
        return family
    path = family.vocabulary or settings.vocabulary
    vocabulary = vocabularies.read(settings.tokenizer, path)
    sides = tuple(_with_ids(side, vocabulary, settings.sequence_length) for side in family.sides)
    prints = tuple(digest(side.inputs[X]) for side in sides if side.texts is not None)
    return dataclasses.replace(family, sides=sides, digests=(*family.digests, *prints))


def _with_ids(side: Side, vocabulary: vocabularies.Vocabulary, length: int) -> Side:
    if side.texts is None:
        return side
    return dataclasses.replace(side, inputs={X: vocabulary.encode(side.texts, length)})
