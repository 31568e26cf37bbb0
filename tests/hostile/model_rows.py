"""Hostile model files, row by row: what makes each, and what has to be seen of it."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import model_files as files
import numpy as np
from onnx_rows import OF_RUNTIME, ONNX
from row import DENIED, Row
from saved_rows import BY_HAND, SAVED
from watch import Watch

H5, KERAS = files.h5, files.zipped


def call(function: str, first: Callable[[Watch], object], **given) -> Callable[[Watch], Path]:
    """An .h5 file of Keras 2 that has a TensorFlow function called while it is loaded."""

    def make(watch: Watch) -> Path:
        rest = {key: value(watch) if callable(value) else value for key, value in given.items()}
        return H5(watch, files.model_2(files.op(function, first(watch), **rest)))

    return make


def secret(watch: Watch) -> str:
    return str(watch.secret)


def fresh(watch: Watch) -> str:
    return str(watch.outside / "fresh")


def outside(watch: Watch) -> str:
    return str(watch.outside)


def printing(watch: Watch) -> str:
    return f"file://{watch.outside}/printed"


def url(watch: Watch) -> str:
    return f"http://127.0.0.1:{watch.tcp}/m"


REMEDY = "which is not among the layers and functions of Keras that are opened; export the model to"
CANNOT = "cannot be loaded by Keras"  # with walls alone: by Keras itself, before the attack
CALLS = [  # the function, its first argument, further ones, what the walls alone end it with
    ("io.write_file", fresh, {"contents": "x"}, DENIED),
    ("io.write_file", secret, {"contents": "x"}, DENIED),
    ("io.gfile.copy", secret, {"dst": fresh}, DENIED),
    ("io.gfile.remove", secret, {}, DENIED),
    ("io.gfile.rmtree", outside, {}, DENIED),
    ("io.gfile.rename", secret, {"dst": fresh}, DENIED),
    ("io.gfile.makedirs", fresh, {}, DENIED),
    ("io.gfile.glob", lambda watch: f"{watch.outside}/*", {}, "index out of range"),
    ("io.read_file", secret, {}, DENIED),
    ("load_op_library", secret, {}, DENIED),
    ("load_library", outside, {}, "). 13 Call"),
    ("keras.utils.get_file", lambda watch: "m", {"origin": url}, "). 1 Call"),
    ("raw_ops.WriteFile", fresh, {"contents": "x"}, CANNOT),
    ("raw_ops.ReadFile", secret, {}, CANNOT),
    ("raw_ops.MergeV2Checkpoints", fresh, {"destination_prefix": outside}, CANNOT),
    ("py_function", secret, {"inp": [], "Tout": []}, CANNOT),
    ("numpy_function", secret, {"inp": [], "Tout": []}, CANNOT),
    ("print", lambda watch: "x", {"output_stream": printing}, DENIED),
    ("saved_model.load", outside, {}, CANNOT),
    ("io.gfile.GFile", secret, {"mode": "w"}, CANNOT),
    ("distribute.Server", lambda watch: {"local": ["127.0.0.1:0"]}, {}, "Could not start gRPC"),
    (
        "config.experimental_connect_to_host",
        lambda watch: f"127.0.0.1:{watch.tcp}",
        {},
        "crashed while opening",
    ),
    ("summary.create_file_writer", outside, {}, "/outside/events.out.tfevents"),
    ("data.TextLineDataset", secret, {}, CANNOT),
    ("math.__builtins__", secret, {}, None),
    ("nn.relu.__globals__", secret, {}, None),
]
FUNCTIONS = [
    Row(
        f"{name} of {getattr(first, '__name__', '')}",
        call(name, first, **given),
        f"names the function tf.{name}, {REMEDY}",
        walls,
    )
    for name, first, given, walls in CALLS
]


def h5_layer(*layers: dict, version: str = "2.15.0") -> Callable[[Watch], Path]:
    return lambda watch: H5(watch, files.model_2(*layers), version)


def keras_layer(*layers: dict, version: str = "3.12.0") -> Callable[[Watch], Path]:
    return lambda watch: KERAS(watch, files.model_3(*layers), version)


def built(*layers: dict, **given) -> Callable[[Watch], Path]:
    """A .keras file of Keras 2."""
    return lambda watch: KERAS(watch, files.model_2(*layers), "2.15.0", **given)


def wrapped(part: dict, times: int) -> dict:
    """A part within a bidirectional layer's layer, so many times."""
    for _ in range(times):
        part = files.layer("Bidirectional", {"layer": part}, module="keras.layers")
    return part


