import dataclasses

import numpy as np
import planted
import pytest

from tf_compleak import attacks
from tf_compleak.attacks import features, qmia
from tf_compleak.metrics import roc


def test_members_have_no_say():
    shadow, target = planted.family(1, 1.0), planted.family(2, 1.0)
    outside = np.flatnonzero(~shadow.members)
    some = np.append(outside, np.flatnonzero(shadow.members)[:1])
    attack = attacks.load("qmia")
    whole = attack.fit([shadow], seed=0).score(target.hidden())
    without = attack.fit([shadow.take(np.sort(some))], seed=0).score(target.hidden())
    np.testing.assert_array_equal(whole, without)


def test_scores_are_in_units_of_the_quantiles():
    """Of non-members half lie above 0, a tenth above 1, whatever the label and the version."""
    shadow, target = planted.family(1, 0.0, n=6000), planted.family(2, 0.0, n=6000)
    for version in ("original", "int8-ptq"):
        fitted = attacks.load("qmia").fit([shadow.select([version])], seed=0)
        scores = fitted.score(target.select([version]).hidden())
        for quantile, share in ((0.0, 0.5), (1.0, 0.1)):
            assert abs((scores > quantile).mean() - share) < 0.03
            for label in range(target.classes):
                of_class = scores[target.labels == label]
                assert abs((of_class > quantile).mean() - share) < 0.06


def test_hard_examples_are_compared_with_hard_ones():
    """Two classes are hard for every model; the raw logit takes their members for non-members."""
    shadow, target = (hard_and_easy(seed) for seed in (1, 2))
    scores = attacks.load("qmia").fit([shadow], seed=0).score(target.hidden())
    raw = roc.auc(np.float64(features.logit(target)[0]), target.members)
    assert roc.auc(scores, target.members) > raw + 0.02


def hard_and_easy(seed):
    family = planted.family(seed, 1.0, n=4000, versions=("original",))
    rows, labels = np.arange(len(family)), family.labels
    logits = np.log(family.probabilities[0])
    logits[rows, labels] += np.where(labels < 2, -3.0, 3.0)
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return dataclasses.replace(family, probabilities=np.float32(answers)[None])


def test_too_few_non_members_get_one_line():
    shadow = planted.family(1, 1.0)
    few = shadow.take(
        np.append(np.flatnonzero(shadow.members), np.flatnonzero(~shadow.members)[:9])
    )
    with pytest.raises(ValueError, match="qmia: 9 non-members to fit on, needs 20"):
        qmia.Qmia().fit([few], seed=0)
