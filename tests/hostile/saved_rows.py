"""Hostile SavedModels, row by row: messages by hand, and what TensorFlow has saved."""

import saved_models as models
from row import DENIED, Row

STOPS = "cannot be loaded as a SavedModel"  # TensorFlow itself, before the attack


def holds(name: str) -> str:
    return f"holds the operation {name}, which is not among those that are opened"


BY_HAND = [
    Row("WriteFile in a message by hand", models.by_hand("MatMul", "WriteFile"),
        holds("WriteFile")),
    Row("Python in a message by hand", models.by_hand("EagerPyFunc"), holds("EagerPyFunc")),
    Row("an asset in a message by hand", models.by_hand("MatMul", asset="/etc/passwd"),
        "holds an asset (/etc/passwd); export"),
    Row("TensorFlow 1 in a message by hand", models.by_hand("MatMul", objects=False),
        "was exported by TensorFlow 1, whose loader"),
    Row("random bytes", models.with_files(models.random_bytes, models.by_hand()),
        "its saved_model.pb is damaged", STOPS),
    Row("text only", models.with_files(models.text_only, models.by_hand()),
        "is a folder without saved_model.pb", "without saved_model.pb"),
    Row("a pipe for the graph", models.with_files(models.pipe_for_graph, models.by_hand()),
        "is a folder without saved_model.pb", "without saved_model.pb"),
    Row("a link for the graph", models.with_files(models.link_for_graph, models.by_hand()),
        "saved_model.pb", DENIED),
]  # fmt: skip
SAVED = [
    Row("WriteFile", models.calling(models.write), holds("WriteFile"), DENIED),
    Row("WriteFile over a file", models.calling(models.overwrite), holds("WriteFile"), DENIED),
    Row("ReadFile", models.calling(models.read), holds("ReadFile"), DENIED),
    Row("SaveV2", models.calling(models.save_tensors), holds("SaveV2"), ""),
    Row("MergeV2Checkpoints", models.calling(models.merge), holds("MergeV2Checkpoints"), DENIED),
    Row("MatchingFiles", models.calling(models.list_files), holds("MatchingFiles"),
        "assertion failed: []"),
    Row("PrintV2 to a file", models.calling(models.print_to_file), holds("StringFormat"), DENIED),
    Row("Python", models.calling(models.python), "holds the operation EagerPyFunc",
        "Could not find callback"),
    Row("a data set of a file", models.calling(models.data_set), "holds the operation ", DENIED),
    Row("a serialized graph", models.calling(models.serialized_graph), holds("DatasetFromGraph"),
        ""),
    Row("in a function in a function", models.calling(models.in_a_function), holds("WriteFile"),
        DENIED),
    Row("in a branch", models.calling(models.in_a_branch), holds("WriteFile"), DENIED),
    Row("in a loop", models.calling(models.in_a_loop), holds("WriteFile"), DENIED),
    Row("in a gradient", models.calling(models.in_a_gradient), holds("WriteFile"), DENIED),
    Row("a restoring function", models.restored, holds("WriteFile"), DENIED),
    Row("a resource's functions", models.resource, holds("WriteFile"), DENIED),
    Row("a table of a file", models.table, "holds an asset (secret.txt); export", ""),
    Row("a table of /etc/passwd", models.table_without_asset, "holds the operation HashTableV2",
        DENIED),
    Row("a function named almost as an operation", models.edited(
        models.named_like_an_operation, models.in_a_function), holds("WriteFile"), DENIED),
    Row("a function named as an operation", models.edited(
        models.takes_the_name, models.in_a_function), holds("WriteFile"), STOPS),
    Row("a bucket", models.calling(models.elsewhere("gs://bucket")), holds("ReadFile"),
        "Could not resolve hostname", 10),
    Row("a server", models.calling(models.elsewhere("hdfs://127.0.0.1:9")), holds("ReadFile"),
        "not implemented"),
    Row("TensorFlow 1", models.version_1, "was exported by TensorFlow 1, whose loader",
        "Detected at node WriteFile"),
    Row("two graphs", models.edited(models.two_graphs), "was exported by TensorFlow 1", STOPS),
    Row("variables in /etc", models.with_files(models.variables_elsewhere),
        "variables is no plain file; copy the model's own files", STOPS),
    Row("an index in /etc", models.with_files(models.linked_index), "index is no plain file",
        DENIED),
    Row("a pipe for weights", models.with_files(models.pipe_for_weights), "no plain file",
        "no answer within 5 s", 5),
    Row("damaged weights", models.with_files(models.damaged_weights), "cannot be loaded as a",
        STOPS),
]  # fmt: skip
