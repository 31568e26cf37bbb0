"""The contract that every attack obeys; one line here for each line of `ATTACKS`."""

import dataclasses
import functools

import numpy as np
import planted
import pytest

from tf_compleak import attacks
from tf_compleak.attacks import boosted, calibrated, forest, networks
from tf_compleak.leakage import crossfit
from tf_compleak.metrics import intervals, roc
from tf_compleak.models.trainer import Optimization

RELEASES = {
    "confidence": ("original",),
    "confidence-global": ("int8-ptq",),
    "loss": ("int8-ptq",),
    "loss-global": ("original",),
    "entropy": ("original",),
    "entropy-global": ("int8-ptq",),
    "modified-entropy": ("int8-ptq",),
    "modified-entropy-global": ("original",),
    "shokri-lr": ("original",),
    "shokri-rf": ("int8-ptq",),
    "shokri-mlp": ("original",),
    "nasr-lr": ("int8-ptq",),
    "nasr-rf": ("original",),
    "nasr-mlp": ("int8-ptq",),
    "sr1-lr": ("original", "pruning-0.60"),
    "sr1-rf": ("original", "int8-ptq"),
    "sr1-mlp": ("original", "pruning-0.60"),
    "sr2-lr": ("original", "int8-ptq"),
    "sr2-rf": ("original", "pruning-0.60"),
    "sr2-mlp": ("original", "int8-ptq"),
    "samia": ("original",),
    "mr": ("original", "pruning-0.60", "int8-ptq"),
    "mr without the original": ("pruning-0.60", "int8-ptq"),
    "mr-rf": ("original", "pruning-0.60", "int8-ptq"),
    "mr-rf without the original": ("pruning-0.60", "int8-ptq"),
    "tabular": ("original", "int8-ptq"),
    "qmia": ("int8-ptq",),
    "calibrated": ("original", "int8-ptq"),
    "base": ("original", "int8-ptq"),
    "rmia": ("original", "pruning-0.60"),
    "lira-offline": ("original", "int8-ptq"),
    "lira-online": ("original", "pruning-0.60", "int8-ptq"),
    "lira-boosted": ("pruning-0.60", "int8-ptq"),
}
NAMES = sorted(RELEASES)
REFERENCES_ONLY = ("base", "rmia", "lira-offline", "lira-online")  # they tell what is not learned
# Keras networks of other attacks show by default what `samia` takes three times as long for.
WITHOUT_SAMIA = [
    pytest.param(name, marks=pytest.mark.slow if name == "samia" else ()) for name in NAMES
]


SAMIA = Optimization(epochs=12, batch_size=64, learning_rate=2e-2, weight_decay=0.0)
STACK = Optimization(epochs=25, batch_size=128, learning_rate=2e-2)


@pytest.fixture(autouse=True, params=["quick", pytest.param("as shipped", marks=pytest.mark.slow)])
def length(request, monkeypatch):
    """A tenth of the trees, a few of the epochs: the contract does not depend on either.

    Slow: `mr`, `mr-rf` and `lira-boosted` with all their epochs and rounds.
    """
    monkeypatch.setattr(forest, "TREES", 50)
    monkeypatch.setattr(networks, "SAMIA_SETTINGS", SAMIA)
    if request.param == "quick":
        monkeypatch.setattr(boosted, "ITERATIONS", 40)
        monkeypatch.setattr(calibrated, "ITERATIONS", 60)
        monkeypatch.setattr(networks, "STACK_SETTINGS", STACK)
    return request.param


def run(name, seed=0, leak=1.0, shadows=(1,), target=2):
    """The attack fitted anew, the target's scores and the target, membership hidden from it."""
    release = RELEASES[name]
    if "aside" in attacks.ATTACKS[name.split()[0]].needs:
        models = planted.halves(target, leak, 2 + 2 * len(shadows))
        *known, seen = (model.select(release) for model in models)
        fitted = attacks.load(name).fit(known, seed=seed)
        return fitted, fitted.score(seen.hidden()), seen
    known = [planted.family(shadow, leak).select(release) for shadow in shadows]
    seen = planted.family(target, leak).select(release)
    fitted = attacks.load(name.split()[0]).fit(known, seed=seed)
    return fitted, fitted.score(seen.hidden()), seen


@functools.cache
def fitted_once(name, length):
    """`run` with its defaults, for the tests that only look at what comes out."""
    return run(name)


def test_every_attack_is_held_to_the_contract():
    assert {name.split()[0] for name in NAMES} == set(attacks.ATTACKS)
    assert all(attacks.suits(name.split()[0], release) for name, release in RELEASES.items())


@pytest.mark.parametrize("name", WITHOUT_SAMIA)
def test_same_seed_same_scores_whatever_ran_between(name, length):
    _, first, _ = fitted_once(name, length)
    run(name, seed=4, shadows=(5,))
    _, again, _ = run(name)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", NAMES)
