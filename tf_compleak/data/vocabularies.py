"""Texts become token ids int32[N, T]: vocabularies, and keras-nlp's tokenizers.

Id 0 is padding, always. WordPiece (for BERT): `[CLS]` text `[SEP]`, and `[PAD]` must be the first
token of the vocabulary. Byte pairs (for GPT-2): text `<|endoftext|>`, every id one higher than in
the vocabulary, whose id 0 is a token like any other.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_compleak.engine import bounded_reads
from tf_compleak.types import validators

KINDS = {"bert": "word pieces", "gpt2": "byte pairs"}
OWN = ("members", "outside")  # values of --vocabulary that are no path
FOLDERS = ("", "assets/tokenizer")


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer needs.

    Attributes:
      kind: the model that it is for, "bert" or "gpt2".
      tokens: by id.
      merges: of byte pairs, each "LEFT RIGHT", the first applied first.
      lowercase: whether texts are lowered first (word pieces).
    """

    kind: str
    tokens: tuple[str, ...]
    merges: tuple[str, ...] = ()
    lowercase: bool = True

    def __post_init__(self):
        tokens = set(self.tokens)
        needed = {
            "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
            "gpt2": ("<|endoftext|>",),
        }
        missing = [token for token in needed[self.kind] if token not in tokens]
        if missing or (self.kind == "bert" and self.tokens[0] != "[PAD]"):
            what = f"lacks {', '.join(missing)}" if missing else "does not begin with [PAD]"
            raise ValueError(
                f"vocabulary: {what}; {self.kind} takes {KINDS[self.kind]} with these."
            )

    @property
    def size(self) -> int:
        """Number of different ids, padding included."""
        return len(self.tokens) + (self.kind == "gpt2")

    def encode(self, texts: Sequence[str], length: int) -> np.ndarray:
        """int32[N, length]: the first tokens of every text between its marks, then zeros.

        A word is one token or more, so no more than `length` words are looked at.
        """
        from tf_compleak.models import keras_nlp_bridge

        texts = [_first_words(text, length) for text in texts]
        if self.kind == "bert":
            start, end = ([self.tokens.index(token)] for token in ("[CLS]", "[SEP]"))
            token_ids = keras_nlp_bridge.word_piece_ids(texts, self.tokens, self.lowercase)
        else:
            ids = {token: index for index, token in enumerate(self.tokens)}
            start, end = [], [ids["<|endoftext|>"] + 1]
            rows = keras_nlp_bridge.byte_pair_ids(texts, ids, self.merges)
            token_ids = [[index + 1 for index in row] for row in rows]
        room = length - len(start) - len(end)
        table = np.zeros((len(texts), length), np.int32)
        for line, row in zip(table, token_ids, strict=True):
            row = [*start, *row[:room], *end]
            line[: len(row)] = row
        return table

    def to_json(self) -> dict:
        """A dict of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> Vocabulary:
        """The inverse of `to_json`."""
        lists = {key: tuple(values[key]) for key in ("tokens", "merges")}
        return cls(**{**values, **lists})


def _first_words(text: str, count: int) -> str:
    words = itertools.islice(re.finditer(r"\S+", text), count)
    return text[: max((word.end() for word in words), default=0)]


def train(kind: str, texts: Sequence[str], size: int) -> Vocabulary:
    """The vocabulary of `texts`, of at most `size` ids."""
    from tf_compleak.models import keras_nlp_bridge

    if kind == "bert":
        return Vocabulary(kind, tuple(keras_nlp_bridge.train_word_pieces(texts, size)))
    ids, merges = keras_nlp_bridge.train_byte_pairs(texts, size - 1)
    return Vocabulary(kind, tuple(sorted(ids, key=ids.get)), tuple(merges))


def read(kind: str, path: str) -> Vocabulary:
    """The vocabulary in a file or folder.

    Word pieces: a file of one token a line, or a folder with `vocab.txt` or `vocabulary.txt`.
    Byte pairs: a folder with `vocab.json` (or `vocabulary.json`) and `merges.txt`.

    Raises:
      ValueError, FileNotFoundError: in one line that says what is missing or wrong.
    """
    source = Path(path).expanduser()
    try:
        if kind == "bert":
            file = source if source.is_file() else _within(source, "vocab.txt", "vocabulary.txt")
            return Vocabulary(kind, tuple(bounded_reads.text(file).splitlines()))
        ids = bounded_reads.json_object(_within(source, "vocab.json", "vocabulary.json"))
        lines = bounded_reads.text(_within(source, "merges.txt")).splitlines()
        merges = tuple(line for line in lines if line and not line.startswith("#version"))
        tokens = sorted(ids, key=ids.get)
        if [ids[token] for token in tokens] != list(range(len(ids))):
            raise ValueError("ids are not 0, 1, 2, ... without gaps")
        return Vocabulary(kind, tuple(tokens), merges)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--vocabulary={path}: {error}.") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"--vocabulary={path}: cannot be read as {KINDS[kind]} ({error})."
        ) from error


def _within(folder: Path, *names: str) -> Path:
    for name in (f"{below}/{name}" if below else name for below in FOLDERS for name in names):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no {' or '.join(names)} there")


def of_preset(kind: str, tokenizer) -> Vocabulary:
    """The vocabulary of a preset's tokenizer."""
    ids = tokenizer.vocabulary
    if kind == "bert":
        return Vocabulary(kind, tuple(ids), lowercase=bool(tokenizer.lowercase))
    return Vocabulary(kind, tuple(sorted(ids, key=ids.get)), tuple(tokenizer.merges))


def check_length(length: int, positions: int, preset: str = "") -> None:
    """ValueError unless a sequence fits the position table."""
    validators.at_least("--sequence_length", length, 4)
    if length > positions:
        whose = f"--preset={preset}" if preset else "the model"
        raise ValueError(
            f"--sequence_length={length}: longer than the position table of {whose} "
            f"({positions} positions); lower it."
        )