def function(module: str, name: str, **others) -> dict:
    return {"module": module, "class_name": "function", "config": name, **others}


LAMBDA = "a Lambda layer, which is code; it is never run. Replace it, or export"
NEST = {"activation": {"a": [{"b": function("os", "system")}]}}
IN_KERAS_2 = {"module": "tf_keras.src.engine.functional", "registered_name": "Functional"}
LAYERS = [
    Row("a class method", h5_layer(files.method("io.TFRecordWriter", "__call__", "/tmp/x")),
        f"names ClassMethod, {REMEDY}", DENIED),
    Row("an instance method", h5_layer(
        files.layer("InstanceMethod", {"attr_name": "numpy", "name": "op"}, name="op",
                    inbound_nodes=[["x", 0, 0, {"args": [], "kwargs": {}}]])),
        f"names InstanceMethod, {REMEDY}", CANNOT),
    Row("an instance property", h5_layer(
        files.layer("InstanceProperty", {"attr_name": "graph", "name": "op"}, name="op",
                    inbound_nodes=[["x", 0, 0, {}]])),
        f"names InstanceProperty, {REMEDY}", CANNOT),
    Row("a slice that writes", lambda watch: H5(watch, files.model_2(
        files.op("io.write_file", fresh(watch), "SlicingOpLambda", contents="x"))),
        "names the function tf.io.write_file", DENIED),
    Row("a .keras file of Keras 2 that writes", lambda watch: KERAS(watch, files.model_2(
        files.op("io.write_file", fresh(watch), contents="x")) | IN_KERAS_2, "2.15.0"),
        "names the function tf.io.write_file", DENIED),
    Row("code in a Lambda", files.python_code, LAMBDA, "21 attempts, done: []"),
    Row("a Lambda of Keras 3", keras_layer(files.layer(
        "Lambda", {"function": files.layer("__lambda__", {"code": "eA=="})},
        module="keras.layers")), LAMBDA, CANNOT),
    Row("__lambda__ as an activation", keras_layer(files.dense(
        activation=files.layer("__lambda__", {"value": "x"}))), LAMBDA),
    Row("os.system as an activation", keras_layer(files.dense(
        activation=function("os", "system"))), f"names the function os.system, {REMEDY}", CANNOT),
    Row("subprocess.run as an initializer", keras_layer(files.dense(
        kernel_initializer=function("subprocess", "run"))), "names the function subprocess.run",
        CANNOT),
    Row("builtins.eval as a regularizer", keras_layer(files.dense(
        kernel_regularizer=function("builtins", "eval"))), "names the function builtins.eval"),
    Row("os.system, nested three deep", keras_layer(files.dense(**NEST)), "function os.system"),
    Row("a function in a Bidirectional's cell", keras_layer(wrapped(files.layer(
        "RNN", {"cell": files.layer("LSTMCell", {"activation": function("os", "popen")})}), 3)),
        "names the function os.popen"),
    Row("a function in a model in a model", h5_layer(files.model_2(files.model_2(
        files.op("io.write_file", "/tmp/x", contents="x")))), "the function tf.io.write_file"),
    Row("get_file as a function", keras_layer(files.dense(
        activation=function("keras.utils", "get_file"))), "names the function keras.utils.get_file",
        CANNOT),
    Row("get_file by its module", keras_layer(files.layer(
        "get_file", {"fname": "m", "origin": "http://127.0.0.1"},
        module="keras.src.utils.file_utils")), "names keras.src.utils.file_utils.get_file", CANNOT),
    Row("an archive of Keras' utilities", keras_layer(files.layer(
        "extract_archive", {}, module="keras.src.utils.file_utils")), "extract_archive"),
    Row("a registered object", keras_layer(files.layer(
        "Dense", {"units": 3}, registered_name="mine>Dense")),
        "names the custom object mine>Dense"),
    Row("a class of another module", keras_layer(files.layer(
        "Popen", {"args": "true"}, module="subprocess")), "names subprocess.Popen", CANNOT),
    Row("an allowed name of another module", keras_layer(files.layer(
        "Dense", {"units": 3}, module="http.server")), "names http.server.Dense", CANNOT),
    Row("a module named like Keras", keras_layer(files.layer(
        "Dense", {"units": 3}, module="keras_evil.layers")), "names keras_evil.layers.Dense"),
    Row("a SavedModel as a layer", keras_layer(files.layer(
        "TFSMLayer", {"filepath": "/tmp"}, module="keras.layers")), "names keras.layers.TFSMLayer",
        CANNOT),
    Row("a pickle as a layer", keras_layer(files.layer(
        "TorchModuleWrapper", {"module": "gASVAAAA"}, module="keras.layers")),
        "names keras.layers.TorchModuleWrapper", CANNOT),
    *(Row(f"a vocabulary of {name}", keras_layer(files.layer(
        name, {"vocabulary": "/etc/passwd"}, module="keras.layers")), f"names keras.layers.{name}",
        CANNOT) for name in ("StringLookup", "IntegerLookup", "TextVectorization")),
    *(Row(f"keras.ops {name}", keras_layer(files.layer(
        name, {"name": "o"}, module="keras.src.ops.core")), f"names keras.src.ops.core.{name}")
      for name in ("Map", "Cond", "WhileLoop", "Scan")),
    Row("an activation of its own", h5_layer(files.layer(
        "Dense", {"units": 3, "activation": "get_file"}, name="op", inbound_nodes=[])),
        "names the activation get_file", CANNOT),
    Row("a typespec", h5_layer(files.layer("TypeSpec", {}, type_spec="tf.TensorSpec")), "TypeSpec"),
]  # fmt: skip


