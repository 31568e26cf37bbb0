"""The calibrated attack with one shadow: the target is its reference, and it the target's."""

import dataclasses

import numpy as np
import pytest

from tf_compleak import attacks
from tf_compleak.attacks import calibrated
from tf_compleak.attacks.outside_scale import OutsideScale
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import exposures
from tf_compleak.metrics import intervals, roc
from tf_compleak.types.observations import Observations

VERSIONS = ("original", "small")
CLASSES, SIZE = 6, 600


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    monkeypatch.setattr(calibrated, "ITERATIONS", 60)


def family(examples, members, own, leak, seed):
    """A model's answers on its own examples and, aside, on all others; members it knows better.

    examples: logits f64[N, C] that all models agree on, and labels.
    """
    logits, labels = examples
    rng = np.random.default_rng(seed)
    answers = []
    for _ in VERSIONS:
        rows = logits + 0.3 * rng.normal(size=logits.shape)
        rows[np.arange(len(labels)), labels] += leak * members
        answers.append(softmax(rows))
    whole = Observations(VERSIONS, np.stack(answers), labels, members, np.arange(len(labels)))
    others = np.setdiff1d(np.arange(len(labels)), own)
    return dataclasses.replace(whole.take(own), aside=whole.take(others))


def disjoint(count, leak, seed=0, size=SIZE):
    """Families with examples of their own, half of them members; examples differ in difficulty."""
    rng = np.random.default_rng(seed)
    total = count * size
    labels = rng.integers(CLASSES, size=total)
    logits = rng.normal(size=(total, CLASSES))
    logits[np.arange(total), labels] += 3 * rng.normal(size=total)  # how easy an example is
    parts = np.split(rng.permutation(total), count)
    return [
        family((logits, labels), np.isin(np.arange(total), own[: size // 2]), own, leak, seed + k)
        for k, own in enumerate(parts)
    ]


def fitted_and_scores(target, *shadows, name="calibrated"):
    told = [shadow.with_answers_of(target) for shadow in shadows]
    fitted = attacks.load(name).fit(told, seed=0)
    return fitted, fitted.score(target.hidden())


@pytest.mark.parametrize("count", [2, 3])
def test_what_others_say_of_an_example_tells_how_hard_it_is(count):
    """Far more than its own family alone, from one shadow on; the threshold holds on the target."""
    target, *shadows = disjoint(count, leak=1.0)
    fitted, scores = fitted_and_scores(target, *shadows)
    auc = intervals.auc_estimate(scores, target.members)
    _, alone = fitted_and_scores(target, *shadows, name="tabular")
    gain = intervals.auc_difference(scores, alone, target.members)
    assert auc.low > 0.85 and gain.low > 0.1, (auc, gain)
    assert roc.balanced_accuracy(scores, target.members, fitted.threshold) > 0.8


def test_without_a_leak_nothing_is_found():
    target, shadow = disjoint(2, leak=0.0)
    _, scores = fitted_and_scores(target, shadow)
    auc = intervals.auc_estimate(scores, target.members, level=0.999)
    assert auc.low <= 0.5 <= auc.high


def test_a_shadow_alone_has_no_reference():
    target, shadow = disjoint(2, leak=1.0)
    with pytest.raises(ValueError, match="calibrated: no model was asked about the shadows' exam"):
        attacks.load("calibrated").fit([shadow], seed=0)
    silent = dataclasses.replace(target, aside=None)
    assert shadow.with_answers_of(silent) is shadow


def test_answers_of_the_target_are_found_by_id_and_only_where_it_saw_none():
    target, shadow = disjoint(2, leak=1.0)
    told = shadow.with_answers_of(target)
    row = int(np.flatnonzero(target.aside.ids == shadow.ids[7])[0])
    np.testing.assert_array_equal(
        told.target_probabilities[:, 7], target.aside.probabilities[:, row]
    )
    some = told.select(("small",)).take(np.array([7]))
    np.testing.assert_array_equal(some.by_the_target().probabilities[0, 0], some_row(told))
    common = dataclasses.replace(target, ids=np.append(target.ids[:-1], shadow.ids[0]))
    assert shadow.with_answers_of(common).target_probabilities is None
    missing = dataclasses.replace(target, aside=target.aside.take(np.arange(5)))
    assert shadow.with_answers_of(missing).target_probabilities is None
    with pytest.raises(ValueError, match="target_probabilities: the target was not asked"):
        shadow.by_the_target()


def some_row(told):
    return told.target_probabilities[1, 7]


def test_many_classes_do_without_vectors(monkeypatch):
    monkeypatch.setattr(calibrated, "MOST_CLASSES", CLASSES - 1)
    target, shadow = disjoint(2, leak=1.0)
    _, scores = fitted_and_scores(target, shadow)
    assert intervals.auc_estimate(scores, target.members).low > 0.8
    shown = calibrated.statistic(target, OutsideScale(None))
    assert shown.shape == (3 * len(VERSIONS), len(target))


def surer(family, by):
    """A family that is surer of everything: all its log-odds times a factor."""

    def changed(part):
        powers = part.probabilities.astype(np.float64) ** by
        answers = np.float32(powers / powers.sum(axis=2, keepdims=True))
        return dataclasses.replace(part, probabilities=answers)

    return dataclasses.replace(changed(family), aside=changed(family.aside))


def test_a_target_that_is_surer_of_everything_is_told_as_well():
    """Nearly the AUC on a target that is like its shadow, and a threshold that holds."""
    target, shadow = disjoint(2, leak=1.0)
    fitted, scores = fitted_and_scores(surer(target, 2.5), shadow)
    assert fitted.target_scale.values is not None
    assert intervals.auc_estimate(scores, target.members).low > 0.8
    assert roc.balanced_accuracy(scores, target.members, fitted.threshold) > 0.72


def test_families_that_are_alike_keep_their_numbers():
    scaled = 0
    for seed in range(20):
        target, shadow = disjoint(2, leak=1.0, seed=seed, size=200)
        told = shadow.with_answers_of(target)
        scaled += calibrated._scales([told])[1].values is not None
    assert scaled <= 1


def test_an_empty_set_aside_answers_nothing():
    target, shadow = disjoint(2, leak=1.0, size=40)
    nothing = dataclasses.replace(target, aside=target.aside.take(np.arange(0)))
    assert shadow.with_answers_of(nothing) is shadow


def test_answers_of_the_target_come_with_their_own_step():
    """A quantized target beside a float shadow: rows of 100 classes that sum to one by its step."""
    rng, count, classes = np.random.default_rng(0), 40, 100
    smooth = rng.dirichlet(np.full(classes, 0.3), size=(1, count)).astype(np.float32)
    rough = np.round(smooth * 256) / np.float32(256)
    labels, half = rng.integers(classes, size=count), np.arange(count) % 2 == 0
    step, ids = (1 / 256,), np.arange(100, 100 + count)
    aside = Observations(("int8",), rough, labels, np.zeros(count, bool), ids, resolutions=step)
    target = dataclasses.replace(aside, members=half, ids=np.arange(count), aside=aside)
    told = Observations(("int8",), smooth, labels, half, ids).with_answers_of(target)
    assert told.select(("int8",)).take(np.arange(9)).by_the_target().resolutions == step
    assert exposures.shown(told, "label").target_probabilities is None
