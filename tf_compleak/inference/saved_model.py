"""A SavedModel folder, searched for operations that touch files or run Python before it is loaded.

For the worker process of `sandbox` only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tf_compleak.inference.ports import cast, chosen, rows_of, tensor_port

REFUSED = re.compile(
    r"(Eager)?PyFunc(Stateless)?|ReadFile|WriteFile|MatchingFiles|.*(Dataset|Reader|Iterator)(V\d)?|"
    r"PrintV2|Print|Save|SaveSlices|DebugIdentity.*|RemoteCall|.*Summary.*|LoadLibrary.*"
)


class SavedModel:
    """A SavedModel folder, asked by one of its signatures."""

    kind = "savedmodel"

    def __init__(self, folder: Path, batch: int, output: str, signature: str):
        self.batch = batch
        check_folder(folder)
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
        self.inputs = [tensor_port(spec, key) for key, spec in sorted(specs.items())]
        outputs = sorted(self._call.structured_outputs.items())
        self.outputs = [tensor_port(spec, key) for key, spec in outputs]
        fixed = [spec.shape[0] for spec in specs.values() if spec.shape.rank]
        self.batch = next((int(size) for size in fixed if size), batch)
        self.output = self.outputs[chosen(self.outputs, output)]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        given = {}
        for port in self.inputs:
            part = cast(rows[port.name], port.dtype)
            if count < self.batch:
                filler = np.zeros((self.batch - count, *part.shape[1:]), part.dtype)
                part = np.concatenate([part, filler])
            given[port.name] = self._tf.constant(part)
        found = self._call(**given)[self.output.name].numpy()
        return rows_of(found, max(count, self.batch))[:count]


def check_folder(folder: Path) -> None:
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
