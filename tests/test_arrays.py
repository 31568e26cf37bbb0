"""The Python interface on plain arrays."""

import dataclasses

import numpy as np
import planted
import pytest

import tf_compleak
from tf_compleak.attacks import classifiers
from tf_compleak.observations import Observations
from tf_compleak.types import Report


def test_a_report_from_arrays_and_its_failures():
    *shadows, target = planted.halves(0, 2.0, 4)
    names = ["loss", "sr2-lr", "tabular", "rmia", "lira-online", "samia"]
    report = tf_compleak.run_attacks(target, shadows, names, seed=1)
    assert {(row.tier, row.attack) for row in report.results} >= {
        *(("NR", "loss"), ("SR", "sr2-lr"), ("MR", "rmia"), ("MR", "lira-online")),
    }
    assert report.best("MR").auc.low > 0.6 and report.best("SR").auc_gain is not None
    assert {each.name.split()[0] for each in report.failures} == {"samia"}
    assert "sensitivities" in report.failures[0].reason
    assert report.sanity.warnings() == () and report.sanity.null_auc.measurable
    row = report.results[0]
    assert list(row.tpr_at_fpr) == [0.1, 0.01, 0.001, 0.0001]
    twice = 2 * row.accuracy.value - 1
    assert row.advantage.value == pytest.approx(twice) and row.epsilon.low >= 0
    assert "leak" in tf_compleak.verdict(report)
    assert Report.from_json(report.to_json()).results[3].auc == report.results[3].auc


def test_members_first_arrays_do_not_tell_an_attack_by_their_order(monkeypatch):
    class ByPlace:
        threshold = 0.0

        def fit(self, shadows, *, seed):
            return self

        def score(self, target):
            return -np.arange(len(target), dtype=float)

    monkeypatch.setattr(classifiers, "Linear", ByPlace)
    family = planted.family(0, 1.0)
    first = family.take(np.argsort(~family.members, kind="stable"))
    report = tf_compleak.run_attacks(first, [family], ["nasr-lr"], releases=[("original",)])
    assert report.results[0].auc.low < 0.5 < report.results[0].auc.high


def test_observations_of_plain_and_of_attack_input_arrays():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(60, 4)), rng.integers(4, size=60)
    made = Observations.from_attack_input(
        logits_train=logits[:40], logits_test=logits[40:], labels_train=labels[:40],
        labels_test=labels[40:],
    )  # fmt: skip
    assert made.members.sum() == 40 and made.versions == ("original",)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(made.probabilities[0], expected, rtol=1e-5)
    again = Observations.from_attack_input(
        probs_train=expected[:40], probs_test=expected[40:], labels_train=labels[:40],
        labels_test=labels[40:],
    )  # fmt: skip
    np.testing.assert_allclose(again.probabilities, made.probabilities, rtol=1e-5)
    with pytest.raises(ValueError, match="give logits_train and logits_test"):
        Observations.from_attack_input(labels_train=labels, labels_test=labels, probs_train=logits)
    members = (np.arange(60) < 30).astype(int)
    plain = Observations.from_arrays(expected, labels, members, versions=["a"])
    assert plain.members.dtype == bool and plain.probabilities.shape == (1, 60, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": np.full((1, 4, 2), 0.3)}, "sums to 1"),
        ({"probabilities": np.full((1, 4, 2), np.nan)}, "NaN or infinite"),
        ({"probabilities": np.tile([1.5, -0.5], (1, 4, 1))}, "negative values; are these logits"),
        ({"labels": [0, 1, 2, 0]}, "labels must lie in"),
        ({"members": [0, 1, 2, 0]}, "must be bool, or 0 and 1"),
        ({"ids": [1, 1, 2, 3]}, "more than once"),
        ({"versions": ["a", "b"]}, "with 2 versions"),
        ({"sensitivities": np.zeros((2, 4, 2))}, "sensitivities: got shape"),
    ],
)
def test_bad_arrays_get_one_line(change, message):
    values = {"labels": [0, 1, 0, 1], "members": [0, 1, 0, 1], "versions": ["a"]}
    values = {"probabilities": np.full((1, 4, 2), 0.5), **values, **change}
    with pytest.raises(ValueError, match=message):
        Observations.from_arrays(**values)


def test_bad_sides_are_refused():
    family = planted.family(0, 1.0)
    few = family.take(np.flatnonzero(family.members | (np.cumsum(~family.members) <= 10)))
    for target, message in (
        (family.hidden(), "known members and non-members"),
        (few, "number of non-members: must be at least 20"),
    ):
        with pytest.raises(ValueError, match=message):
            tf_compleak.run_attacks(target, [family], ["loss"])
    with pytest.raises(ValueError, match="Did you mean 'loss'"):
        tf_compleak.run_attacks(family, [family], ["los"])
    with pytest.raises(ValueError, match="suits"):
        tf_compleak.run_attacks(family, [family], ["mr"], releases=[("original",)])
    other = planted.family(1, 1.0, classes=4)
    report = tf_compleak.run_attacks(family, [other], ["loss"])
    assert "5" in report.failures[0].reason and not report.results
    lone = dataclasses.replace(family, members=np.ones(len(family), dtype=bool))
    assert tf_compleak.run_attacks(family, [lone], ["loss"]).failures
