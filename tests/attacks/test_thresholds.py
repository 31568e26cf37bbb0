"""Threshold attacks: global and per-class cuts against a naive search."""

import dataclasses

import numpy as np
import planted
import pytest

from tf_compleak import attacks
from tf_compleak.attacks import features
from tf_compleak.inference import observe
from tf_compleak.metrics import roc

STATISTICS = {
    "confidence": features.confidence,
    "loss": lambda seen: -features.loss(seen),
    "entropy": features.entropy,
    "modified-entropy": features.modified_entropy,
}


@pytest.mark.parametrize("name", STATISTICS)
def test_margins_equal_the_statistic_less_a_naively_found_threshold(name):
    shadow = planted.family(1, 1.0).select(["original"])
    target = planted.family(2, 1.0).select(["original"])
    own = attacks.load(name).fit([shadow], seed=0).score(target.hidden())
    common = attacks.load(f"{name}-global").fit([shadow], seed=0).score(target.hidden())
    values, seen = STATISTICS[name](shadow)[0], STATISTICS[name](target)[0]
    cut = roc.best_threshold(values, shadow.members)
    np.testing.assert_allclose(common, seen - cut)
    for label in range(shadow.classes):
        here = shadow.labels == label
        cut = roc.best_threshold(values[here], shadow.members[here])
        np.testing.assert_allclose(
            own[target.labels == label], (seen - cut)[target.labels == label]
        )


def test_a_class_with_too_few_examples_gets_the_common_threshold():
    shadow = planted.family(1, 1.0).select(["original"])
    rare = np.where(shadow.labels == 4, 3, shadow.labels)
    rare[:5] = 4
    shadow = dataclasses.replace(shadow, labels=rare)
    fitted = attacks.load("loss").fit([shadow], seed=0)
    common = attacks.load("loss-global").fit([shadow], seed=0)
    assert fitted.thresholds[4] == common.thresholds[4] != fitted.thresholds[3]


@pytest.mark.parametrize("name", ["loss", "loss-global", "confidence", "confidence-global"])
def test_sure_answers_do_not_tie(name):
    """Members whose float32 probability rounds to one are told apart by the other classes."""
    rng = np.random.default_rng(0)
    members = rng.permutation(600) < 300
    gaps = rng.permutation(np.linspace(19, 30, 600)) + members
    logits = np.zeros((600, 5), np.float32)
    logits[:, 0] = gaps
    family = dataclasses.replace(
        planted.family(1, 0.0, n=600).select(["original"]),
        probabilities=observe.softmax(logits)[None],
        labels=np.zeros(600, np.int64),
        members=members,
        sensitivities=None,
    )
    assert (family.probabilities[0, :, 0] == 1).all()
    scores = attacks.load(name).fit([family], seed=0).score(family.hidden())
    assert len(np.unique(scores)) == 600
    assert roc.auc(scores, members) == roc.auc(gaps, members)
