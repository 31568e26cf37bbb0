"""BASE against a naive twin, closed forms on small arrays, and its error rates."""

import dataclasses
import decimal
import math

import numpy as np
import planted
import pytest

from tf_compleak.attacks import base, features
from tf_compleak.attacks.references import References
from tf_compleak.inference import observe
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

RELEASE = ("original", "int8-ptq")


def naive_term(loss, inside, outside):
    """-l - log of the mean over references of exp(-l), of both sides alike."""
    sides = [side for side in (inside, outside) if side]
    means = [sum(math.exp(-other) for other in side) / len(side) for side in sides]
    return -loss - math.log(sum(means) / len(means))


def naive_terms(family, models, version):
    """{id: term} of one version, for the examples that some model was asked about."""
    terms = {}
    for column, name in enumerate(family.ids):
        sides = {True: [], False: []}
        for model in models:
            for part, members in ((model, model.members), (model.aside, None)):
                for row in np.flatnonzero(part.ids == name):
                    seen = members is not None and bool(members[row])
                    sides[seen].append(features.loss(part)[version, row])
        if sides[True] or sides[False]:
            own = features.loss(family)[version, column]
            terms[name] = naive_term(own, sides[True], sides[False])
    return terms


def test_scores_equal_the_naive_ones():
    *shadows, target = (model.select(RELEASE) for model in planted.halves(3, 1.5, 4, n=80))
    fitted = base.Base().fit(shadows, seed=0)
    scores = fitted.score(target.hidden())
    expected = [naive_terms(target, shadows, version) for version in range(2)]
    assert len(expected[0]) == len(target)
    for column, name in enumerate(target.ids):
        terms = [expected[version][name] for version in range(2)]
        np.testing.assert_allclose(scores[column], fitted.weights @ terms, rtol=1e-4, atol=1e-5)


def test_held_out_scores_are_those_of_shadows_that_play_the_target():
    shadows = [model.select(RELEASE) for model in planted.halves(4, 1.5, 3, n=80)]
    fitted = base.Base().fit(shadows, seed=0)
    start = 0
    for index, shadow in enumerate(shadows):
        others = [other for number, other in enumerate(shadows) if number != index]
        expected = [naive_terms(shadow, others, version) for version in range(2)]
        for column, name in enumerate(shadow.ids):
            terms = [expected[version][name] for version in range(2)]
            found = fitted.held_out[start + column]
            np.testing.assert_allclose(found, fitted.weights @ terms, rtol=1e-4, atol=1e-5)
        start += len(shadow)
    members = np.concatenate([shadow.members for shadow in shadows])
    assert fitted.threshold == roc.best_threshold(fitted.held_out, members)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 300.0])
def test_the_mean_keeps_its_digits_for_tiny_and_huge_losses(scale):
    losses = np.float32(scale * np.array([1.0, 3.0]))[:, None, None]
    side = np.ones((2, 1), bool)
    with decimal.localcontext(prec=60):
        mean = sum((-decimal.Decimal(float(loss))).exp() for loss in losses.ravel()) / 2
        expected = float(mean.ln())
    np.testing.assert_allclose(base.log_mean(losses, side), expected, rtol=1e-6)


def test_closed_forms():
    """One reference: a difference of losses; none: the average; one on either side: their mean."""
    losses = np.float32([[[2.0, 1.0, 0.0]], [[9.0, 3.0, 0.0]]])
    outside = np.array([[True, True, False], [False, False, False]])
    inside = np.array([[False, False, False], [False, True, False]])
    found = base.reference_surety(References(losses, inside, outside), np.array([-0.7]))
    expected = [-2.0, math.log((math.exp(-1) + math.exp(-3)) / 2), -0.7]
    np.testing.assert_allclose(found, [expected], rtol=1e-12)


def with_answers(families, noise, n):
    """Observations of one version each, over one pool of n examples, by logits [N, 2]."""
    found = []
    for members, logits in families:
        found.append(
            Observations(
                versions=("original",),
                probabilities=observe.softmax(logits + noise)[None],
                labels=np.zeros(n, int),
                members=members,
                ids=np.arange(n),
            )
        )
    return found


def test_without_a_leak_the_auc_is_one_half_on_average():
    """Hardness of examples is shared and strong; membership says nothing."""
    rng = np.random.default_rng(0)
    n, aucs = 200, []
    for _ in range(40):
        hardness = 3 * rng.normal(size=(n, 2))
        families = [(rng.permutation(n) < n // 2, 0.3 * rng.normal(size=(n, 2))) for _ in range(3)]
        target, *shadows = with_answers(families, hardness, n)
        scores = base.Base().fit(shadows, seed=0).score(target.hidden())
        aucs.append(roc.auc(scores, target.members))
    assert abs(np.mean(aucs) - 0.5) < 4 * math.sqrt(1 / (6 * n) * 2 / 40)


def test_hardness_of_examples_is_taken_off():
    """A leak that the loss alone hardly shows is found, for references are as sure of the easy."""
    rng = np.random.default_rng(1)
    n = 1000
    hardness = 3 * rng.normal(size=(n, 2))
    families = []
    for _ in range(3):
        members = rng.permutation(n) < n // 2
        logits = 0.3 * rng.normal(size=(n, 2))
        logits[:, 0] += members
        families.append((members, logits))
    target, *shadows = with_answers(families, hardness, n)
    scores = base.Base().fit(shadows, seed=0).score(target.hidden())
    assert roc.auc(-features.loss(target)[0], target.members) < 0.65
    assert roc.auc(scores, target.members) > 0.8


def test_in_models_help_where_there_are_some():
    *shadows, target = (model.select(RELEASE) for model in planted.halves(2, 1.0, 6))
    fitted = base.Base().fit(shadows, seed=0)
    references = fitted.panel.at(target.ids)
    blank = References(references.values, references.inside & False, references.outside)
    out_only = fitted.weights @ base.terms(target, blank, fitted.average)
    both = fitted.score(target.hidden())
    assert roc.auc(both, target.members) > roc.auc(out_only, target.members) + 0.01


def test_what_is_missing_is_said_in_one_line():
    shadow = dataclasses.replace(planted.halves(3, 1.0, 1)[0], aside=None)
    with pytest.raises(ValueError, match="base: one shadow needs a model that was asked") as told:
        base.Base().fit([shadow], seed=0)
    assert "--num_shadows" in str(told.value) and "\n" not in str(told.value)


def test_one_shadow_takes_the_target_for_its_reference():
    """Each score is a difference of two losses, on the shadow and on the target."""
    target, shadow = (model.select(("original",)) for model in planted.halves(6, 1.0, 2))
    own, other = np.arange(0, 800, 2), np.arange(1, 800, 2)
    others = dataclasses.replace(target.take(other), aside=None, members=None)
    target = dataclasses.replace(target.take(own), aside=others)
    shadow_aside = dataclasses.replace(shadow.take(own), aside=None, members=None)
    shadow = dataclasses.replace(shadow.take(other), aside=shadow_aside).with_answers_of(target)
    fitted = base.Base().fit([shadow], seed=0)
    for scores, first, second in (
        (fitted.held_out, shadow, shadow.by_the_target()),
        (fitted.score(target.hidden()), target, shadow_aside),
    ):
        difference = features.loss(second)[0] - features.loss(first)[0]
        np.testing.assert_allclose(scores, difference, rtol=1e-5, atol=1e-6)