def test_pure_noise_gives_auc_one_half(name):
    _, scores, target = run(name, leak=0.0)
    estimate = intervals.auc_estimate(scores, target.members, level=0.999)
    assert estimate.low <= 0.5 <= estimate.high


def members_first(family):
    """The same rows, members before non-members."""
    return family.take(np.argsort(~family.members, kind="stable"))


def noise(name, common_ids):
    """Shadows and a target that tell nothing, members first, with or without common examples."""
    release = RELEASES[name]
    models = planted.halves(7, 0.0, 4, n=900)
    if not common_ids:  # every third of the pool is one family's, the rest it is asked aside
        parts = np.arange(900) % 3
        apart = []
        for index, model in enumerate(models[:3]):
            others = model.take(np.flatnonzero(parts != index))
            rest = dataclasses.replace(others, members=None, aside=None)
            aside = planted.together(rest, model.aside)
            mine = model.take(np.flatnonzero(parts == index))
            apart.append(dataclasses.replace(mine, aside=aside))
        models = apart
    *shadows, target = (members_first(model.select(release)) for model in models)
    return shadows, target


@pytest.mark.parametrize("common_ids", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name.startswith(("mr", "lira-boosted", "calibrated")) or "mlp" in name or "rf" in name
        else name
        for name in NAMES
        if name != "samia"
    ],
)
def test_noise_members_first_gives_auc_one_half_with_and_without_common_ids(name, common_ids):
    shadows, target = noise(name, common_ids)
    scores = attacks.load(name.split()[0]).fit(shadows, seed=0).score(target.hidden())
    estimate = intervals.auc_estimate(scores, target.members, level=0.9999)
    assert estimate.low <= 0.5 <= estimate.high


def least(name):
    """What an attack must attain where much leaks; some do not look at the label."""
    return 0.55 if name.startswith(("entropy", "shokri", "sr1")) else 0.7


@pytest.mark.parametrize("name", NAMES)
def test_planted_leak_is_found_and_higher_means_member(name):
    fitted, scores, target = run(name, leak=2.0)
    assert intervals.auc_estimate(scores, target.members).low > least(name)
    assert roc.balanced_accuracy(scores, target.members, fitted.threshold) > least(name)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_and_each_depends_on_its_own_example_only(name, length):
    fitted, scores, target = fitted_once(name, length)
    assert scores.shape == (len(target),)
    assert np.isfinite(scores).all()
    some = np.arange(40)[::-1]
    alone = fitted.score(target.take(some).hidden())
    np.testing.assert_allclose(alone, scores[some], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_membership_of_the_target_cannot_be_read(name, length):
    fitted, scores, target = fitted_once(name, length)
    assert target.hidden().members is None
    order = np.random.default_rng(0).permutation(len(target))  # nor from the order of the rows
    turned = fitted.score(target.hidden().take(order))
    np.testing.assert_allclose(turned, scores[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WITHOUT_SAMIA)
def test_scores_of_the_shadows_examples_are_told_by_fits_without_them(name):
    """What the strongest attacker weighs an attack by: as good on the shadows as on the target."""
    release, plain = RELEASES[name], name.split()[0]
    if "aside" in attacks.ATTACKS[plain].needs:
        target, *shadows = (model.select(release) for model in planted.halves(2, 2.0, 4))
    else:
        shadows, target = [planted.family(1, 2.0).select(release)], planted.family(2, 2.0)
    attack = attacks.load(plain)
    fitted = attack.fit(shadows, seed=0)
    held_out = crossfit.held_out(fitted, attack, shadows, 0)
    members = np.concatenate([shadow.members for shadow in shadows])
    assert held_out.shape == members.shape and np.isfinite(held_out).all()
    on_target = roc.auc(fitted.score(target.select(release).hidden()), target.members)
    assert abs(roc.auc(held_out, members) - on_target) < 0.08
    assert roc.auc(held_out, members) > least(name)
    noise = [dataclasses.replace(s, members=np.roll(s.members, 7)) for s in shadows]
    if plain not in REFERENCES_ONLY:
        held_out = crossfit.held_out(attack.fit(noise, seed=0), attack, noise, 0)
        rolled = np.concatenate([shadow.members for shadow in noise])
        assert intervals.auc_estimate(held_out, rolled, 0.9999).low <= 0.5


@pytest.mark.parametrize("name", WITHOUT_SAMIA)
def test_several_shadows_and_zero_probabilities_are_taken(name):
    _, scores, target = run(name, leak=2.0, shadows=(1, 3))
    assert roc.auc(scores, target.members) > 0.55


@pytest.mark.parametrize("name", NAMES)
def test_shadows_without_members_are_refused(name):
    shadow = planted.family(1, 1.0).select(RELEASES[name])
    with pytest.raises(ValueError, match="members and non-members"):
        attacks.load(name.split()[0]).fit([shadow.hidden()], seed=0)
    with pytest.raises(ValueError, match="none given"):
        attacks.load(name.split()[0]).fit([], seed=0)


def test_unknown_attack_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Did you mean 'entropy'"):
        attacks.load("entrpy")
