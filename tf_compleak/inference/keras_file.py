"""A `.keras` or `.h5` file, searched for code before Keras sees it.

`safe_mode` has been got round more than once (CVE-2025-1550, CVE-2025-8747) and does not hold for
`.h5` (CVE-2025-9905). For the worker process of `sandbox` only.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.inference.ports import cast, chosen, clean, rows_of, tensor_port

LARGEST = 4 * 2**30  # bytes that a .keras file may hold when unpacked
SAFE = re.compile(r"(keras|tf_keras)(\.|$)")


class KerasFile:
    """A `.keras` or `.h5` file of Keras 2 or 3, loaded without its compile settings."""

    def __init__(self, file: Path, kind: str, batch: int, output: str):
        self.kind, self.batch = kind, batch
        version = harmless(file, kind)
        import tensorflow as tf

        if version.startswith("2."):
            import tf_keras as keras
        else:
            import keras
        named = file if file.suffix in (".keras", ".h5", ".hdf5") else None
        if named is None:
            raise ValueError(f"holds a Keras model; name the file *.{kind}")
        try:
            model = keras.models.load_model(file, compile=False, safe_mode=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot be loaded by Keras {version or '?'} ({reason})") from error
        if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
            raise ValueError("is a model without fixed inputs; save it after it was built")
        self._model = tf.function(lambda given: model(given, training=False), reduce_retracing=True)
        self.inputs = [tensor_port(t, n) for t, n in _named(model.inputs, model, "input_names")]
        self.outputs = [tensor_port(t, n) for t, n in _named(model.outputs, model, "output_names")]
        self._place = chosen(self.outputs, output)
        self.output = self.outputs[self._place]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        given = [cast(rows[port.name], port.dtype) for port in self.inputs]
        found = self._model(given[0] if len(given) == 1 else given)
        if isinstance(found, dict):
            found = list(found.values())
        found = found[self._place] if isinstance(found, (list, tuple)) else found
        return rows_of(np.asarray(found), len(given[0]))


def harmless(file: Path, kind: str) -> str:
    """The version of Keras that wrote a file, once it is sure that the file holds no code."""
    config, version = _keras_config(file) if kind == "keras" else _h5_config(file)
    refuse_code(config)
    return version


def _named(tensors, model, attribute: str) -> Iterator[tuple[Any, str]]:
    names = getattr(model, attribute, None) or [tensor.name for tensor in tensors]
    return zip(tensors, (clean(str(name)) for name in names), strict=True)


def _keras_config(file: Path) -> tuple[Any, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST:
                raise ValueError("unpacks to more than 4 GiB")
            config = json.loads(archive.read("config.json"))
            meta = json.loads(archive.read("metadata.json"))
        return config, str(meta.get("keras_version", ""))
    except (KeyError, zipfile.BadZipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"is no .keras file, or damaged ({error})") from error


def _h5_config(file: Path) -> tuple[Any, str]:
    import h5py

    try:
        with h5py.File(file, "r") as archive:
            config, version = (archive.attrs.get(k, "") for k in ("model_config", "keras_version"))
            _refuse_links(archive)
    except OSError as error:
        raise ValueError(f"is no .h5 file, or damaged ({error})") from error
    texts = [t.decode("utf-8") if isinstance(t, bytes) else str(t) for t in (config, version)]
    if not texts[0]:
        raise ValueError("holds weights but no model; save the whole model")
    try:
        return json.loads(texts[0]), texts[1]
    except json.JSONDecodeError as error:
        raise ValueError(f"its model_config is damaged ({error})") from error


def _refuse_links(group) -> None:
    """Links to other files would have them read."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"holds a link to another file ({name}); save the model again")
        if isinstance(link, h5py.HardLink):
            child = group[name]
            if isinstance(child, h5py.Group):
                _refuse_links(child)
            elif getattr(child, "external", None):
                raise ValueError(f"keeps its data in another file ({name}); save the model again")


def refuse_code(config: Any) -> None:
    """ValueError when a Keras config names anything that is not a layer or setting of Keras.

    Lambda layers, functions, and classes of other modules can run code when they are loaded.
    """
    for part in _parts(config):
        name = str(part.get("class_name", ""))
        if name in ("Lambda", "__lambda__") or "__lambda__" in part:
            raise ValueError("holds a Lambda layer, which is code; it is never run. Replace it")
        module = part.get("module")
        if isinstance(module, str) and not SAFE.match(module):
            if name == "function" and _is_activation(part):
                continue
            remedy = "save a model of Keras layers alone"
            if "tensorflow_model_optimization" in module or "tfmot" in module:
                remedy = "call strip_pruning or strip_clustering before saving"
            raise ValueError(
                f"names {module}.{name}, which is not part of Keras and is never imported; {remedy}"
            )
        if isinstance(module, str) and not _plain_module(module, name):
            raise ValueError(f"names {module}.{name}, which is no layer or setting of Keras")
        registered = part.get("registered_name")
        if isinstance(registered, str) and ">" in registered and not _own(registered):
            raise ValueError(f"needs the custom object {registered}, which is never imported")


ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "softmax", "log_softmax", "sigmoid", "hard_sigmoid", "tanh", "linear"),
        *("elu", "selu", "gelu", "silu", "swish", "hard_silu", "hard_swish", "leaky_relu"),
        *("softplus", "softsign", "exponential", "mish"),
    )
)
MODULES = re.compile(
    r"(tf_)?keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|dtype_policies|"
    r"mixed_precision|activations|engine|metrics|losses|optimizers|random)(\.\w+)*)?$"
)


def _plain_module(module: str, name: str) -> bool:
    return bool(MODULES.match(module)) and name != "function"


def _is_activation(part: dict) -> bool:
    return part.get("module") == "builtins" and part.get("config") in ACTIVATIONS


def _own(registered: str) -> bool:
    return registered.split(">")[0] in ("keras", "tf_keras", "Keras")


def _parts(config: Any) -> Iterator[dict]:
    """Every dict in a config."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += list(part.values())
        elif isinstance(part, list):
            waiting += part
