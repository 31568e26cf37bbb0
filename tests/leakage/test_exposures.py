"""What an app shows of its confidences."""

import numpy as np
import pytest

from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import exposures


def shown(name, p, step=0.0):
    return exposures.parse(name).show(p, step)


P = softmax(3 * np.random.default_rng(0).standard_normal((200, 10)))


@pytest.mark.parametrize("name", exposures.NAMES)
def test_what_is_shown_is_a_distribution_with_the_same_first_class(name):
    rows, step = shown(name, P)
    assert rows.shape == P.shape and rows.dtype == np.float32 and (rows >= 0).all()
    assert np.abs(rows.sum(axis=1) - 1).max() <= 1e-5 + 10 * step
    if name != "round:2":  # which makes ties
        assert np.array_equal(rows.argmax(axis=1), P.argmax(axis=1))


def test_top_keeps_the_highest_and_hides_the_rest():
    rows, _ = shown("top3", P)
    kept = np.argsort(-P, axis=1)[:, :3]
    assert np.array_equal(np.take_along_axis(rows, kept, 1), np.take_along_axis(P, kept, 1))
    rest = np.sort(rows, axis=1)[:, :7]
    assert np.allclose(rest, rest[:, :1])  # nothing tells the other classes apart
    assert np.array_equal(shown("top9", P)[0], P)  # the tenth follows from nine


def test_label_rounding_and_temperature():
    assert set(np.unique(shown("label", P)[0])) == {0, 1}
    rows, step = shown("round:2", P)
    assert step == 0.01 and np.allclose(rows * 100, np.rint(rows * 100), atol=1e-4)
    logits = np.log(P)
    assert np.allclose(shown("temperature:2", P)[0], softmax(logits / 2), atol=1e-6)
    quantized = np.round(P * 256) / 256
    assert np.isfinite(np.log(shown("temperature:2", quantized, 1 / 256)[0])).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("top0", "between 1 and 1000"),
        ("round:9", "between 1 and 6"),
        ("temperature:0", "between 0.01"),
        ("lable", "Did you mean 'label'"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(ValueError, match=message):
        exposures.parse(name)
