"""What a remedy changes: paired, by the rows that either study's shadows choose."""

import dataclasses

import numpy as np
import pytest

from tf_compleak.leakage import remedy_changes, report_rows
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.leakage.remedy_changes import Side
from tf_compleak.metrics import roc
from tf_compleak.metrics.paired_rates import proportion_difference
from tf_compleak.types.observations import Observations

N = 400
MEMBERS = np.arange(N) % 2 == 0
VERSIONS = ("original", "int8")


def side(leak: float, wrong: float, versions=VERSIONS, seed=0, shadow_aucs=(0.6, 0.7)) -> Side:
    """A study whose members' scores lie higher by `leak`, and who is wrong so often."""
    rng, scores = np.random.default_rng(seed), {}
    noise = np.random.default_rng(99).normal(size=N)
    for version, shadow_auc in zip(versions, shadow_aucs, strict=False):
        values = leak * MEMBERS + noise + 0.1 * rng.normal(size=N)
        scores["loss", (version,)] = Pooled(
            values=values,
            margins=values,
            members=MEMBERS,
            shadow_auc=shadow_auc,
            examples=None,
            num_targets=1,
            num_shadows=1,
        )
    labels = np.zeros(N, int)
    answers = np.tile(np.float32([0.9, 0.1]), (len(versions), N, 1))
    answers[:, rng.random(N) < wrong] = [0.1, 0.9]
    target = Observations(versions, answers, labels, MEMBERS, np.arange(N))
    return Side(report_rows.rows(scores, 0), scores, target)


def test_the_same_study_changes_nothing():
    plain = side(1.0, 0.1)
    for change in remedy_changes.changes(plain, plain, "distillation", 0):
        assert change.auc.value == 0
        assert change.auc.low < 0 < change.auc.high
        assert change.tpr_at_fpr[0.1].value == 0
        assert change.accuracy is None or change.accuracy.value == 0


def test_changes_are_differences_of_the_figures_with_a_narrower_interval():
    plain, remedied = side(1.0, 0.05), side(0.3, 0.3, seed=1)
    changes = remedy_changes.changes(plain, remedied, "dp-sgd:eps=8", 0)
    assert [change.of for change in changes] == ["version", "version", "strongest"]
    for change in changes:
        values = [of.scores[("loss", change.plain[0])].values for of in (remedied, plain)]
        aucs = [roc.auc(of, MEMBERS) for of in values]
        assert change.auc.value == pytest.approx(aucs[0] - aucs[1])
        assert change.auc.high < 0
        unpaired = change.plain_auc.high - change.plain_auc.low
        assert change.auc.high - change.auc.low < unpaired
        assert change.auc.n == N
        assert change.tpr_at_fpr[0.1].value < 0
        assert not change.tpr_at_fpr[0.01].measurable
    accuracy = changes[0].accuracy
    assert accuracy.n == N // 2
    assert accuracy.high < 0
    before, after = changes[0].plain_accuracy.value, changes[0].remedied_accuracy.value
    assert accuracy.value == pytest.approx(after - before)
    assert changes[-1].accuracy is None


def test_either_attacker_chooses_by_its_own_shadows():
    plain, remedied = side(1.0, 0.1), side(1.0, 0.1, shadow_aucs=(0.8, 0.7))
    strongest = remedy_changes.changes(plain, remedied, "label-smoothing:0.1", 0)[-1]
    assert strongest.plain == (("int8",), "loss")
    assert strongest.remedied == (("original",), "loss")


def test_a_version_that_one_study_lacks_is_left_out():
    changes = remedy_changes.changes(side(1.0, 0.1), side(1.0, 0.1, VERSIONS[:1]), "x", 0)
    assert [change.plain[0] for change in changes] == [("original",), ("int8",)]
    assert [change.of for change in changes] == ["version", "strongest"]


def test_pooled_targets_are_compared_by_example():
    pooled = side(1.0, 0.1)
    examples = np.arange(N) % (N // 2)
    doubled = {
        key: dataclasses.replace(of, examples=examples, num_targets=2)
        for key, of in pooled.scores.items()
    }
    both = Side(report_rows.rows(doubled, 0), doubled, pooled.target)
    change = remedy_changes.changes(both, both, "x", 0)[0]
    assert change.auc.value == change.tpr_at_fpr[0.1].value == 0
    assert not change.tpr_at_fpr[0.001].measurable


def test_intervals_of_paired_shares_hold_the_difference():
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        one = rng.random(80) < 0.8
        other = np.where(rng.random(80) < 0.7, one, rng.random(80) < 0.6)
        estimate = proportion_difference(other, one)
        held += estimate.low <= 0.3 * (0.6 - 0.8) <= estimate.high
    assert held / 400 > 0.92
