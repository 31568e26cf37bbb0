"""The one bridge to keras-nlp, and with it to Keras 3: tokenizers, presets, reference backbones."""

from __future__ import annotations

import json
import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

RESERVED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END = "<|endoftext|>"
HOSTS = {"hf": "huggingface.co", "kaggle": "www.kaggle.com"}
PATIENCE = 6.0  # seconds to reach a host


def train_word_pieces(texts: Sequence[str], size: int) -> list[str]:
    """A WordPiece vocabulary of at most `size` tokens, lower case, `[PAD]` first.

    By the `tokenizers` library, which keras-nlp builds on: its own trainer takes a minute for what
    this does in a second.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    characters = {c for text in texts for c in learner.normalizer.normalize_str(text)}
    endings = [f"##{c}" for c in sorted(characters) if not c.isspace()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(size, len(RESERVED) + 2 * len(endings)),
        special_tokens=[
            *RESERVED,
            *endings,
        ],  # else their order, and with it ties, is left to chance
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    vocabulary = learner.get_vocab()
    return sorted(vocabulary, key=vocabulary.get)[:size]


def train_byte_pairs(texts: Sequence[str], size: int) -> tuple[dict[str, int], list[str]]:
    """A byte-pair vocabulary of at most `size` tokens, and its merges (by `tokenizers`, too)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return model["vocab"], merges


def word_piece_ids(texts: Sequence[str], vocabulary: Sequence[str], lowercase: bool):
    """Lists of token ids by keras-nlp's `BertTokenizer`, without start and end."""
    from keras_nlp.models import BertTokenizer

    return _ids(BertTokenizer(vocabulary=list(vocabulary), lowercase=lowercase), texts)


def byte_pair_ids(texts: Sequence[str], vocabulary: dict[str, int], merges: Sequence[str]):
    """Lists of token ids by keras-nlp's `GPT2Tokenizer`, without an end."""
    from keras_nlp.models import GPT2Tokenizer

    return _ids(GPT2Tokenizer(vocabulary=vocabulary, merges=list(merges)), texts)


def _ids(tokenizer, texts: Sequence[str], batch: int = 512):
    import tensorflow as tf

    ids = []
    data = tf.data.Dataset.from_tensor_slices(list(texts)).batch(batch).map(tokenizer)
    for rows in data:
        ids += rows.to_list()
    return ids


def backbone(kind: str, **sizes):
    """A keras-nlp backbone ("bert" or "gpt2") with random weights: what ours is held against."""
    from keras_nlp import models

    return {"bert": models.BertBackbone, "gpt2": models.GPT2Backbone}[kind](**sizes)


def weights_of(backbone) -> dict[str, np.ndarray]:
    """The backbone's weights f32 by path, such as "transformer_layer_0/.../kernel"."""
    return {weight.path: np.asarray(weight, np.float32) for weight in backbone.weights}


def load_preset(kind: str, preset: str):
    """Backbone and tokenizer of a preset: a keras-nlp name, or a folder of keras-nlp or HF files.

    Raises:
      ValueError, OSError: in one line when it is not there, cannot be reached or is another kind.
    """
    source = folder_or_reachable_name(preset)
    from keras_nlp import models

    backbones = {"bert": models.BertBackbone, "gpt2": models.GPT2Backbone}
    tokenizers = {"bert": models.BertTokenizer, "gpt2": models.GPT2Tokenizer}
    try:
        return backbones[kind].from_preset(source), tokenizers[kind].from_preset(source)
    except Exception as error:  # whatever keras-nlp makes of another kind of folder
        text = " ".join(str(error).split())[:200]
        raise ValueError(
            f"--preset={preset}: cannot be loaded as a {kind} preset ({text}); name a preset or "
            f"a folder of --model={kind}."
        ) from error


def folder_or_reachable_name(preset: str) -> str:
    """The folder of a preset, or its name where it must be fetched and its host can be reached.

    A host that cannot be reached is found out in seconds: keras-nlp itself would try for minutes.
    """
    folder = Path(preset).expanduser()
    if folder.is_dir():
        return str(folder)
    scheme = preset.partition("://")[0] if "://" in preset else "kaggle"
    if "://" not in preset:
        from keras_nlp import models

        presets = {**models.BertBackbone.presets, **models.GPT2Backbone.presets}
        if preset not in presets:
            raise FileNotFoundError(
                f"--preset={preset}: no folder of that name, and no such keras-nlp preset; known: "
                f"{', '.join(sorted(presets))}."
            )
        if cached := _cached(presets[preset].get("kaggle_handle", "")):
            return cached
    host = HOSTS.get(scheme, "")
    if not host or not _reachable(host):
        raise FileNotFoundError(
            f"--preset={preset}: {host or scheme} cannot be reached; copy the preset's folder here "
            "from where there is a network, and name that folder."
        )
    return preset


def _cached(handle: str) -> str:
    """The folder that a preset was downloaded to before, "" where there is none."""
    home = os.environ.get("KAGGLEHUB_CACHE", "~/.cache/kagglehub")
    folder = Path(home).expanduser() / "models" / handle.removeprefix("kaggle://")
    folders = [folder, *sorted(folder.glob("*"))] if folder.is_dir() else []
    complete = [version for version in folders if (version / "config.json").is_file()]
    return str(complete[-1]) if complete else ""


def _reachable(host: str) -> bool:
    proxy = urllib.parse.urlsplit(urllib.request.getproxies().get("https", ""))
    where = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, 443)
    reached = []

    def connect():
        try:
            socket.create_connection(where, timeout=PATIENCE).close()
            reached.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)  # a name server may hang, too
    thread.start()
    thread.join(PATIENCE)
    return bool(reached)
