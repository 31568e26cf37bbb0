"""Gaps of like examples, against a loop; what they are worth where few shadows saw an example."""

import dataclasses

import numpy as np
import planted

from tf_compleak.attacks import features, like_examples, lira
from tf_compleak.attacks.references import Panel
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations


def by_loop(gaps, label, center):
    known = np.flatnonzero(gaps.labels == label)
    if len(known) < like_examples.NEIGHBOURS:
        known = np.arange(len(gaps.labels))
    found = []
    for places, values in zip(gaps.centers[:, known], gaps.gaps[:, known], strict=True):
        distances = np.abs(places - center[len(found)])
        nearest = np.sort(distances)[: like_examples.NEIGHBOURS][-1]
        found.append(values[distances <= nearest].mean())
    return found


def test_gaps_equal_the_loop():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(700) < 0.05, 2, rng.integers(2, size=700))  # class 2 has few
    gaps = like_examples.gaps(labels, rng.normal(size=(3, 700)), rng.normal(size=(3, 700)))
    wanted, centers = rng.integers(3, size=60), 1.5 * rng.normal(size=(3, 60))
    expected = [by_loop(gaps, *pair) for pair in zip(wanted, centers.T, strict=True)]
    np.testing.assert_allclose(gaps.like(wanted, centers), np.transpose(expected), rtol=1e-9)


def test_too_few_known_examples_have_no_gaps():
    labels, ones = np.zeros(150, int), np.ones((1, 150))
    some = np.where(np.arange(150) < like_examples.NEIGHBOURS - 1, 1.0, np.nan)[None]
    assert like_examples.gaps(labels, ones, some) is None
    assert like_examples.gaps(labels, ones, ones) is not None
    assert like_examples.gaps(labels[:0], ones, ones) is None


def hard_gain_more(seed, models, n=4000):
    """Training moves the answer on a hard example by 4, on an easy one by nothing."""
    rng = np.random.default_rng(seed)
    ids, labels, easy = np.arange(n), rng.integers(2, size=n), 3 * rng.random(n)
    families = []
    for _ in range(models):
        members = rng.random(n) < 0.5
        phi = easy + 0.7 * rng.normal(size=n) + members * np.where(easy < 1.5, 4.0, 0.0)
        mine = 1 / (1 + np.exp(-phi))
        answers = np.where(np.arange(2) == labels[:, None], mine[:, None], 1 - mine[:, None])
        families.append(
            Observations(("original",), np.float32(answers)[None], labels, members, ids)
        )
    return families


def test_a_hard_example_that_no_shadow_saw_is_told_by_what_others_gained():
    *shadows, target = hard_gain_more(1, 3)
    fitted = lira.online().fit(shadows, seed=0)
    seen = np.logical_or.reduce([shadow.members for shadow in shadows])
    scores = fitted.score(target.hidden())[~seen]
    references = Panel(shadows, features.logit).at(target.ids)
    _, gap = lira.centers(references, fitted.shared)
    hard = references.mean(references.outside)[0] < 1
    assert gap[0, ~seen & hard].mean() > gap[0, ~seen & ~hard].mean() + 2
    naive = dataclasses.replace(fitted, shared=without_like_examples(fitted.shared))
    plain = naive.score(target.hidden())[~seen]
    members = target.members[~seen]
    assert roc.auc(scores, members) > roc.auc(plain, members) + 0.01


def without_like_examples(shared):
    return dataclasses.replace(shared, gaps=None)


def test_noise_stays_noise():
    *shadows, target = planted.halves(3, 0.0, 4)
    fitted = lira.online().fit(shadows, seed=0)
    members = np.concatenate([shadow.members for shadow in shadows])
    assert abs(roc.auc(fitted.held_out, members) - 0.5) < 0.05
    assert abs(roc.auc(fitted.score(target.hidden()), target.members) - 0.5) < 0.07
