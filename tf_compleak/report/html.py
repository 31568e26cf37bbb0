"""A report as one self-contained page: opens offline, every text escaped, whole without its script.

The script (`templates/page.js`) sorts, filters and highlights what is there; it is allowed by its
hash alone. It is our own, of 9 kB: libraries of charts draw in a script what is to be there without
one, and on paper.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from tf_compleak.report import (
    advice,
    figures,
    glossary,
    report_folder,
    svg,
    traffic_light,
    version_figures,
    wording,
)
from tf_compleak.report.marks import Index
from tf_compleak.types import Estimate, Release, Version
from tf_compleak.types.findings import Findings, Result
from tf_compleak.types.soundness import NO_INPUTS, holds_chance

TITLE = "What the versions of this model leak about its training data"
MOST_EXPOSED = 10

# What a browser lets the page do, whatever stands in it: draw itself and run its one script; no
# network, no frames, no forms. Styles stand in the page and in its drawings.
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def render(report: Findings, fail_if: str | None = None) -> str:
    """The page as HTML text.

    Args:
      fail_if: the conditions that the traffic light goes by; None: those of the report's own flags.
    """
    provenance = report.provenance
    budget = traffic_light.conditions(report, fail_if)
    return _page(
        "report.html",
        report,
        title=TITLE,
        policy=POLICY.format(script=_script_sha256()),
        versions=_versions(report),
        light=traffic_light.light(report, budget),
        steps=advice.steps(report, budget),
        not_tested=advice.not_tested(report),
        exposed=_most_exposed(report),
        words=glossary.words(report),
        subtitle=_subtitle(report),
        checks=_checks(report),
        badges=list(_badges(report)),
        fitted=_fitted(report),
        methods=_methods(report),
        command=provenance.get("command") or "not recorded",
        facts=_facts(provenance),
        flags=provenance.get("flags") or "not recorded",
    )


def _most_exposed(report: Findings) -> list[report_folder.MostExposed]:
    return report_folder.most_exposed(report.scored, MOST_EXPOSED) if report.scored else []


def fragment(report: Findings) -> str:
    """What a notebook shows: verdict, figures, versions, the row that leads on each release."""
    return _page("notebook.html", report)


def _script_sha256() -> str:
    """The hash by which a browser knows the page's script, in base64."""
    script = _environment().get_template("page.js").render()
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _versions(report: Findings) -> Markup | None:
    figure = version_figures.versions_figure(report)
    return figure and svg.inline(figure, "Leakage of versions against accuracy and size")


def _page(template: str, report: Findings, **texts: Any) -> str:
    roc = svg.inline(figures.roc_figure(report), "ROC curves on log axes")
    leakage = svg.inline(figures.leakage_figure(report), "AUC of each release")
    page = _environment().get_template(template)
    return page.render(report=report, index=Index(report), roc=roc, leakage=leakage, **texts)


