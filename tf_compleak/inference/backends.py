"""Opening model files of every kind, for the worker process of `sandbox` only.

Files are untrusted. A `.keras` or `.h5` file is searched for code before Keras sees it, since
`safe_mode` has been got round more than once (CVE-2025-1550, CVE-2025-8747) and does not hold for
`.h5` (CVE-2025-9905); a SavedModel is searched for operations that touch files or run Python.
"""

from __future__ import annotations

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tf_compleak.inference.quantized import dequantized, quantized

LARGEST = 4 * 2**30  # bytes that a .keras file may hold when unpacked


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
      name: without the decorations of exporters.
      shape: of one example; -1 where any size goes.
      dtype: a NumPy name.
      scale, zero: of a quantized port; scale 0 where it is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero: int = 0


class Backend(Protocol):
    """An opened file; `run` takes rows of every input, `batch` of them or fewer.

    Rows are f32; those of a quantized `.tflite` input may be in its own integers.
    """

    kind: str
    batch: int
    inputs: list[Port]
    outputs: list[Port]
    output: Port

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """The outputs, f32[n, C]."""
        ...


def kind_of(path: str) -> str:
    """ "tflite", "keras", "h5" or "savedmodel", by what is in the file; ValueError for others."""
    file = Path(path).expanduser()
    if file.is_dir():
        return "savedmodel"
    try:
        head = file.open("rb").read(8)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    if not head:
        raise ValueError("is empty; export the model again")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[:4] == b"PK\x03\x04":
        return "keras"
    if head == b"\x89HDF\r\n\x1a\n":
        return "h5"
    raise ValueError(
        "is no model file: neither .tflite (no TFL3 mark), nor .keras (zip), .h5 (HDF5) or a "
        "SavedModel folder; export the model again"
    )


def load_runtime(path: str) -> None:
    """Import what a file is run on, which takes a time that is not the file's fault.

    What can be refused without it is refused first.
    """
    kind, file = kind_of(path), Path(path).expanduser()
    if kind in ("keras", "h5"):
        _harmless(file, kind)
    if kind == "savedmodel":
        _check_folder(file)
    importlib.import_module("ai_edge_litert.interpreter" if kind == "tflite" else "tensorflow")


def open_file(path: str, batch: int, threads: int, output: str, signature: str) -> Backend:
    """The backend of a file or folder; ValueError in one line when it cannot be used."""
    file, kind = Path(path).expanduser(), kind_of(path)
    if kind == "tflite":
        return TFLite(file, batch, threads, output, signature)
    if kind == "savedmodel":
        return SavedModel(file, batch, output, signature)
    return KerasFile(file, kind, batch, output)


def chosen(ports: list[Port], wanted: str) -> int:
    """The place of the output that is asked for; ValueError that lists them when it is unclear."""
    names = [port.name for port in ports]
    if wanted in names:
        place = names.index(wanted)
    elif wanted.isdecimal() and int(wanted) < len(ports):
        place = int(wanted)
    elif wanted or len(ports) != 1:
        has = ", ".join(f"{port.name} {list(port.shape)}" for port in ports)
        said = f"has no output {wanted!r}" if wanted else f"has {len(ports)} outputs"
        raise ValueError(f"{said}; choose by --output=NAME or its number: {has}")
    else:
        place = 0
    shape = ports[place].shape
    if not shape or any(size != 1 for size in shape[:-1]):
        raise ValueError(
            f"output {names[place]} has shape {list(shape)} for an example, [classes] is expected; "
            "is this a classifier?"
        )
    return place


def _clean(name: str) -> str:
    return re.sub(r"^serving_default_|:\d+$", "", name)


def _rows(outputs: np.ndarray, count: int) -> np.ndarray:
    """f32[n, C] of outputs [n, 1, ..., C]."""
    if len(outputs) != count:
        raise ValueError(f"answers {count} examples with {len(outputs)} rows")
    return np.ascontiguousarray(outputs.reshape(count, -1), np.float32)


# TF-Lite ------------------------------------------------------------------------------------------


