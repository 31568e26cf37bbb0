"""Model files of strangers: what each tries, which of the two defenses is on, and what is seen.

"lists": what a file may name; "walls": what the process that reads it may do. Either alone has to
stop every attack; the tests of the walls alone load TensorFlow and are slow. The rows are in
`model_rows.py` and `saved_rows.py`.
"""

import importlib
import time
from pathlib import Path

import numpy as np
import pytest
import saved_models
from model_rows import LISTED, QUICK, ROWS, Row, is_slow, takes_seconds
from watch import Watch

from tf_compleak.inference import sandbox
from tf_compleak.inference.isolated import backends
from tf_compleak.inference.kinds import kind_of
from tf_compleak.inference.sandbox import SandboxedModel

START = 150.0  # seconds that a refusal may take besides: starting Python and TensorFlow


@pytest.fixture
def watch(tmp_path, monkeypatch):
    watch = Watch(tmp_path, monkeypatch)
    yield watch
    watch.close()


def line_of(path: Path, seconds: float) -> str:
    """The one line that opening and asking a file ends with; "" when it answers."""
    try:
        with SandboxedModel(str(path), batch=4, seconds=seconds, memory=2**33, trust=True) as model:
            shapes = {port.name: (4, *map(abs, port.shape)) for port in model.inputs}
            model.predict({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    except ValueError as error:
        line = str(error)
        assert "\n" not in line and line.startswith(f"{path}: ") and len(line) < 1200, line
        return line.removeprefix(f"{path}: ")
    return ""


def attempt(row: Row, watch: Watch) -> str:
    path = row.make(watch)
    watch.start()
    started = time.monotonic()
    line = line_of(path, row.limit)
    print(line)  # shown by pytest -rP
    assert time.monotonic() - started < 3 * row.limit + START
    watch.check()
    return line


def table(rows, slow):
    """A test of every row, `slow` telling which are."""
    marked = [
        pytest.param(row, id=row.name, marks=pytest.mark.slow if slow(row) else ()) for row in rows
    ]
    return pytest.mark.parametrize("row", marked)


@table(ROWS, is_slow)
def test_both_defenses(row, watch):
    line = attempt(row, watch)
    assert row.seen in line and bool(row.seen) == bool(line), line


@table(LISTED, takes_seconds)
def test_lists_alone(row, watch):
    """In this process, which has no walls; what is refused here is never loaded."""
    path = row.make(watch)
    watch.start()
    with pytest.raises(ValueError) as caught:
        backends.check(str(path), kind_of(str(path)))
    assert row.seen in str(caught.value)
    watch.check()


WALLED = [row for row in ROWS if row.walls is not None]


@table(WALLED, lambda row: True)
def test_walls_alone(row, watch, monkeypatch):
    monkeypatch.setattr(sandbox, "DEFENSES", frozenset(["walls"]))
    line = attempt(row, watch)
    assert any(words in line for words in row.walls.split("|")), line
    assert bool(row.walls) == bool(line), line


def test_there_are_enough_rows():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) >= 100 and len(WALLED) >= 50 and len(LISTED) >= 90
    assert set(names) >= QUICK


@pytest.mark.slow
def test_without_defenses_the_attacks_succeed(watch, monkeypatch):
    """Else the rows would show nothing."""
    monkeypatch.setattr(sandbox, "DEFENSES", frozenset())
    for name in ("io.write_file of fresh", "WriteFile", "a restoring function"):
        row = next(row for row in ROWS if row.name == name)
        path = row.make(watch)
        line_of(path, row.limit)
        new = watch.outside / ("fresh" if path.suffix else "written")
        assert new.exists(), name
        new.unlink()
        if path.is_dir():
            path.rename(watch.folder / name.replace(" ", "-"))


# Ordinary models ----------------------------------------------------------------------------------

X = np.random.default_rng(3).normal(size=(9, 6)).astype(np.float32)


def functions_2(library):
    import tensorflow as tf

    x = library.Input((6,))
    y = tf.nn.relu(x * 2.0 + 1.0) + tf.math.sigmoid(x) - x[:, :6]
    y = tf.concat([y, tf.reduce_mean(y, axis=1, keepdims=True)], axis=1)
    return library.Model(x, library.layers.Dense(3, "softmax")(y))


def functions_3(keras):
    x = keras.Input((6,))
    y = keras.ops.relu(x * 2.0 + 1.0) + keras.ops.sigmoid(x) - x[:, :6]
    y = keras.ops.concatenate([y, keras.ops.mean(y, axis=1, keepdims=True)], axis=1)
    return keras.Model(x, keras.layers.Dense(3, "softmax")(y))


def many_layers(library):
    layers = library.layers
    x = library.Input((6,))
    y = layers.BatchNormalization()(layers.Reshape((6, 1))(x))
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    y = layers.GRU(5, kernel_regularizer="l2")(layers.Dropout(0.5)(y))
    inner = library.Sequential([library.Input((5,)), layers.Dense(4, "gelu"), layers.ReLU(6.0)])
    inner.compile("adam", loss=library.losses.SparseCategoricalCrossentropy(from_logits=True))
    return library.Model(x, layers.Dense(3, "softmax")(inner(y)))


def mobile_net(library):
    net = library.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=3)
    x = library.Input((6,))
    y = library.layers.Dense(32 * 32 * 3)(x)
    return library.Model(x, net(library.layers.Reshape((32, 32, 3))(y)))


ORDINARY = [  # what makes them, the module of Keras that it takes, and the file's ending
    ("functions, Keras 2", functions_2, "tf_keras", ".h5"),
    ("functions, Keras 2", functions_2, "tf_keras", ".keras"),
    ("functions, Keras 3", functions_3, "keras", ".keras"),
    *(("layers, Keras 2", many_layers, "tf_keras", ending) for ending in (".keras", ".h5", "")),
    *(("layers, Keras 3", many_layers, "keras", ending) for ending in (".keras", ".h5", "")),
    ("MobileNetV2, Keras 2", mobile_net, "tf_keras", ".h5"),
    ("MobileNetV2, Keras 3", mobile_net, "keras", ".keras"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "library", "suffix"),
    [pytest.param(*row[1:], id=f"{row[0]} {row[3]}") for row in ORDINARY],
)
def test_ordinary_models_are_asked(make, library, suffix, watch):
    model, path = make(importlib.import_module(library)), watch.folder / f"m{suffix}"
    if suffix:
        model.save(path)
    else:
        getattr(model, "export", model.save)(str(path))
    check_answers(path, np.asarray(model(X, training=False)), watch)


@pytest.mark.slow
def test_constants_that_a_function_captured(watch):
    """A tensor that was made outside of a function is a node of the graph, not a variable."""
    import tensorflow as tf

    shift = tf.constant(np.float32([1, 2, 3]))
    module = saved_models.module(lambda x: {"p": x @ saved_models.W + shift})
    path = saved_models.saved(watch, module)
    check_answers(path, X @ saved_models.W + [1, 2, 3], watch)


def check_answers(path: Path, expected: np.ndarray, watch: Watch) -> None:
    watch.start()
    with SandboxedModel(str(path), batch=4) as model:
        assert model.isolation == "full"
        answers = model.predict({model.inputs[0].name: X})
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    watch.check()