@functools.cache
def _environment() -> jinja2.Environment:
    """This package's templates: texts are escaped, and a name that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tf_compleak.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    functions = (best_tiles, best_rows, rows_caption, tpr_names, version_notes)
    environment.globals |= {function.__name__: function for function in functions}
    modules = {
        "advice": advice,
        "figures": figures,
        "glossary": glossary,
        "svg": svg,
        "version_figures": version_figures,
        "wording": wording,
    }
    environment.globals |= modules
    return environment


def _visible(value: Any) -> Any:
    """Texts without marks that turn the direction of others and without control characters."""
    return value if isinstance(value, Markup) else wording.plain_lines(str(value).splitlines())


@dataclass(frozen=True)
class Tile:
    """A figure in large print: `kind` is its tier or empty, `words` say it plainly."""

    kind: str
    title: str
    figure: str
    words: str
    lines: tuple[str, ...]


def best_tiles(report: Findings) -> Iterator[Tile]:
    """The leading row of every tier, and what further versions add where some do."""
    best = [row for tier in wording.TIERS if (row := report.leading(tier))]
    for row in best:
        auc, level = row.auc, wording.percent(row.auc.level)
        chosen = f"{wording.chosen(report, row.tier)}: {wording.row_name(row, report)}"
        tprs = sorted(row.tpr_at_fpr.items(), reverse=True)
        lines = (f"TPR@{wording.percent(rate)}: {tpr}" for rate, tpr in tprs if tpr.measurable)
        yield Tile(
            row.tier,
            f"{row.tier}: {wording.TIER_NAMES[row.tier]}",
            f"AUC {auc.value:.3f}",
            advice.in_plain_words(row),
            (f"{level} interval [{auc.low:.3f}, {auc.high:.3f}]", chosen, *lines),
        )
    gains = [row for row in best if wording.gain_of(row)]
    if gains:
        row = max(gains, key=lambda row: wording.gain_of(row).auc.value)
        gain, words = wording.gain_of(row), wording.gain_words(report, row)
        over = wording.over(gain, report)
        lines = (words[0].upper() + words[1:], f"{wording.row_name(row, report)}, against {over}")
        yield Tile("", "What further versions add", f"{gain.auc.value:+z.3f} AUC", "", lines)


def version_notes(version: Version) -> list[str]:
    """Notes of a version, with the steps of its outputs."""
    steps = [f"outputs in steps of 1/{1 / version.resolution:g}"] if version.resolution else []
    return [*version.notes, *steps]


def best_rows(report: Findings) -> dict[Release, Result]:
    """The row that leads on each release."""
    return {row.release: row for row in wording.best_per_release(report)}


def tpr_names(rates: Sequence[float]) -> list[str]:
    """Heads of the columns of true positive rates."""
    return [f"TPR@{wording.percent(rate)}" for rate in rates]


def rows_caption(report: Findings, shown: int) -> str:
    """What stands above the rows: how many there are, of how many examples, why some are n/a."""
    count = f"{len(report.results)} rows"
    if shown < len(report.results):
        count += f", of which each release's best {shown} are shown"
    tprs = [tpr for row in report.results for tpr in row.tpr_at_fpr.values()]
    reasons = "".join(f" n/a: {reason}." for reason in wording.unmeasured(tprs))
    reasons += f" Epsilon: {wording.EPSILON}" if wording.bounds_epsilon(report) else ""
    return f"{count}; {wording.sample(report)}.{reasons}"


def _subtitle(report: Findings) -> str:
    what = [str(report.study[key]) for key in ("dataset", "model") if key in report.study]
    created = report.provenance.get("created", "at an unknown time")
    return " · ".join([*what, wording.sample(report), f"made {created}"])


@dataclass(frozen=True)
class Check:
    """A sanity check of the study: its AUC, whether it held, and that in words."""

    name: str
    auc: Estimate
    held: bool
    outcome: str


def _checks(report: Findings) -> list[Check]:
    name, sanity = "Null run: an attack on shuffled membership", report.sanity
    nulls = [
        _check(f"{name}, {run.attack} on {wording.release_name(run.release, report)}", run.auc)
        for run in sanity.null_runs
    ]
    blind = "Blind baseline: a classifier that sees the inputs only"
    return [*(nulls or [_check(name, sanity.null_auc)]), _check(blind, sanity.blind_auc)]


def _check(name: str, auc: Estimate) -> Check:
    if auc.method == NO_INPUTS:
        return Check(name, auc, True, NO_INPUTS)
    if not auc.measurable:
        return Check(name, auc, False, f"FAILED: {auc.method}")
    held = holds_chance(auc)
    return Check(name, auc, held, "holds 0.5" if held else "FAILED: 0.5 lies outside")


@dataclass(frozen=True)
class Badge:
    """A sanity check in a few words: `kind` "held", "failed" or "unmade"."""

    kind: str
    text: str
    detail: str


def _badges(report: Findings) -> Iterator[Badge]:
    """Of all null runs the worst, and the blind baseline."""
    sanity = report.sanity
    nulls = [_check("", run.auc) for run in sanity.null_runs] or [_check("", sanity.null_auc)]
    failed = sum(not check.held for check in nulls)
    count = f"{len(nulls)} null run{'s' if len(nulls) > 1 else ''}"
    text = f"{failed} of {count} FAILED" if failed else f"{count} held"
    worst = sanity.null_auc
    detail = f"worst AUC {worst.beside(0.5)}" if worst.measurable else worst.method
    yield Badge("failed" if failed else "held", text, f"{glossary.meaning('Null run')} {detail}")
    blind = _check("", sanity.blind_auc)
    kind = "failed" if not blind.held else "held" if blind.auc.measurable else "unmade"
    text = {"failed": "Blind baseline FAILED", "held": "Blind baseline held"}.get(kind)
    detail = f"AUC {blind.auc.beside(0.5)}" if blind.auc.measurable else blind.auc.method
    meaning = f"{glossary.meaning('Blind baseline')} {detail}"
    yield Badge(kind, text or "Blind baseline not run", meaning)


def _fitted(report: Findings) -> str:
    """Where the attacks were fitted, in a few sentences."""
    if "fitted" in report.provenance:  # an audit
        return (
            f"Each attack was fitted {report.provenance['fitted']}. No example was scored by an "
            "attack that was told its membership."
        )
    data = "other data"
    if report.study.get("split", "disjoint") != "disjoint":
        data = "random parts of the target's pool of examples"
    return (
        f"Each attack was fitted on shadow families ({report.provenance.get('num_shadows', '?')}): "
        f"models of the same kind, trained on {data} and compressed by the same recipes. The "
        "threshold behind the balanced accuracy was chosen there too. The attack never saw who is "
        "a member of the target."
    )


def _methods(report: Findings) -> dict[str, list[str]]:
    """The interval methods that the rows name, figure by figure; without a row's own tie."""
    rows = report.results
    estimates: dict[str, list[Estimate]] = {
        "Balanced accuracy": [row.accuracy for row in rows],
        "Balanced accuracy, same share": [
            row.accuracy_matched for row in rows if row.accuracy_matched
        ],
        "AUC": [row.auc for row in rows],
        "TPR": [tpr for row in rows for tpr in row.tpr_at_fpr.values() if tpr.measurable],
        "Gain in AUC": [gain.auc for *_, gain in wording.comparisons(rows)],
        "Gain in TPR": [
            tpr
            for *_, gain in wording.comparisons(rows)
            for tpr in gain.tpr_at_fpr.values()
            if tpr.measurable
        ],
    }
    methods = {
        figure: list(dict.fromkeys(estimate.method.partition("; ")[0] for estimate in of))
        for figure, of in estimates.items()
    }
    return {figure: names for figure, names in methods.items() if names}


def _facts(provenance: dict[str, Any]) -> dict[str, Any]:
    """Where and with what the report was made."""
    get = provenance.get
    libraries = get("libraries") or {}
    return {
        "seed": get("seed", "unknown"),
        "workdir": get("workdir", "unknown"),
        "last call took": f"{get('seconds')} s" if get("seconds") is not None else "unknown",
        "Python": get("python", "unknown"),
        "platform": get("platform", "unknown"),
        "representative data": get("representative_data", "unknown"),
        "isolation of the files' process": get("isolation", "no file was audited"),
        "libraries": ", ".join(f"{name} {version}" for name, version in libraries.items()),
    }