class TFLite:
    """A `.tflite` file on LiteRT; any batch that it takes, its own otherwise."""

    kind = "tflite"

    def __init__(self, file: Path, batch: int, threads: int, output: str, signature: str):
        from ai_edge_litert.interpreter import Interpreter

        content = file.read_bytes()
        self._new = lambda: _loaded(Interpreter(model_content=content, num_threads=threads))
        self._interpreter = _guarded(self._new)
        self._signature = _signature(self._interpreter, signature)
        self._describe(output)
        first = self._inputs[0]["shape"]
        self.batch = int(first[0]) if len(first) else 1
        if batch != self.batch and not self._takes(batch):
            self._interpreter = _guarded(self._new)
            self._describe(output)

    def _describe(self, output: str) -> None:
        self._runner, self._names = None, {}
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        if self._signature:
            runner = self._interpreter.get_signature_runner(self._signature)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
            self._names = {d["index"]: name for name, d in {**inputs, **outputs}.items()}
            if len(self._interpreter.get_signature_list()) > 1:
                self._runner = runner
                self._inputs, self._outputs = list(inputs.values()), list(outputs.values())
        if not self._inputs or not self._outputs:
            raise ValueError("has no inputs or no outputs")
        self.inputs = [self._port(detail) for detail in self._inputs]
        self.outputs = [self._port(detail) for detail in self._outputs]
        self._place = chosen(self.outputs, output)
        self.output = self.outputs[self._place]

    def _port(self, detail: dict) -> Port:
        shape = detail.get("shape_signature", detail["shape"])
        shape = shape if len(shape) else detail["shape"]
        scale, zero = detail["quantization"]
        name = self._names.get(detail["index"], _clean(detail["name"]))
        sizes = tuple(int(size) for size in shape[1:])
        return Port(name, sizes, np.dtype(detail["dtype"]).name, float(scale), int(zero))

    def _takes(self, batch: int) -> bool:
        """Try a batch size; a refused one leaves the interpreter unusable."""
        if any(not len(detail["shape"]) for detail in self._inputs):
            return False
        shapes = [[batch, *map(abs, map(int, detail["shape"][1:]))] for detail in self._inputs]
        rng = np.random.default_rng(0)
        probe = [rng.random(shape, dtype=np.float32) for shape in shapes]
        try:
            together = self._invoke(probe)
            turned = self._invoke([rows[::-1] for rows in probe])
        except (ValueError, RuntimeError):
            return False
        if len(together) != batch or len(turned) != batch:
            return False
        near = np.allclose(together, turned[::-1], atol=1e-4 + self.output.scale, equal_nan=True)
        self.batch = batch if near else self.batch
        return bool(near)

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        padded = []
        for port in self.inputs:
            part = rows[port.name]
            if count < self.batch:
                filler = np.zeros((self.batch - count, *part.shape[1:]), part.dtype)
                part = np.concatenate([part, filler])
            padded.append(part)
        return _rows(self._invoke(padded), self.batch)[:count]

    def _invoke(self, rows: list[np.ndarray]) -> np.ndarray:
        wanted = self._outputs[self._place]
        if self._runner:
            given = zip(self.inputs, rows, self._inputs, strict=True)
            answer = self._runner(**{port.name: _ready(part, d) for port, part, d in given})
            return dequantized(answer[self.output.name], wanted)
        resized = False
        for detail, part in zip(self._interpreter.get_input_details(), rows, strict=True):
            if tuple(detail["shape"]) != part.shape:
                self._interpreter.resize_tensor_input(detail["index"], list(part.shape))
                resized = True
        if resized:
            self._interpreter.allocate_tensors()
        for detail, part in zip(self._inputs, rows, strict=True):
            self._interpreter.set_tensor(detail["index"], _ready(part, detail))
        self._interpreter.invoke()
        return dequantized(self._interpreter.get_tensor(wanted["index"]), wanted)


def _ready(rows: np.ndarray, detail: dict) -> np.ndarray:
    """Rows as a tensor takes them: f32 rows are quantized, others are so already."""
    return quantized(rows, detail) if rows.dtype == np.float32 else rows


def _loaded(interpreter):
    interpreter.allocate_tensors()
    return interpreter


def _guarded(make):
    try:
        return make()
    except (ValueError, RuntimeError) as error:
        raise ValueError(_said(str(error))) from error


def _said(text: str) -> str:
    """What the runtime says, with the operation named that it does not have."""
    custom = re.search(r"unresolved custom op: (\S+)", text)
    if custom and custom[1].rstrip(".").startswith("Flex"):
        return (
            f"needs the TensorFlow operation {custom[1].rstrip('.')} (Select TF ops), which LiteRT "
            "does not have; export with TFLITE_BUILTINS only, or audit the SavedModel"
        )
    if custom:
        name = custom[1].rstrip(".")
        return f"needs the custom operation {name}, which LiteRT does not have; export without it"
    if "Select TensorFlow op" in text:
        named = re.search(r"Node number \d+ \((\S+)\)", text)
        name = named[1] if named else "of Select TF ops"
        return (
            f"needs the TensorFlow operation {name} (Select TF ops), which LiteRT does not have; "
            "export with TFLITE_BUILTINS only, or audit the SavedModel"
        )
    return f"cannot be run as a .tflite file ({' '.join(text.split())[:300]})"


def _signature(interpreter, wanted: str) -> str:
    """The signature to use: the wanted one, or the only one, or "" where there is none."""
    signatures = list(interpreter.get_signature_list())
    if (wanted and wanted not in signatures) or (len(signatures) > 1 and not wanted):
        has = ", ".join(signatures) or "none"
        said = f"has no signature {wanted!r}" if wanted else f"has {len(signatures)} signatures"
        raise ValueError(f"{said}; choose by --signature=NAME: {has}")
    return wanted or (signatures[0] if signatures else "")


