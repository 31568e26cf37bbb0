"""LiRA, RMIA and the boosted ratio against naive twins."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy import stats

from tf_compleak.attacks import boosted, features, lira, rmia
from tf_compleak.attacks.references import Panel
from tf_compleak.inference import observe
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


def test_lira_equals_the_ratio_of_normal_densities(models, monkeypatch):
    """With one variance for all examples; those of their own: see `test_likelihood_twins`."""
    monkeypatch.setattr(lira.Lira, "_priors", lambda self, everything: None)
    *shadows, target = models
    inside, outside = naive(shadows, target.ids, features.logit)
    phi = features.logit(target)
    for attack in (lira.online(), lira.offline()):
        fitted = attack.fit(shadows, seed=0)
        scores, shared = fitted.score(target.hidden()), fitted.shared
        assert fitted.weights.sum() == pytest.approx(1)
        for column, name in enumerate(target.ids):
            if inside[name] and outside[name]:
                near, out = np.mean(inside[name], axis=0), np.mean(outside[name], axis=0)
                x = phi[:, column]
                expected = (
                    stats.norm.logpdf(x, near, shared.inside)
                    - stats.norm.logpdf(x, out, shared.outside)
                    if attack.online
                    else -stats.norm.logsf(x, out, shared.outside)
                ) @ fitted.weights
                np.testing.assert_allclose(scores[column], expected, rtol=1e-4, atol=1e-4)


def test_rmia_equals_the_share_of_beaten_population_examples(models):
    *shadows, target = models
    fitted = rmia.Rmia().fit(shadows, seed=0)
    scores, weights = fitted.score(target.hidden()), fitted.weights
    inside, outside = naive(shadows, target.ids, features.floored_confidence)
    z, mean_z = features.floored_confidence(target.aside), []
    for column in range(len(target.aside)):
        mean_z.append(
            np.mean([features.floored_confidence(s.aside)[:, column] for s in shadows], axis=0)
        )
    ratio_z = np.exp(weights @ np.log(z / np.array(mean_z).T))
    for column, name in list(enumerate(target.ids))[:50]:
        ratio = features.floored_confidence(target)[:, column] / level(inside[name], outside[name])
        ratio = np.exp(weights @ np.log(ratio))
        wins = ((ratio > ratio_z) + 0.5 * (ratio == ratio_z)).mean()
        np.testing.assert_allclose(scores[column], wins, atol=1 / len(ratio_z))


def level(inside, outside):
    """RMIA's p(x) from the answers of models that saw x, and of those that did not."""
    if not outside:
        return np.mean(inside, axis=0)
    mean_out = np.mean(outside, axis=0)
    mean_in = np.mean(inside, axis=0) if inside else 0.5 * mean_out + 0.5
    return (mean_out + mean_in) / 2


def test_rmia_is_better_with_the_models_that_saw_the_example():
    """Online against offline, over several draws: 0.82 against 0.76."""
    aucs = []
    for seed in range(4):
        *shadows, target = (model.select(RELEASE) for model in planted.halves(seed, 0.7, 5))
        fitted = rmia.Rmia().fit(shadows, seed=0)
        references = fitted.references
        ratios = np.log(features.floored_confidence(target)) - np.log(
            0.75 * references.mean_out(target, None) + 0.25
        )
        offline = rmia.Rmia().shares(ratios, target, references, fitted.weights, None)
        online = fitted.score(target.hidden())
        aucs.append([roc.auc(scores, target.members) for scores in (online, offline)])
    online, offline = np.mean(aucs, axis=0)
    assert online > offline + 0.03


def test_what_is_missing_is_said(models):
    *shadows, target = models
    bare = [dataclasses.replace(shadow, aside=None) for shadow in shadows]
    with pytest.raises(ValueError, match="population"):
        rmia.Rmia().fit(shadows, seed=0).score(dataclasses.replace(target, aside=None))
    for attack in (lira.online(), boosted.Boosted()):
        with pytest.raises(ValueError, match="one shadow needs a model that was asked"):
            attack.fit(bare[:1], seed=0)


def disjoint(n=600):
    """Three families with data of their own, each asked aside about the others' and 200 more."""
    families = planted.halves(5, 2.0, 3, n=n)
    parts = np.arange(n) % 3
    apart = []
    for index, family in enumerate(families):
        others = family.take(np.flatnonzero((parts != index) & ~family.members))
        aside = planted.together(dataclasses.replace(others, aside=None), family.aside)
        mine = family.take(np.flatnonzero(parts == index))
        apart.append(dataclasses.replace(mine, aside=aside))
    return apart


