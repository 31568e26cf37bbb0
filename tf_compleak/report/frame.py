"""A report as a table for pandas."""

from __future__ import annotations

from typing import Any

from tf_compleak.types import Estimate
from tf_compleak.types.findings import Findings, Result
from tf_compleak.types.versions import release_text

KINDS = ("gain_same", "gain_any", "to_original", "to_best_attack")


def frame(report: Findings):
    """A DataFrame with a row for each result.

    Columns: tier, release ("a+b"), attack, n_members, n_non_members, num_shadows, shadow_auc, and
    for each of accuracy, accuracy_matched, auc, advantage, epsilon, epsilon_gaussian, auc_gain,
    tpr@RATE the value and, with _low and _high appended, its interval; NaN where not measurable.
    So, too, for the paired differences in gain_same, gain_any, to_original and to_best_attack:
    gain_same_auc, gain_same_tpr@RATE, ...; gain_same_over is what the difference is over, such as
    "tabular on original".

    Raises:
      ValueError: when pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ValueError("to_pandas: pandas is not installed; run `pip install pandas`.") from error
    return pandas.DataFrame([cells(result) for result in report.results])


def cells(result: Result) -> dict[str, Any]:
    """Every column of one row."""
    figures = {
        "accuracy": result.accuracy,
        "accuracy_matched": result.accuracy_matched,
        "auc": result.auc,
        **{f"tpr@{rate:g}": estimate for rate, estimate in result.tpr_at_fpr.items()},
        "advantage": result.advantage,
        "epsilon": result.epsilon,
        "epsilon_gaussian": result.epsilon_gaussian,
        "auc_gain": result.auc_gain,
    }
    row: dict[str, Any] = {
        "tier": result.tier,
        "release": release_text(result.release),
        "attack": result.attack,
        "n_members": result.n_members,
        "n_non_members": result.n_non_members,
        "num_shadows": result.num_shadows,
        "shadow_auc": float("nan") if result.shadow_auc is None else result.shadow_auc,
    }
    for kind in KINDS:
        gain = getattr(result, kind)
        row[f"{kind}_over"] = f"{gain.attack} on {release_text(gain.release)}" if gain else ""
        figures[f"{kind}_auc"] = gain and gain.auc
        for rate in result.tpr_at_fpr:
            figures[f"{kind}_tpr@{rate:g}"] = gain and gain.tpr_at_fpr.get(rate)
    for name, estimate in figures.items():
        row |= _interval(name, estimate)
    return row


def _interval(name: str, estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