def deep_json(watch: Watch) -> Path:
    return KERAS(watch, '{"a":' * 200_000 + "1" + "}" * 200_000)


def large(text: bytes, size: int, method: int) -> Callable[[Watch], Path]:
    """A config of so many MiB, a list of this text again and again."""

    def make(watch: Watch) -> Path:
        config = b'{"config": [' + text * (size * 2**20 // len(text)) + b"0]}"
        with zipfile.ZipFile(watch.folder / "m.keras", "w", method, compresslevel=1) as archive:
            archive.writestr("config.json", config)
            archive.writestr("metadata.json", "{}")
        return watch.folder / "m.keras"

    return make


def claims(size: int) -> Callable[[Watch], Path]:
    """A zip whose directory says that a member has so many bytes."""

    def make(watch: Watch) -> Path:
        path = KERAS(watch, files.model_3())
        content = bytearray(path.read_bytes())
        place = content.rindex(b"PK\1\2")
        content[place + 24 : place + 28] = size.to_bytes(4, "little")
        path.write_bytes(content)
        return path

    return make


def encrypted(watch: Watch) -> Path:
    path = KERAS(watch, files.model_3())
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.index(mark)
        content[start + place] |= 1
    path.write_bytes(content)
    return path


def twice(watch: Watch) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        members = {"model.weights.h5": files.weights(watch), "config.json": files.LAST_CONFIG}
        return KERAS(watch, files.model_3(files.dense()), members=members)


def member(name: str, content: bytes = b"x") -> Callable[[Watch], Path]:
    def make(watch: Watch) -> Path:
        members = {"model.weights.h5": files.weights(watch), name: content}
        return KERAS(watch, files.model_3(files.dense()), members=members)

    return make


def pickled_weights(watch: Watch) -> Path:
    content = files.hostile_pickle(watch)
    return KERAS(watch, files.model_3(files.dense()), members={"model.weights.npz": content})


PART = "which is no part of a plain model"
DAMAGED = "or damaged ("
MUCH = "its config.json has more than 64 MiB; export the model again"
LARGE = [
    Row("a zip bomb as config", large(b"   ", 300, zipfile.ZIP_DEFLATED), MUCH, MUCH),
    Row("200 MB of config", large(b"{},", 191, zipfile.ZIP_STORED), MUCH, MUCH),
]
ARCHIVES = [
    Row("JSON nested 200,000 deep", deep_json, "is nested too deep to be read"),
    *LARGE,
    Row("members that claim 4 GiB", claims(2**32 - 1), "unpacks to more than 4 GiB"),
    Row("an encrypted zip", encrypted, DAMAGED, DAMAGED),
    Row("a member twice", twice, f"holds one name twice, {PART}", DENIED),
    Row("a member outside", member("../../escaped"), f"holds ../../escaped, {PART}", DENIED),
    Row("a member at an absolute path", member("/tmp/escaped"), f"holds /tmp/escaped, {PART}",
        DENIED),
    Row("an asset", member("assets/vocabulary.txt"), f"holds assets/vocabulary.txt, {PART}",
        DENIED),
    Row("weights that are a pickle", pickled_weights, "holds model.weights.npz",
        "contains pickled"),
    Row("no config", files.named("m.keras", b"PK\5\6" + bytes(18)), "is no model file"),
    Row("a zip to one reader, HDF5 to another", files.zip_and_h5("zip"), "name the file *.keras",
        "name the file *.keras"),
    Row("HDF5 to one reader, a zip to another", files.zip_and_h5("h5"), "name the file *.h5",
        "name the file *.h5"),
]  # fmt: skip
FILE_LINK, LINK = "holds a link to another file (", "holds a link ("
OTHER, KERAS_TOO = "keeps its data in another file (", "Not allowed: H5 file"
WEIGHTS = [
    Row("an external link", files.in_h5(files.external_link), FILE_LINK, CANNOT),
    Row("an external link in .keras", files.in_keras(files.external_link), FILE_LINK, KERAS_TOO),
    Row("a soft link", files.in_h5(files.soft_link), LINK, ""),
    Row("a soft link in .keras", files.in_keras(files.soft_link), LINK, KERAS_TOO),
    Row("external storage", files.in_h5(files.external_storage), OTHER,
        "unable to open external raw data file"),
    Row("external storage in .keras", files.in_keras(files.external_storage), OTHER, KERAS_TOO),
    Row("virtual data", files.in_h5(files.virtual), OTHER, ""),  # what is not opened reads as zeros
    Row("virtual data in .keras", files.in_keras(files.virtual), OTHER, KERAS_TOO),
    Row("a cycle of groups", files.in_h5(files.cycle), "", ""),
    Row("10,000 groups, one in another", files.in_h5(files.deep), "", ""),
    Row("a filter of its own", files.in_h5(files.filtered), CANNOT, "filter plugins disabled"),
    Row("a filter of its own in .keras", files.in_keras(files.filtered), CANNOT,
        "filter plugins disabled"),
    Row("a config of a wrong type", lambda watch: H5(watch, np.arange(3)),
        "model_config is damaged"),
    Row("a config that is a list", lambda watch: H5(watch, [1]), "its config is no Keras config"),
    Row("no config in .h5", lambda watch: H5(watch, None), "holds weights but no model"),
    Row("a config that is no JSON", lambda watch: H5(watch, "{"), "model_config is damaged"),
    Row("a version of a wrong type", lambda watch: H5(watch, "{}", np.arange(3)), CANNOT),
    Row("a config of a list in .keras", lambda watch: KERAS(watch, []),
        "config is no Keras config"),
    Row("an empty config", lambda watch: KERAS(watch, {}), CANNOT, CANNOT),
    Row("a class without a name", lambda watch: KERAS(watch, {"class_name": 3}), "without a name"),
    Row("a number of 5,000 digits", lambda watch: KERAS(watch, '{"a":' + "1" * 5000 + "}"),
        "digits"),
]  # fmt: skip

TORCH = "is a PyTorch file, which is a pickle and never opened; convert it to .tflite"
NONE = "is no model file: neither .tflite (no TFL3 mark), nor .keras (zip), .h5 (HDF5)"
REGULAR = "a regular file is needed"
OTHERS = [
    Row("a .pt zip", files.torch_zip("m.pt"), TORCH),
    Row("a .pth zip under another name", files.torch_zip("m.keras"), TORCH),
    Row("a .pth pickle", lambda watch: files.named("m.pth", files.hostile_pickle(watch))(watch),
        TORCH),
    Row("a pickle", lambda watch: files.named("m.pkl", files.hostile_pickle(watch))(watch),
        "is a pickle, which is code and never opened; convert the model to .tflite"),
    Row("a pickle named .keras",
        lambda watch: files.named("m.keras", files.hostile_pickle(watch))(watch), "is a pickle"),
    Row("ONNX", files.named("m.bin", b"\x08\x07\x12\x04onnx"),
        "is damaged, or no ONNX file"),
    Row("ONNX by name", files.named("m.onnx", b"anything"), "is damaged, or no ONNX file"),
    Row("an image", files.named("m.tflite", b"\x89PNG\r\n\x1a\n" + bytes(99)), NONE),
    Row("a script", files.named("m.keras", b"#!/bin/sh\ntouch /tmp/x\n"), NONE),
    Row("a few bytes", files.named("m.tflite", b"TFL"), NONE),
    Row("a mark and nothing", files.named("m.tflite", b"\x1c\0\0\0TFL3"), "cannot be run"),
    Row("/dev/zero", files.special("zero"), f"is a device; {REGULAR}"),
    Row("a FIFO", files.special("fifo"), f"is a pipe; {REGULAR}"),
    Row("a socket", files.special("socket"), f"is a socket; {REGULAR}"),
    Row("a link to itself", files.special("loop"), "cannot be read (Too many levels of symbolic"),
    Row("an empty folder", files.special("folder"), "is a folder without saved_model.pb; name a"),
]  # fmt: skip
ROWS = [*FUNCTIONS, *LAYERS, *ARCHIVES, *WEIGHTS, *BY_HAND, *SAVED, *ONNX, *OTHERS]

NOT_OF_LISTS = (CANNOT, "cannot be loaded as a", "is nested too deep to be read", "", *OF_RUNTIME)
LISTED = [row for row in ROWS if row not in OTHERS and row.seen not in NOT_OF_LISTS]
QUICK = frozenset(  # one row of every kind of attack, which a process is started for by default
    (
        *("io.write_file of fresh", "a .keras file of Keras 2 that writes", "code in a Lambda"),
        *("os.system as an activation", "a vocabulary of StringLookup", "an encrypted zip"),
        *("JSON nested 200,000 deep", "a member outside", "HDF5 to one reader, a zip to another"),
        *("an external link", "external storage in .keras", "a number of 5,000 digits"),
        *("WriteFile in a message by hand", "a pipe for the graph"),
    )
)


def takes_seconds(row: Row) -> bool:
    """Whether making the file does: it is large, or made by TensorFlow."""
    return row in SAVED or row in LARGE


def is_slow(row: Row) -> bool:
    """Whether a row of the same kind is opened by default."""
    return row.name not in QUICK and row not in (*OTHERS, *ONNX)
