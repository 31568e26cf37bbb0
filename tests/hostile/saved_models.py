"""Hostile SavedModels: real functions, a model whose bytes are edited, messages by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy
from model_files import Maker
from watch import Watch

from tf_compleak.inference.isolated import saved_model

with epy.lazy_imports():  # it takes seconds, and rows made by hand do without it
    import tensorflow as tf

W = np.random.default_rng(5).normal(size=(6, 3)).astype(np.float32)
Body = Callable[[Watch, Any], object]


def module(call: Callable | None = None, do: Callable[[Any], object] = lambda x: None) -> tf.Module:
    """A module with one function `call`, which does something and answers x W, or what is given."""
    holder = tf.Module()
    holder.w = tf.Variable(W)

    def answers(x):
        do(x)
        return {"p": x @ holder.w}

    rows = [tf.TensorSpec([None, 6], name="x")]
    holder.call = tf.function(call or answers, input_signature=rows, autograph=False)
    return holder


def saved(watch: Watch, module: tf.Module) -> Path:
    """The module's folder."""
    tf.saved_model.save(module, str(watch.folder / "m"), {"serving_default": module.call})
    return watch.folder / "m"


def by_hand(*operations: str, asset: str = "", objects: bool = True) -> Maker:
    """A folder with a message written here: a function of these operations, which lists refuse."""

    def make(watch: Watch) -> Path:
        message = saved_model._messages().SavedModel(saved_model_schema_version=1)
        graph = message.meta_graphs.add()
        function = graph.graph_def.library.function.add()
        function.signature.name = "call"
        for operation in operations:
            function.node_def.add(name=operation, op=operation)
        if objects:
            graph.object_graph_def.nodes.add()
            graph.object_graph_def.concrete_functions["call"].SetInParent()
        if asset:
            graph.asset_file_def.add(filename=asset)
        (watch.folder / "m").mkdir()
        (watch.folder / "m" / "saved_model.pb").write_bytes(message.SerializeToString())
        return watch.folder / "m"

    return make


def calling(body: Body) -> Maker:
    """A model whose function does this; `body` is traced, never run here."""
    return lambda watch: saved(watch, module(do=lambda x: body(watch, x)))


def write(watch: Watch, x: tf.Tensor) -> None:
    tf.io.write_file(str(watch.outside / "written"), "x")


def overwrite(watch: Watch, x: tf.Tensor) -> None:
    tf.io.write_file(str(watch.secret), "x")


def read(watch: Watch, x: tf.Tensor) -> None:
    tf.debugging.Assert(False, [tf.io.read_file(str(watch.secret))])


def save_tensors(watch: Watch, x: tf.Tensor) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(watch.outside / "c"), tensor_names=["a"], shape_and_slices=[""], tensors=[x]
    )


def merge(watch: Watch, x: tf.Tensor) -> None:
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(watch.outside / "c")],
        destination_prefix=str(watch.outside / "folder"),
        delete_old_dirs=True,
        allow_missing_files=True,
    )


def list_files(watch: Watch, x: tf.Tensor) -> None:
    tf.debugging.Assert(False, [tf.io.matching_files(str(watch.outside / "*"))])


def print_to_file(watch: Watch, x: tf.Tensor) -> None:
    tf.print("x", output_stream=f"file://{watch.outside}/printed")


def python(watch: Watch, x: tf.Tensor) -> None:
    tf.py_function(lambda: open(watch.outside / "python", "w").close(), [], [])


def data_set(watch: Watch, x: tf.Tensor) -> None:
    """A data set of a file's lines, read within the function."""
    lines = tf.data.TextLineDataset(str(watch.secret))
    tf.debugging.Assert(False, [lines.reduce("", lambda a, b: a + b)])


def serialized_graph(watch: Watch, x: tf.Tensor) -> None:
    """A graph as a constant's bytes, run by an operation."""
    with tf.Graph().as_default() as graph:
        tf.io.write_file(str(watch.outside / "written"), "x")
        tf.constant([1], name="end")
    tf.raw_ops.DatasetFromGraph(graph_def=graph.as_graph_def().SerializeToString())


def in_a_function(watch: Watch, x: tf.Tensor) -> None:
    @tf.function
    def inner():
        @tf.function
        def innermost():
            write(watch, x)

        innermost()

    inner()


def _writes(watch: Watch, value):
    with tf.control_dependencies([tf.io.write_file(str(watch.outside / "written"), "x")]):
        return tf.identity(value)


def in_a_branch(watch: Watch, x: tf.Tensor) -> None:
    tf.cond(tf.shape(x)[0] > 0, lambda: _writes(watch, x), lambda: x)


def in_a_loop(watch: Watch, x: tf.Tensor) -> None:
    tf.while_loop(lambda i: i < 2, lambda i: (_writes(watch, i) + 1,), [0])


def in_a_gradient(watch: Watch, x: tf.Tensor) -> None:
    @tf.custom_gradient
    def cubed(y):
        return y**3, lambda upstream: _writes(watch, upstream)

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = cubed(x)
    tape.gradient(y, x)


def elsewhere(where: str) -> Body:
    """Reads from and writes to a bucket or a server."""

    def body(watch: Watch, x: tf.Tensor) -> None:
        tf.io.write_file(f"{where}/x", tf.io.read_file(f"{where}/y"))

    return body


