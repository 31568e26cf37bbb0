"""LiRA, RMIA and the boosted ratio against naive twins."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy import stats

from tf_compleak.attacks import boosted, features, lira, rmia
from tf_compleak.attacks.references import Panel
from tf_compleak.metrics import roc

RELEASE = ("original", "int8-ptq")


@pytest.fixture(scope="module")
def models():
    return [model.select(RELEASE) for model in planted.halves(3, 1.5, 6, n=200)]


def naive(shadows, ids, statistic):
    """Dicts: example id -> values of the in models, and of the out models."""
    inside, outside = {i: [] for i in ids}, {i: [] for i in ids}
    for shadow in shadows:
        values = statistic(shadow)
        for column, name in enumerate(shadow.ids):
            (inside if shadow.members[column] else outside)[name].append(values[:, column])
    return inside, outside


def test_means_and_spreads_equal_the_naive_ones(models):
    *shadows, target = models
    inside, outside = naive(shadows, target.ids, features.logit)
    found = Panel(shadows, features.logit).at(target.ids)
    for side, known in ((found.inside, inside), (found.outside, outside)):
        mean = found.mean(side)
        for column, name in enumerate(target.ids):
            if known[name]:
                expected = np.mean(known[name], axis=0)
                np.testing.assert_allclose(mean[:, column], expected, rtol=1e-5, atol=1e-5)
            else:
                assert np.isnan(mean[:, column]).all()
        several = [np.array(v) for v in known.values() if len(v) > 1]
        squares = sum(((v - v.mean(axis=0)) ** 2).sum(axis=0) for v in several)
        freedom = sum(len(v) - 1 for v in several)
        np.testing.assert_allclose(found.spread(side), np.sqrt(squares / freedom), rtol=1e-4)


def test_lira_equals_the_ratio_of_normal_densities(models):
    *shadows, target = models
    inside, outside = naive(shadows, target.ids, features.logit)
    phi = features.logit(target)
    for attack in (lira.online(), lira.offline()):
        fitted = attack.fit(shadows, seed=0)
        scores, shared = fitted.score(target.hidden()), fitted.shared
        for column, name in enumerate(target.ids):
            if inside[name] and outside[name]:
                near, out = np.mean(inside[name], axis=0), np.mean(outside[name], axis=0)
                x = phi[:, column]
                expected = (
                    stats.norm.logpdf(x, near, shared.inside)
                    - stats.norm.logpdf(x, out, shared.outside)
                    if attack.online
                    else -stats.norm.logsf(x, out, shared.outside)
                ).sum()
                np.testing.assert_allclose(scores[column], expected, rtol=1e-4, atol=1e-4)


def test_rmia_equals_the_share_of_beaten_population_examples(models):
    *shadows, target = models
    scores = rmia.Rmia().fit(shadows, seed=0).score(target.hidden())
    _, outside = naive(shadows, target.ids, features.floored_confidence)
    z, mean_z = features.floored_confidence(target.aside), []
    for column in range(len(target.aside)):
        mean_z.append(
            np.mean([features.floored_confidence(s.aside)[:, column] for s in shadows], axis=0)
        )
    ratio_z = (z / np.array(mean_z).T).prod(axis=0)
    for column, name in list(enumerate(target.ids))[:50]:
        if outside[name]:
            mean = np.mean(outside[name], axis=0)
            ratio = (
                features.floored_confidence(target)[:, column] / ((1.5 * mean + 0.5) / 2)
            ).prod()
            wins = ((ratio > ratio_z) + 0.5 * (ratio == ratio_z)).mean()
            np.testing.assert_allclose(scores[column], wins, atol=1 / len(ratio_z))


def test_what_is_missing_is_said(models):
    *shadows, target = models
    bare = [dataclasses.replace(shadow, aside=None) for shadow in shadows]
    with pytest.raises(ValueError, match="population"):
        rmia.Rmia().fit(shadows, seed=0).score(dataclasses.replace(target, aside=None))
    for attack in (lira.online(), boosted.Boosted()):
        with pytest.raises(ValueError, match="two shadows or more"):
            attack.fit(bare[:1], seed=0)


def test_disjoint_shadows_answer_aside():
    """Shadows with data of their own know the target's examples as outsiders only."""
    families = planted.halves(5, 2.0, 3, n=600)
    thirds = np.arange(600) % 3
    kept = []
    for index, family in enumerate(families):
        own, rest = np.flatnonzero(thirds == index), np.flatnonzero(thirds != index)
        others = family.take(rest[~family.members[rest]])
        aside = dataclasses.replace(others, aside=None)
        kept.append(dataclasses.replace(family.take(own), aside=aside))
    *shadows, target = kept
    fitted = lira.offline().fit(shadows, seed=0)
    assert roc.auc(fitted.score(target.hidden()), target.members) > 0.7
    online = lira.online().fit(shadows, seed=0)  # the average gap stands in for the unknown in-mean
    assert roc.auc(online.score(target.hidden()), target.members) > 0.7


def test_copies_are_used_by_the_boosted_ratio_or_refused(models):
    rng = np.random.default_rng(0)

    def asked(family):
        copies = features.logit(family)[:, None] + 0.1 * rng.normal(size=(2, 3, len(family)))
        return dataclasses.replace(family, augmented=np.float32(copies))

    *shadows, target = models
    fitted = boosted.Boosted().fit([asked(shadow) for shadow in shadows], seed=0)
    assert roc.auc(fitted.score(asked(target).hidden()), target.members) > 0.6
    with pytest.raises(ValueError, match="ask all or none"):
        fitted.score(target.hidden())
