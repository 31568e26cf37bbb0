"""Inputs as models take them, outputs as confidences."""

import numpy as np
import pytest

from tf_compleak.inference import prepare
from tf_compleak.inference.observe import softmax
from tf_compleak.types import outputs

BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def test_scales():
    unit = BYTES / np.float32(255)
    assert np.array_equal(prepare.function("none")(BYTES), np.float32(BYTES))
    assert np.allclose(prepare.function("0-1")(BYTES), unit)
    assert np.allclose(prepare.function("-1-1")(BYTES), BYTES / 127.5 - 1, atol=1e-6)
    assert np.allclose(
        prepare.function("imagenet")(BYTES), (unit - prepare.MEAN) / prepare.DEVIATION, atol=1e-6
    )
    turned = prepare.function("imagenet")(BYTES.transpose(0, 3, 1, 2))
    assert np.array_equal(turned.transpose(0, 2, 3, 1), prepare.function("imagenet")(BYTES))
    assert np.allclose(prepare.function("-1-1")(unit), 2 * unit - 1)  # floats are taken as 0..1
    with pytest.raises(ValueError, match=r"these lie in 0\.\.255"):
        prepare.function("0-1")(np.float32([[0, 255]]))


def test_a_function_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "my_own_prep.py").write_text("def halved(x):\n    return x / 2\n")
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(prepare.function("my_own_prep:halved")(BYTES), BYTES / 2)
    with pytest.raises(ValueError, match="cannot be imported"):
        prepare.function("my_own_prep:missing")
    with pytest.raises(ValueError, match="Did you mean 'imagenet'"):
        prepare.function("imagnet")


@pytest.mark.parametrize(
    ("scale", "zero", "dtype", "expected"),
    [
        (1 / 255, -128, "int8", "0-1"),
        (1 / 127.5, 0, "int8", "-1-1"),
        (1 / 128, 128, "uint8", "-1-1"),
        (1.0, -128, "int8", "none"),
        (0.0187, -14, "int8", "imagenet"),
        (1 / 32768, 0, "int16", "-1-1"),
        (0.0, 0, "float32", "0-1"),
        (0.0, 0, "uint8", "none"),
        (0.0, 0, "int8", "none"),
    ],
)
def test_auto_goes_by_the_range_of_the_input(scale, zero, dtype, expected):
    assert prepare.scale_for(scale, zero, dtype, is_bytes=True) == expected
    assert prepare.scale_for(scale, zero, dtype, is_bytes=False) == "none"


def test_shapes():
    assert prepare.fitted(BYTES, (8, 8, 3)) is BYTES
    assert prepare.fitted(BYTES, (-1, -1, 3)) is BYTES
    assert prepare.fitted(BYTES, (192,)).shape == (6, 192)
    larger = prepare.fitted(BYTES, (16, 12, 3))
    assert larger.shape == (6, 16, 12, 3) and larger.dtype == np.uint8
    flat = np.full((2, 4, 4, 1), 0.25, np.float32)
    assert np.allclose(prepare.fitted(flat, (7, 7, 3)), 0.25)  # resized, gray becomes three
    assert np.array_equal(prepare.fitted(BYTES, (3, 8, 8)), BYTES.transpose(0, 3, 1, 2))
    assert np.array_equal(prepare.fitted(BYTES[..., :2], (2, 8, 8))[:, 1], BYTES[..., 1])
    turned = BYTES.transpose(0, 3, 1, 2)  # channels first, as PyTorch has them
    assert prepare.fitted(turned, (3, 8, 8)) is turned
    assert np.array_equal(prepare.fitted(turned, (8, 8, 3)), BYTES)
    for shape in ((3, -1, -1), (3, 8, -1)):
        assert np.array_equal(prepare.fitted(BYTES, shape), turned)
    smaller = prepare.fitted(BYTES, (6, 4, 3))
    assert np.array_equal(prepare.fitted(turned, (3, 6, 4)), smaller.transpose(0, 3, 1, 2))
    with pytest.raises(ValueError, match=r"takes inputs of shape \[10\], the data has \[8, 8, 3\]"):
        prepare.fitted(BYTES, (10,))


def test_kind_of_output():
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((300, 5))
    assert prepare.decide(logits) == "logits"
    assert prepare.decide(softmax(logits)) == "probabilities"
    assert prepare.decide(np.round(softmax(logits) * 256) / 256) == "probabilities"
    assert prepare.decide(np.abs(logits) / 10) == "logits"  # within 0..1, but no distribution
    assert prepare.decide(rng.random((300, 1))) == "probabilities"
    assert prepare.decide(logits[:, :1]) == "logits"


def test_one_column_becomes_two_classes():
    column = np.float32([[0.0], [4.0], [-4.0]])
    two = prepare.probabilities(column, "logits")
    assert two.shape == (3, 2) and np.allclose(two.sum(axis=1), 1)
    assert np.array_equal(two.argmax(axis=1), [0, 1, 0])
    assert np.allclose(prepare.probabilities(np.float32([[0.75]]), "probabilities"), [[0.25, 0.75]])


def test_resolution_is_found_in_the_values():
    p = softmax(2 * np.random.default_rng(2).standard_normal((2000, 10)))
    assert outputs.resolution(p) == 0 and outputs.resolution(p[:30]) == 0
    for step in (1 / 256, 0.01, 1 / 1000):
        assert outputs.resolution(np.float32(np.rint(p / step) * step)) == pytest.approx(step)
    assert outputs.resolution(np.rint(p[:100] * 100) / 100) == 0  # too few to tell
    assert outputs.resolution(np.rint(p[:30] * 256) / 256) == 1 / 256  # but for INT8's own
    assert outputs.resolution(np.eye(10)[np.arange(2000) % 10]) == 0  # labels alone


def test_a_few_rows_of_an_int8_softmax_over_many_classes_are_probabilities():
    p = softmax(2 * np.random.default_rng(2).standard_normal((40, 100)))
    p = np.rint(p * 256) / 256
    assert np.abs(p.sum(axis=1) - 1).max() > 0.01 + outputs.ROUNDING
    assert prepare.decide(p) == "probabilities"
    assert prepare.decide(p[:1, :9], step=1 / 8) == "probabilities"  # the file tells its step
