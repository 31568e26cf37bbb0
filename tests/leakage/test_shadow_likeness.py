"""Shadows that are unlike their target are named, with figures, at every door."""

import dataclasses

import numpy as np
import planted
import pytest
from test_doors import NAMES, audited, write_family

import tf_compleak
from tf_compleak.leakage import shadow_likeness
from tf_compleak.metrics import intervals
from tf_compleak.report import html, wording
from tf_compleak.types.comparisons import FamilyAccuracy


def accuracies(family, *rates, n=1000, rng=None):
    """Of members, non-members and validation examples, drawn where there is a generator."""
    counts = [round(rate * n) if rng is None else rng.binomial(n, rate) for rate in rates]
    estimates = [intervals.proportion(int(count), n) for count in counts]
    return FamilyAccuracy(family, "original", *estimates)


def test_a_shadow_that_is_less_accurate_is_named_with_figures():
    target = accuracies("target", 0.95, 0.79, 0.794)
    like, unlike = (
        accuracies("shadow-0", 0.96, 0.78, 0.80),
        accuracies("shadow-1", 0.95, 0.78, 0.695),
    )
    (sentence,) = shadow_likeness.warnings([target, like, unlike])
    assert sentence.startswith("shadow-1 is unlike the target: its original has a validation accur")
    assert "0.695" in sentence and "0.794" in sentence and "-0.099" in sentence
    assert shadow_likeness.warnings([target, like]) == []


def test_chance_is_not_called_unlike():
    """Also where the true accuracies are as far apart as is allowed."""
    rng, warned = np.random.default_rng(0), 0
    for _ in range(300):
        target = accuracies("target", 0.95, 0.75, 0.75, n=200, rng=rng)
        shadow = accuracies("shadow-0", 0.95, 0.78, 0.75, n=200, rng=rng)
        warned += bool(shadow_likeness.warnings([target, shadow]))
    assert warned / 300 <= 0.05


def relabelled(family, share):
    """The family with the labels of some examples turned, so that its models look worse."""
    labels = family.labels.copy()
    turned = np.random.default_rng(0).random(len(labels)) < share
    labels[turned] = (labels[turned] + 1) % family.classes
    return dataclasses.replace(family, labels=labels)


def test_arrays_with_a_weak_shadow():
    target, like, weak = (planted.family(seed, 1.0, n=1000) for seed in range(3))
    report = tf_compleak.run_attacks(target, [like, relabelled(weak, 0.4)], ["loss"])
    assert [(of.family, of.version) for of in report.families] == [
        (family, version)
        for family in ("target", "shadow-0", "shadow-1")
        for version in target.versions
    ]
    first = report.families[0]
    assert first.member_accuracy == report.versions[0].member_accuracy
    assert first.validation_accuracy is None
    (caution,) = wording.cautions(report)
    assert caution.startswith("shadow-1 is unlike the target")
    assert caution in report.summary() and "shadow-1 is unlike" in html.render(report)
    assert tf_compleak.Report.from_json(report.to_json()).families == report.families


@pytest.mark.parametrize("shadows", [True, False])
def test_audits(shadows, tmp_path):
    folders = [write_family(tmp_path / str(seed), seed) for seed in range(2)]
    report = audited(folders, attacks=("loss",), shadows=shadows)
    expected = [(f, name) for f in ("target", "shadow-0") for name in NAMES] if shadows else []
    assert [(of.family, of.version) for of in report.families] == expected