# Keras --------------------------------------------------------------------------------------------

SAFE = re.compile(r"(keras|tf_keras)(\.|$)")


class KerasFile:
    """A `.keras` or `.h5` file of Keras 2 or 3, loaded without its compile settings."""

    def __init__(self, file: Path, kind: str, batch: int, output: str):
        self.kind, self.batch = kind, batch
        version = _harmless(file, kind)
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
        self.inputs = [_tensor_port(t, n) for t, n in _named(model.inputs, model, "input_names")]
        self.outputs = [_tensor_port(t, n) for t, n in _named(model.outputs, model, "output_names")]
        self._place = chosen(self.outputs, output)
        self.output = self.outputs[self._place]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        given = [_cast(rows[port.name], port.dtype) for port in self.inputs]
        found = self._model(given[0] if len(given) == 1 else given)
        if isinstance(found, dict):
            found = list(found.values())
        found = found[self._place] if isinstance(found, (list, tuple)) else found
        return _rows(np.asarray(found), len(given[0]))


def _harmless(file: Path, kind: str) -> str:
    """The version of Keras that wrote a file, once it is sure that the file holds no code."""
    config, version = _keras_config(file) if kind == "keras" else _h5_config(file)
    refuse_code(config)
    return version


def _named(tensors, model, attribute: str) -> Iterator[tuple[Any, str]]:
    names = getattr(model, attribute, None) or [tensor.name for tensor in tensors]
    return zip(tensors, (_clean(str(name)) for name in names), strict=True)


def _tensor_port(tensor, name: str) -> Port:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape[1:])
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return Port(name, shape, dtype)


def _cast(rows: np.ndarray, dtype: str) -> np.ndarray:
    if dtype in ("float32", "float16", "float64"):
        return rows.astype(dtype, copy=False)
    if dtype == "bfloat16":
        return rows
    return np.rint(rows).astype(dtype)


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


# SavedModel ---------------------------------------------------------------------------------------

REFUSED = re.compile(
    r"(Eager)?PyFunc(Stateless)?|ReadFile|WriteFile|MatchingFiles|.*(Dataset|Reader|Iterator)(V\d)?|"
    r"PrintV2|Print|Save|SaveSlices|DebugIdentity.*|RemoteCall|.*Summary.*|LoadLibrary.*"
)


class SavedModel:
    """A SavedModel folder, asked by one of its signatures."""

    kind = "savedmodel"

    def __init__(self, folder: Path, batch: int, output: str, signature: str):
        self.batch = batch
        _check_folder(folder)
        import tensorflow as tf

        self._tf = tf
        _refuse_operations(folder / "saved_model.pb")
        try:
            loaded = tf.saved_model.load(str(folder))
            self._keep, signatures = loaded, dict(loaded.signatures)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot be loaded as a SavedModel ({reason})") from error
        name = signature or ("serving_default" if "serving_default" in signatures else "")
        if not name and len(signatures) == 1:
            name = next(iter(signatures))
        if name not in signatures:
            has = ", ".join(signatures) or "none"
            raise ValueError(f"pass --signature=NAME, one of its signatures: {has}")
        self._call = signatures[name]
        specs = self._call.structured_input_signature[1]
        self.inputs = [_tensor_port(spec, key) for key, spec in sorted(specs.items())]
        outputs = sorted(self._call.structured_outputs.items())
        self.outputs = [_tensor_port(spec, key) for key, spec in outputs]
        fixed = [spec.shape[0] for spec in specs.values() if spec.shape.rank]
        self.batch = next((int(size) for size in fixed if size), batch)
        self.output = self.outputs[chosen(self.outputs, output)]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        given = {}
        for port in self.inputs:
            part = _cast(rows[port.name], port.dtype)
            if count < self.batch:
                filler = np.zeros((self.batch - count, *part.shape[1:]), part.dtype)
                part = np.concatenate([part, filler])
            given[port.name] = self._tf.constant(part)
        found = self._call(**given)[self.output.name].numpy()
        return _rows(found, max(count, self.batch))[:count]


def _check_folder(folder: Path) -> None:
    if not (folder / "saved_model.pb").is_file():
        raise ValueError("is a folder without saved_model.pb; name a SavedModel folder")


def _refuse_operations(file: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"its saved_model.pb is damaged ({error})") from error
    for graph in model.meta_graphs:
        nodes = list(graph.graph_def.node)
        for function in graph.graph_def.library.function:
            nodes += function.node_def
        for node in nodes:
            if REFUSED.fullmatch(node.op):
                raise ValueError(
                    f"holds the operation {node.op}, which runs code or touches files; it is never "
                    "run. Export the model without it"
                )
