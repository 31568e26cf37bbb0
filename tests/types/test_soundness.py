"""Checks of a report in words: which null run failed, and figures that do not contradict them."""

import dataclasses

import pytest

from tf_compleak.types import Estimate
from tf_compleak.types.soundness import NO_INPUTS, NullRun, Sanity

BLIND = Estimate.unmeasurable(NO_INPUTS, 0)


def auc(value, low, high):
    return Estimate(value, low, high, 0.999, "x", 400)


def run(attack, estimate):
    return NullRun(attack, ("original", "int8-ptq"), 3, estimate)


GOOD, HIGH, HIGHER, LOW = (
    run("loss", auc(0.51, 0.45, 0.57)),
    run("rmia", auc(0.6, 0.53, 0.67)),
    run("tabular", auc(0.7, 0.64, 0.76)),
    run("loss", auc(0.3, 0.24, 0.36)),
)
UNMADE = run("samia", Estimate.unmeasurable("needs sensitivities", 0))


@pytest.mark.parametrize(
    ("runs", "phrases"),
    [
        ([GOOD], []),
        ([GOOD, HIGH], ["the AUC of rmia on original+int8-ptq is 0.600 [0.530, 0.670]; 0.5 lies"]),
        ([HIGH, HIGHER, GOOD], ["AUC of tabular on", "(2 of 3 null runs failed)", "a thousand"]),
        ([LOW, HIGH], ["AUC of loss on"]),
        ([UNMADE, GOOD], ["Null run of samia on original+int8-ptq could not be made (needs sens"]),
        ([UNMADE, HIGH], ["could not be made", "AUC of rmia"]),
    ],
)
def test_the_worst_null_run_is_named(runs, phrases):
    warnings = Sanity.of(runs, BLIND).warnings()
    assert bool(warnings) == bool(phrases)
    text = " ".join(warnings)
    assert all(phrase in text for phrase in phrases)


def test_the_worst_stands_for_all_where_one_figure_is_read():
    assert Sanity.of([GOOD, HIGH, HIGHER], BLIND).null_auc == HIGHER.auc
    assert Sanity.of([GOOD, UNMADE, HIGH], BLIND).null_auc == HIGH.auc
    assert not Sanity.of([GOOD, UNMADE], BLIND).null_auc.measurable


def test_reports_of_one_null_run_are_read_and_judged():
    values = Sanity.of([HIGH], BLIND).to_json()
    del values["null_runs"]
    old = Sanity.from_json(values)
    assert old.null_runs == () and "0.600 [0.530, 0.670]; 0.5 lies outside" in old.warnings()[0]
    good = dataclasses.replace(old, null_auc=GOOD.auc)
    assert good.warnings() == ()


def test_a_rounded_end_does_not_contradict_what_is_said_of_it():
    near = Sanity.of([run("loss", auc(0.4796, 0.458, 0.49996))], BLIND)
    assert "0.47960 [0.45800, 0.49996]; 0.5 lies outside" in near.warnings()[0]
    blind = Sanity.of([GOOD], auc(0.54, 0.50004, 0.58))
    assert "AUC 0.54000 [0.50004, 0.58000]" in blind.warnings()[0]


@pytest.mark.parametrize(
    ("ends", "bound", "text"),
    [
        ((0.6, 0.5, 0.7), 0.5, "0.600 [0.500, 0.700]"),  # on the bound: there are no more digits
        ((0.6, 0.4999, 0.7), 0.5, "0.6000 [0.4999, 0.7000]"),
        ((0.6, 0.49, 0.7), 0.5, "0.600 [0.490, 0.700]"),
        ((0.6000001, 0.5, 0.7), 0.6, "0.6000001 [0.5000000, 0.7000000]"),
    ],
)
def test_decimals_tell_on_which_side_of_a_bound_an_end_lies(ends, bound, text):
    assert auc(*ends).beside(bound) == text


def test_signs_and_lower_bounds():
    gain = Estimate(-0.0101, -0.0203, -0.0003, 0.95, "x", 400)
    assert gain.beside(0, signed=True) == "-0.0101 [-0.0203, -0.0003]"
    least = Estimate(0.10004, 0.10004, float("nan"), 0.95, "x", 400)
    assert least.beside(0.1) == "at least 0.10004"
    assert Estimate.unmeasurable("few", 3).beside(0.5) == "n/a"