def table(watch: Watch) -> Path:
    """A table that its initializer fills from a file, which becomes an asset."""
    holder = module()
    lines = tf.lookup.TextFileInitializer(
        str(watch.secret), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    holder.table = tf.lookup.StaticHashTable(lines, -1)
    holder.extra = tf.function(holder.table.lookup, input_signature=[tf.TensorSpec([], tf.string)])
    return saved(watch, holder)


def table_without_asset(watch: Watch) -> Path:
    """The same, the file being named by a string."""

    def fill(x):
        handle = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=handle, filename="/etc/passwd", key_index=-2, value_index=-1
        )

    return saved(watch, module(do=fill))


def resource(watch: Watch) -> Path:
    """An object whose two functions are run by the loader."""

    class Resource(tf.saved_model.experimental.TrackableResource):
        @tf.function(input_signature=[], autograph=False)
        def _create_resource(self):
            write(watch, None)
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

        @tf.function(input_signature=[], autograph=False)
        def _initialize(self):
            write(watch, None)
            return 1

    holder = module()
    holder.resource = object.__new__(Resource)  # calling the class would run its functions here
    tf.saved_model.experimental.TrackableResource.__init__(holder.resource)
    return saved(watch, holder)


def edited(change: Callable, body: Body | None = None) -> Maker:
    """A model whose message `change` has edited."""

    def make(watch: Watch) -> Path:
        from tensorflow.core.protobuf import saved_model_pb2

        folder = calling(body or (lambda watch, x: None))(watch)
        file = folder / "saved_model.pb"
        message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        change(message, watch)
        file.write_bytes(message.SerializeToString())
        return folder

    return make


def restored(watch: Watch) -> Path:
    """A function that the loader runs to restore a variable."""
    from tensorflow.core.protobuf import saved_model_pb2

    holder = module()

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def restore(prefix):
        write(watch, None)
        return prefix

    holder.trap = restore
    folder = saved(watch, holder)
    file = folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    objects = message.meta_graphs[0].object_graph_def
    children = {child.local_name: child.node_id for child in objects.nodes[0].children}
    saveable = objects.nodes[children["w"]].saveable_objects["VARIABLE_VALUE"]
    saveable.save_function = saveable.restore_function = children["trap"]
    file.write_bytes(message.SerializeToString())
    return folder


def named_like_an_operation(message, watch: Watch) -> None:
    """The inner function is called MatMul, as an operation that is allowed."""
    graph = message.meta_graphs[0].graph_def
    old = next(
        f.signature.name
        for f in graph.library.function
        if any(node.op == "WriteFile" for node in f.node_def)
    )
    text = message.SerializeToString()
    new = "MatMul".ljust(len(old), "l")  # of the same length: no sizes change
    message.ParseFromString(text.replace(old.encode(), new.encode()))


def takes_the_name(message, watch: Watch) -> None:
    """A function of the library is named MatMul itself, and the nodes of that name call it."""
    library = message.meta_graphs[0].graph_def.library
    bad = next(f for f in library.function if any(n.op == "WriteFile" for n in f.node_def))
    fresh = library.function.add()
    fresh.CopyFrom(bad)
    fresh.signature.name = "MatMul"
    graph = message.meta_graphs[0].object_graph_def
    name = next(iter(graph.concrete_functions))
    graph.concrete_functions["MatMul"].CopyFrom(graph.concrete_functions[name])


def two_graphs(message, watch: Watch) -> None:
    message.meta_graphs.add().CopyFrom(message.meta_graphs[0])


def version_1(watch: Watch) -> Path:
    """What TensorFlow 1 saved: an operation that its loader runs."""
    v1 = tf.compat.v1
    folder = watch.folder / "m"
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        run = tf.io.write_file(str(watch.outside / "written"), "x")
        v1.saved_model.simple_save(session, str(folder), {"x": x}, {"p": x @ W}, legacy_init_op=run)
    return folder


def with_files(change: Callable[[Watch, Path], None], model: Maker | None = None) -> Maker:
    """A plain model, or another, whose folder `change` has edited."""

    def make(watch: Watch) -> Path:
        folder = model(watch) if model else saved(watch, module())
        change(watch, folder)
        return folder

    return make


def variables_elsewhere(watch: Watch, folder: Path) -> None:
    shutil.rmtree(folder / "variables")
    (folder / "variables").symlink_to("/etc")


def linked_index(watch: Watch, folder: Path) -> None:
    (folder / "variables" / "variables.index").unlink()
    (folder / "variables" / "variables.index").symlink_to("/etc/passwd")


def pipe_for_weights(watch: Watch, folder: Path) -> None:
    (folder / "variables" / "variables.index").unlink()
    os.mkfifo(folder / "variables" / "variables.index")


def random_bytes(watch: Watch, folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(np.random.default_rng(0).bytes(10_000))


def text_only(watch: Watch, folder: Path) -> None:
    (folder / "saved_model.pb").rename(folder / "saved_model.pbtxt")


def pipe_for_graph(watch: Watch, folder: Path) -> None:
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")


def link_for_graph(watch: Watch, folder: Path) -> None:
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").symlink_to(watch.secret)


def damaged_weights(watch: Watch, folder: Path) -> None:
    for file in (folder / "variables").iterdir():
        file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))
