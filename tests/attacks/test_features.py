"""Features against naive twins and closed forms."""

import dataclasses
import math

import numpy as np
import planted

from tf_compleak.attacks import features
from tf_compleak.types.observations import Observations


def one(p, label, resolution=0.0):
    """Observations of one example through one version."""
    return Observations(
        ("v",), np.float32([[p]]), np.array([label]), None, np.array([0]), None, (resolution,)
    )


def test_entropy_and_modified_entropy_equal_the_naive_sums():
    family = planted.family(0, 1.0, n=50)
    for v in range(2):
        for i in range(50):
            p, y = family.probabilities[v, i].astype(float), family.labels[i]
            entropy = sum(q * math.log(q) for q in p)
            modified = (1 - p[y]) * math.log(p[y]) + sum(
                p[j] * math.log(1 - p[j]) for j in range(len(p)) if j != y
            )
            np.testing.assert_allclose(features.entropy(family)[v, i], entropy, rtol=1e-6)
            np.testing.assert_allclose(features.modified_entropy(family)[v, i], modified, rtol=1e-6)
            np.testing.assert_allclose(features.loss(family)[v, i], -math.log(p[y]), rtol=1e-6)


def test_sign_a_confident_right_answer_scores_above_a_wrong_one():
    right, wrong = one([0.98, 0.01, 0.01], 0), one([0.98, 0.01, 0.01], 1)
    assert features.modified_entropy(right)[0, 0] > features.modified_entropy(wrong)[0, 0]
    assert features.loss(right)[0, 0] < features.loss(wrong)[0, 0]
    assert features.entropy(right)[0, 0] > features.entropy(one([0.4, 0.3, 0.3], 0))[0, 0]


def test_zeros_of_a_quantized_output_are_floored_at_half_a_step():
    quantized = one([1 - 2 / 256, 2 / 256, 0.0], 2, resolution=1 / 256)
    assert features.loss(quantized)[0, 0] == -math.log(0.5 / 256)
    assert np.isfinite(features.modified_entropy(one([1.0, 0.0, 0.0], 1))).all()


def test_table_orders_every_version_as_the_first_and_the_label_with_them():
    p = np.float32([[[0.2, 0.7, 0.1]], [[0.5, 0.2, 0.3]]])
    family = Observations(("original", "b"), p, np.array([0]), None, np.array([0]))
    expected = [*np.log([0.1, 0.2, 0.7]), *np.log([0.3, 0.5, 0.2]), 0, 1, 0]
    np.testing.assert_allclose(features.table(family)[0], expected, rtol=1e-6)


def test_table_without_the_label_and_ties_in_the_order_of_the_classes():
    family = planted.family(0, 1.0, n=300)
    bare, full = features.table(family, label=False), features.table(family)
    np.testing.assert_array_equal(bare, full[:, : bare.shape[1]])
    tied = np.float32(np.random.default_rng(0).integers(4, size=(500, 40)))
    expected = np.argsort(tied, axis=1, kind="stable")
    np.testing.assert_array_equal(features._ascending(tied), expected)


def test_joined_shadows_keep_their_sensitivities():
    first, second = planted.family(1, 1.0, n=60), planted.family(2, 1.0, n=40)
    joined = features.join([first, second])
    np.testing.assert_array_equal(joined.sensitivities[:, 60:], second.sensitivities)
    bare = dataclasses.replace(second, sensitivities=None)
    assert features.join([first, bare]).sensitivities is None


def sure(gaps, classes=10):
    """Float32 softmax rows that are ever surer of class 0, as an overfitted model gives them."""
    logits = np.zeros((len(gaps), classes), np.float32)
    logits[:, 0] = gaps
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows = powers / powers.sum(axis=1, keepdims=True)
    labels = np.zeros(len(gaps), np.int64)
    return Observations(("v",), rows[None], labels, None, np.arange(len(gaps)))


def test_sure_answers_keep_their_order_where_float32_rounds_to_one():
    family = sure(np.linspace(15, 36, 60))
    assert (family.probabilities[0, :, 0] == 1).sum() > 40
    confidence, loss = features.confidence(family)[0], features.loss(family)[0]
    assert (np.diff(confidence) > 0).all() and (np.diff(loss) < 0).all()
    expected = np.log1p(9 * np.exp(-np.linspace(15, 36, 60)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_others_that_were_rounded_away_do_not_speak_for_the_label():
    """Confidences of four decimals, or of steps: what the others lack is not the label's."""
    rounded = one([0.9999, 0.0, 0.0], 0)
    assert features.confidence(rounded)[0, 0] == np.float32(0.9999)
    steps = one([255 / 256, 0.0, 0.0], 0, resolution=1 / 256)
    assert features.confidence(steps)[0, 0] == 255 / 256
    assert features.loss(steps)[0, 0] == -math.log(255 / 256)


def test_answers_that_are_hardly_the_label_keep_their_loss():
    """The sum of a hundred float32 classes is a rounding off one: what it lacks is no p_y."""
    rng, log_p = np.random.default_rng(0), np.linspace(-25, -1, 500)
    others = rng.dirichlet(np.ones(99), 500) * (1 - np.exp(log_p))[:, None]
    answers = np.column_stack([np.exp(log_p), others])
    labels, members = np.zeros(500, int), np.arange(500) < 250
    seen = Observations.from_arrays(
        np.float32(answers)[None], labels, members, versions=["original"]
    )
    np.testing.assert_allclose(features.loss(seen)[0], -log_p, rtol=1e-5)
    np.testing.assert_allclose(features.floored_confidence(seen)[0], np.exp(log_p), rtol=1e-4)