def test_disjoint_shadows_answer_aside():
    """Shadows with data of their own know the target's examples as outsiders only."""
    *shadows, target = disjoint()
    fitted = lira.offline().fit(shadows, seed=0)
    assert roc.auc(fitted.score(target.hidden()), target.members) > 0.7
    online = lira.online().fit(shadows, seed=0)  # the average gap stands in for the unknown in-mean
    assert roc.auc(online.score(target.hidden()), target.members) > 0.7


def forged(family, ids):
    """The family with other answers on the examples aside that are called `ids`."""
    aside = family.aside
    rows = np.isin(aside.ids, ids)
    assert rows.any()
    probabilities = aside.probabilities.copy()
    probabilities[:, rows] = 1 / aside.classes
    forgery = dataclasses.replace(aside, probabilities=probabilities)
    return dataclasses.replace(family, aside=forgery)


def test_rmias_population_is_in_no_training_set_and_not_the_targets():
    """What the target says of the shadows' members and of its own examples is no z."""
    *shadows, target = disjoint()
    twice = planted.together(target.aside, dataclasses.replace(target, members=None, aside=None))
    target = dataclasses.replace(target, aside=twice)
    fitted = rmia.Rmia().fit(shadows, seed=0)
    scores = fitted.score(target.hidden())
    members, non_members = (
        np.concatenate([shadow.ids[shadow.members == side] for shadow in shadows])
        for side in (True, False)
    )
    for ids in (members, target.ids):
        np.testing.assert_array_equal(fitted.score(forged(target, ids).hidden()), scores)
    assert (fitted.score(forged(target, non_members).hidden()) != scores).any()


def test_a_shadow_that_plays_rmias_target_has_no_members_of_the_target_as_population():
    *shadows, target = disjoint(n=3000)
    fitted = rmia.Rmia().fit(shadows, seed=0)
    for index, shadow in enumerate(shadows):
        population = fitted.references.population(shadow, index)
        other = shadows[1 - index]
        assert len(population) > rmia.LEAST
        assert np.isin(population.ids, other.ids[~other.members]).all()
    forgeries = [forged(shadow, target.ids) for shadow in shadows]  # their average stays of use
    assert rmia.Rmia().fit(forgeries, seed=0).threshold == pytest.approx(fitted.threshold, abs=0.02)


def test_a_target_without_examples_for_a_population_is_refused_in_one_line():
    *shadows, target = disjoint()
    alone = dataclasses.replace(target, aside=dataclasses.replace(target, aside=None, members=None))
    with pytest.raises(ValueError, match="in no training set"):
        rmia.Rmia().fit(shadows, seed=0).score(alone.hidden())


@pytest.mark.parametrize("attack", [rmia.Rmia(), lira.online(), lira.offline()])
def test_a_version_that_tells_nothing_costs_nothing(attack):
    """The sum over versions alone lost 0.03 to 0.1 of AUC here."""
    rng = np.random.default_rng(0)

    def drowned(family):
        """The second version answers with noise."""
        noise = rng.normal(scale=4, size=family.probabilities.shape[1:])
        parts = np.stack([family.probabilities[0], observe.softmax(noise)])
        aside = None if family.aside is None else drowned(family.aside)
        return dataclasses.replace(family, probabilities=parts, resolutions=(), aside=aside)

    *shadows, target = (drowned(model.select(RELEASE)) for model in planted.halves(4, 1.5, 6))
    alone = attack.fit([shadow.select(RELEASE[:1]) for shadow in shadows], seed=0)
    both = attack.fit(shadows, seed=0)
    aucs = [
        roc.auc(fitted.score(target.select(release).hidden()), target.members)
        for fitted, release in ((alone, RELEASE[:1]), (both, RELEASE))
    ]
    assert aucs[0] > 0.75 and aucs[1] > aucs[0] - 0.01


def test_rmia_weighs_versions_by_one_shadow_alone():
    *shadows, target = disjoint()
    fitted = rmia.Rmia().fit(shadows[:1], seed=0)
    assert fitted.weights.sum() == pytest.approx(1)
    assert roc.auc(fitted.score(target.hidden()), target.members) > 0.65


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
