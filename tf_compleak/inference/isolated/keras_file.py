"""A `.keras` or `.h5` file, held against the lists of `keras_allowed` before Keras sees it.

Keras' own `safe_mode` has been got round more than once (CVE-2025-1550, CVE-2025-8747), does not
hold for `.h5` (CVE-2025-9905), and Keras 2 calls functions that a config names while it loads.
In the isolated process only.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tf_compleak.inference.isolated import keras_allowed
from tf_compleak.inference.ports import cast, chosen, clean, rows_of, tensor_port

LARGEST = 4 * 2**30  # bytes that a .keras file may hold when unpacked
CONFIG = 64 * 2**20  # bytes that a config may have
SUFFIXES = {"keras": (".keras",), "h5": (".h5", ".hdf5")}  # what Keras chooses its reader by
MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
OTHER_FILE = "keeps its data in another file ({}); save the model again"


@dataclass(frozen=True)
class Checked:
    """A file that names nothing but what is allowed, its kind and the Keras that wrote it."""

    file: Path
    kind: str
    version: str


class KerasFile:
    """A `.keras` or `.h5` file of Keras 2 or 3, loaded without its compile settings."""

    def __init__(self, checked: Checked, batch: int, output: str):
        self.kind, self.batch, file = checked.kind, batch, checked.file
        import tensorflow as tf

        if is_keras_2(checked):
            import tf_keras as keras
        else:
            import keras
        try:
            model = keras.models.load_model(file, compile=False, safe_mode=True)
        except MemoryError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            version = checked.version or "?"
            raise ValueError(f"cannot be loaded by Keras {version} ({reason})") from error
        if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
            raise ValueError("is a model without fixed inputs; save it after it was built")
        self._model = tf.function(lambda given: model(given, training=False), reduce_retracing=True)
        self.inputs = [tensor_port(t, n) for t, n in _named(model.inputs, model, "input_names")]
        self.outputs = [tensor_port(t, n) for t, n in _named(model.outputs, model, "output_names")]
        self._number = chosen(self.outputs, output)
        self.output = self.outputs[self._number]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        given = [cast(rows[port.name], port.dtype) for port in self.inputs]
        outputs = self._model(given[0] if len(given) == 1 else given)
        if isinstance(outputs, dict):
            outputs = list(outputs.values())
        wanted = outputs[self._number] if isinstance(outputs, (list, tuple)) else outputs
        return rows_of(np.asarray(wanted), len(given[0]))


def is_keras_2(checked: Checked) -> bool:
    """Whether Keras 2 is to load the file; what says nothing goes to Keras 3, which calls less."""
    return checked.version.startswith("2.")


def check(file: Path, kind: str, *, lists: bool = True) -> Checked:
    """The file, once it is sure that it names and opens nothing that is not allowed.

    Raises:
      ValueError: naming the layer, function or member, and the remedy.
    """
    if file.suffix not in SUFFIXES[kind]:  # else Keras might read what was not checked
        raise ValueError(f"holds a Keras model; name the file *.{kind}")
    config, version = _keras_config(file, lists) if kind == "keras" else _h5_config(file, lists)
    if lists:
        refuse_others(config)
    return Checked(file, kind, version)


def _named(tensors, model, attribute: str) -> Iterator[tuple[Any, str]]:
    names = getattr(model, attribute, None) or [tensor.name for tensor in tensors]
    return zip(tensors, (clean(str(name)) for name in names), strict=True)


def _keras_config(file: Path, lists: bool) -> tuple[Any, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise ValueError("unpacks to more than 4 GiB")
            if lists and (len(set(names)) < len(names) or not set(names) <= MEMBERS):
                odd = next((n for n in names if n not in MEMBERS), "one name twice")
                raise ValueError(
                    f"holds {odd}, which is no part of a plain model (vocabularies and assets are "
                    "not read); export the model to .tflite, with inputs as numbers"
                )
            config = json.loads(_member(archive, "config.json"))
            meta = json.loads(_member(archive, "metadata.json"))
            if "model.weights.h5" in names and lists:
                with archive.open("model.weights.h5") as weights:
                    _refuse_links(io.BytesIO(weights.read(LARGEST)))
        if not isinstance(config, dict) or not isinstance(meta, dict):
            raise ValueError("is damaged: its config is no Keras config; save the model again")
        return config, str(meta.get("keras_version", ""))
    except (KeyError, zipfile.BadZipFile, UnicodeDecodeError, EOFError, OSError) as error:
        raise ValueError(_damaged(".keras", error)) from error
    except (json.JSONDecodeError, NotImplementedError, zipfile.zlib.error, RuntimeError) as error:
        if isinstance(error, RecursionError):
            raise
        raise ValueError(_damaged(".keras", error)) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        text = member.read(CONFIG + 1)
    if len(text) > CONFIG:
        raise ValueError(f"its {name} has more than {CONFIG >> 20} MiB; export the model again")
    return text


def _damaged(kind: str, error: Exception) -> str:
    return f"is no {kind} file, or damaged ({error}); save the model again"


def _h5_config(file: Path, lists: bool) -> tuple[Any, str]:
    try:
        with h5py.File(file, "r") as archive:
            config, version = (archive.attrs.get(k, "") for k in ("model_config", "keras_version"))
            if lists:
                _refuse_outside(archive)
        texts = [t.decode("utf-8") if isinstance(t, bytes) else str(t) for t in (config, version)]
        if not texts[0]:
            raise ValueError("holds weights but no model; save the whole model")
        config = json.loads(texts[0])
    except (OSError, KeyError, RuntimeError, TypeError, UnicodeDecodeError) as error:
        if isinstance(error, RecursionError):
            raise
        raise ValueError(_damaged(".h5", error)) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"its model_config is damaged ({error}); save the model again") from error
    return config, texts[1]


def _refuse_links(content: io.BytesIO) -> None:
    with h5py.File(content, "r") as archive:
        _refuse_outside(archive)


def _refuse_outside(archive: h5py.File) -> None:
    """ValueError for links, external storage or virtual data: they would have other files read."""
    waiting, seen = [archive], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ValueError(f"holds a link to another file ({name}); save the model again")
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"holds a link ({name}), which Keras never writes; save it again")
            child = group[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(child, h5py.Group):
                waiting.append(child)
            elif isinstance(child, h5py.Dataset) and (child.external or child.is_virtual):
                raise ValueError(OTHER_FILE.format(name))


def refuse_others(config: Any) -> None:
    """ValueError when a Keras config names a class or function that no list allows.

    The settings of compile are left out: they are never loaded.
    """
    if not isinstance(config, dict):
        raise ValueError("its config is no Keras config; save the model again")
    for part in _parts({key: value for key, value in config.items() if key != "compile_config"}):
        if "class_name" in part:
            _refuse_class(part)
        _refuse_activations(part)


def _refuse_class(part: dict) -> None:
    name, module = part["class_name"], part.get("module")
    if not isinstance(name, str) or not isinstance(module, (str, type(None))):
        raise ValueError("its config is damaged: a class without a name; save the model again")
    label = f"{module}.{name}" if module else name
    registered = part.get("registered_name")
    if name in ("Lambda", "__lambda__"):
        raise ValueError("holds a Lambda layer, which is code; it is never run. Replace it, or "
                         "export the model to .tflite")  # fmt: skip
    if name == "function":
        if module not in (None, "builtins", "keras.activations", "tf_keras.activations") or (
            part.get("config") not in keras_allowed.ACTIVATIONS
            or registered not in (None, "function", part.get("config"))
        ):
            raise ValueError(_never(f"the function {module}.{part.get('config')}"))
        return
    if module and ("tensorflow_model_optimization" in module or "tfmot" in module):
        raise ValueError(f"names {label}; call strip_pruning or strip_clustering before saving")
    if not _is_registered(registered, name):  # Keras 2 looks it up, too, where it finds no class
        raise ValueError(_never(f"the custom object {registered}"))
    if name in ("TFOpLambda", "SlicingOpLambda"):
        _refuse_function(part)
    elif name not in keras_allowed.CLASSES or not _is_module(module):
        raise ValueError(_never(label))


def _is_registered(registered: Any, name: str) -> bool:
    """Whether the name under which a class is registered is its own."""
    if registered is None or registered == name:
        return True
    text = registered if isinstance(registered, str) else ""
    return _of_keras(text) and text.rpartition(">")[2] == name


def _is_module(module: str | None) -> bool:
    return module in (None, "", "builtins") or bool(keras_allowed.MODULES.fullmatch(module))


def _refuse_function(part: dict) -> None:
    """Keras 2 calls the function that such a layer names, also while it loads a file."""
    config = part.get("config")
    name = config.get("function") if isinstance(config, dict) else None
    if not isinstance(name, str) or not keras_allowed.function(name):
        raise ValueError(_never(f"the function tf.{name}"))


def _refuse_activations(part: dict) -> None:
    for key, value in part.items():
        if isinstance(value, str) and str(key).endswith("activation"):
            name = value.rpartition(">")[2] if _of_keras(value) else value
            if name not in keras_allowed.ACTIVATIONS:
                raise ValueError(_never(f"the activation {value}"))


def _never(what: str) -> str:
    return (
        f"names {what}, which is not among the layers and functions of Keras that are opened; "
        "export the model to .tflite, or save one of Keras' own layers alone"
    )


def _of_keras(registered: str) -> bool:
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
