"""A report as one self-contained page: opens offline, no script, every text escaped."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator
from html import escape
from string import Template

from tf_compleak.report import figures, wording
from tf_compleak.types import (
    NO_INPUTS,
    Estimate,
    Report,
    Result,
    Subset,
    Version,
    holds_chance,
)

TITLE = "What the versions of this model leak about its training data"


def render(report: Report) -> str:
    """The page as HTML text."""
    template = importlib.resources.files("tf_compleak.report").joinpath("report.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=TITLE,
        subtitle=_subtitle(report),
        warnings=_warnings(report),
        verdict=escape(wording.finding(report)),
        tiles="\n".join(_tiles(report)),
        roc=figures.svg(figures.roc_figure(report), "ROC curves on log axes"),
        leakage_chart=figures.svg(figures.leakage_figure(report), "AUC of each release"),
        versions=_versions(report),
        failures=_failures(report),
        leakage=_leakage(report),
        more=_marginal(report) + _exposed(report) + _strength(report) + _slices(report),
        sanity=_sanity(report),
        fitted=escape(_fitted(report)),
        methods=_methods(report),
        rows=len(report.results),
        repeat=_repeat(report),
    )


def _fitted(report: Report) -> str:
    """Where the attacks were fitted, in a few sentences."""
    if "fitted" in report.provenance:  # an audit
        return (
            f"Each attack was fitted {report.provenance['fitted']}. No example was scored by an "
            "attack that was told its membership."
        )
    data = "other data"
    if report.study.get("split") == "halves":
        data = "random parts of the target's pool of examples"
    return (
        f"Each attack was fitted on shadow families ({report.provenance.get('num_shadows', '?')}): "
        f"models of the same kind, trained on {data} and compressed by the same recipes. The "
        "threshold behind the balanced accuracy was chosen there too. The attack never saw who is "
        "a member of the target."
    )


def _subtitle(report: Report) -> str:
    what = [str(report.study[key]) for key in ("dataset", "model") if key in report.study]
    created = report.provenance.get("created", "at an unknown time")
    return escape(" · ".join([*what, wording.sample(report), f"made {created}"]))


def _warnings(report: Report) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in report.sanity.warnings())
    return f'<div class="alarm" role="alert"><p>VOID</p>{lines}</div>' if lines else ""


def _tiles(report: Report) -> Iterator[str]:
    best = [row for tier in wording.TIERS if (row := report.best(tier))]
    for row in best:
        auc, level = row.auc, wording.percent(row.auc.level)
        chosen = f"best of {wording.choices(report, row.tier)}: {wording.row_name(row, report)}"
        lines = [f"{level} interval [{auc.low:.3f}, {auc.high:.3f}]", chosen]
        for rate, tpr in sorted(row.tpr_at_fpr.items(), reverse=True):
            lines.append(f"TPR@{wording.percent(rate)}: {tpr}")
        title = f"{row.tier}: {wording.TIER_NAMES[row.tier]}"
        yield _tile(row.tier, title, f"AUC {auc.value:.3f}", lines)
    gains = [row for row in best if row.auc_gain and row.gain_over]
    if gains:
        row = max(gains, key=lambda row: row.auc_gain.value)
        words = wording.gain_words(report, row)
        over = f"{row.gain_over[1]} on {wording.release_name(row.gain_over[0], report)}"
        lines = [words[0].upper() + words[1:], f"{wording.row_name(row, report)}, against {over}"]
        yield _tile("", "What further versions add", f"{row.auc_gain.value:+z.3f} AUC", lines)


def _tile(kind: str, title: str, big: str, lines: list[str]) -> str:
    text = "".join(f'<p class="soft">{escape(line)}</p>' for line in lines)
    return (
        f'<section class="tile {kind}"><h3>{escape(title)}</h3>'
        f'<p class="big">{escape(big)}</p>{text}</section>'
    )


def _table(caption: str, head: Iterable[str], rows: Iterable[str]) -> str:
    """A table; `head` is text, `rows` are finished HTML."""
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "\n".join(rows)
    return (
        f"<table><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )


def _row(name: str, *cells: str) -> str:
    """A row with `name` (text) as its header; `cells` are finished HTML."""
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def _cell(text: object, kind: str = "") -> str:
    return f'<td class="{escape(kind)}">{escape(str(text))}</td>'


def _estimate(estimate: Estimate | None, sign: bool = False) -> str:
    """A cell with a figure; the method, or the reason of n/a, as its tooltip."""
    if estimate is None:
        return "<td></td>"
    text = wording.signed(estimate) if sign else str(estimate)
    return f'<td title="{escape(estimate.method)}">{escape(text)}</td>'


def _versions(report: Report) -> str:
    head = ["version", "status", "member accuracy", "non-member accuracy"]
    audit = any(version.agreement for version in report.versions)
    head += ["agreement with the original" if audit else "validation accuracy"]
    head += ["size", "gzip", "notes"]
    caption = "Top-1 accuracy with its interval; size of the file, plain and gzipped."
    return _table(caption, head, (_version_row(version, audit) for version in report.versions))


def _version_row(version: Version, audit: bool) -> str:
    notes = list(version.notes)
    if version.resolution:
        notes.append(f"outputs in steps of 1/{1 / version.resolution:g}")
    return _row(
        version.name,
        _cell(version.status, version.status),
        _estimate(version.member_accuracy),
        _estimate(version.non_member_accuracy),
        _estimate(version.agreement if audit else version.validation_accuracy),
        _cell(wording.size(version.bytes), "number"),
        _cell(wording.size(version.gzip_bytes), "number"),
        _cell("; ".join(notes), "text"),
    )


def _failures(report: Report) -> str:
    if not report.failures:
        return "<p>None.</p>"
    rows = (_row(each.name, _cell(each.reason, "text")) for each in report.failures)
    return _table("Could not be made, attacked or measured.", ["name", "reason"], rows)


def _leakage(report: Report) -> str:
    rates = wording.rates(report)
    head = ["release", "tier", "attack", "AUC", "gain over NR", "balanced accuracy"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    epsilon = wording.bounds_epsilon(report)
    head += ["epsilon"] if epsilon else []
    best = {id(row) for row in wording.best_per_release(report)}
    rows = (
        _result_row(report, row, id(row) in best, rates, epsilon) for row in wording.ordered(report)
    )
    every = [each for row in report.results for each in row.tpr_at_fpr.values()]
    reasons = "".join(f" n/a: {reason}." for reason in wording.unmeasured(every))
    reasons += f" Epsilon: {wording.EPSILON}" if epsilon else ""
    return _table(f"{len(report.results)} rows; {wording.sample(report)}.{reasons}", head, rows)


def _result_row(report: Report, row: Result, best: bool, rates: list[float], epsilon: bool) -> str:
    name = wording.release_name(row.release, report)
    head = escape(name)
    if name != (full := " + ".join(row.release)):
        head = f"<details><summary>{head}</summary><span>{escape(full)}</span></details>"
    cells = [_cell(row.tier, row.tier), _cell(row.attack), _estimate(row.auc)]
    cells += [_estimate(row.auc_gain, sign=True), _estimate(row.accuracy)]
    cells += [_estimate(row.tpr_at_fpr.get(rate)) for rate in rates]
    cells += [_estimate(row.epsilon)] if epsilon else []
    kind = f"{row.tier} best" if best else row.tier
    return f'<tr class="{kind}"><th scope="row">{head}</th>{"".join(cells)}</tr>'


def _section(name: str, title: str, body: str) -> str:
    return (
        f'<h2 id="{name}">{escape(title)}</h2>\n<div class="scroll" tabindex="0" role="region" '
        f'aria-labelledby="{name}">{body}</div>\n'
    )


def _marginal(report: Report) -> str:
    """What each version adds: greedy order, singles, pairs, budget, and the plots."""
    found = report.marginal
    if found is None:
        return ""
    head = ["added", found.metric, "gain", "least accuracy", "gzip, all files"]
    body = [
        _row(
            step.added,
            _estimate(step.subset.figure),
            _estimate(step.gain, sign=True),
            _cell(f"{step.subset.least_accuracy:.3f}"),
            _cell(wording.size(step.subset.gzip_bytes), "number"),
        )
        for step in found.order
    ]
    caption = (
        "From the version that leaks least, always the one that adds least is added next, by the "
        f"attack {found.attack}. The order was chosen by the figures it shows."
    )
    text = _section("adds", "What each version adds", _pareto(report) + _table(caption, head, body))
    singles = [_subset_row(report, each) for each in (*found.singles, *found.pairs)]
    head = ["versions", found.metric, "least accuracy", "files", "gzip, all files"]
    caption = "Every version alone, and the original with every other one."
    text += _section("alone", "Alone and in pairs", _table(caption, head, singles))
    if found.budget:
        text += _section("budget", f"Within {found.budget}", _budget(report, head))
    return text


def _budget(report: Report, head: list[str]) -> str:
    found = report.marginal
    cut = ", where the search was cut off" if found.cut_off else ""
    caption = (
        f"The largest sets of versions whose interval's upper end is within {found.budget}; "
        f"{found.looked} sets were looked at{cut}. The intervals hold for all sets together."
    )
    if not found.within:
        return f"<p>{escape(caption)}</p><p>None is: not even one version alone.</p>"
    return _table(caption, head, (_subset_row(report, each) for each in found.within))


def _subset_row(report: Report, subset: Subset) -> str:
    return _row(
        wording.release_name(subset.release, report),
        _estimate(subset.figure),
        _cell(f"{subset.least_accuracy:.3f}"),
        _cell(wording.size(subset.bytes), "number"),
        _cell(wording.size(subset.gzip_bytes), "number"),
    )


def _pareto(report: Report) -> str:
    chart = figures.svg(figures.pareto_figure(report), "Leakage against size and accuracy")
    return f'<figure style="max-width: 60rem"><div class="paper">{chart}</div></figure>\n'


def _exposed(report: Report) -> str:
    """The best row of every tier for each exposure."""
    if not report.exposed:
        return ""
    rates = wording.rates(report)
    head = ["exposure", "tier", "attack", "AUC", "balanced accuracy"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    body = [
        _row(
            each.exposure,
            _cell(tier, tier),
            _cell(wording.row_name(row, report)),
            _estimate(row.auc),
            _estimate(row.accuracy),
            *(_estimate(row.tpr_at_fpr.get(rate)) for rate in rates),
        )
        for each in report.exposed
        for tier in wording.TIERS
        if (row := each.best(tier))
    ]
    caption = "The best attack of each tier on what the app shows, for every exposure."
    return _section("exposures", "What the app shows", _table(caption, head, body))


def _strength(report: Report) -> str:
    """Attacker strength: figure and table of the rows with fewer shadows; nothing without any."""
    rows = wording.strongest(report)
    if not rows:
        return ""
    rates = wording.rates(report)
    head = ["release", "tier", "attack", "shadows", "AUC"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    body = [
        _row(
            wording.release_name(row.release, report),
            _cell(row.tier, row.tier),
            _cell(row.attack),
            _cell(str(row.num_shadows)),
            _estimate(row.auc),
            *(_estimate(row.tpr_at_fpr.get(rate)) for rate in rates),
        )
        for row in rows
    ]
    caption = (
        "The attack and release that are best with all shadows, in each tier, attacked again with "
        f"fewer; all {len(report.curve)} rows are in report.json."
    )
    chart = figures.svg(figures.strength_figure(report), "AUC by number of shadows")
    figure = f'<figure style="max-width: 44rem"><div class="paper">{chart}</div></figure>\n'
    return _section("strength", "Attacker strength", figure + _table(caption, head, body))


def _slices(report: Report) -> str:
    if not report.slices:
        return ""
    head = ["slice", "tier", "attack", "members", "non-members", "AUC"]
    body = [
        _row(
            each.name,
            _cell(each.tier, each.tier),
            _cell(f"{each.attack} on {wording.release_name(each.release, report)}"),
            _cell(f"{each.n_members:,}"),
            _cell(f"{each.n_non_members:,}"),
            _estimate(each.auc),
        )
        for each in report.slices
    ]
    first = report.slices[0]
    caption = (
        f"The best row of each tier on some of the examples. The {first.count} intervals hold "
        f"together with 95%: each has the level {wording.percent(round(first.auc.level, 5))} "
        "(Bonferroni)."
    )
    return _section("slices", "By class and by correctness", _table(caption, head, body))


def _sanity(report: Report) -> str:
    checks = {
        "Null run: an attack on shuffled membership": report.sanity.null_auc,
        "Blind baseline: a classifier that sees the inputs only": report.sanity.blind_auc,
    }
    rows = []
    for name, auc in checks.items():
        held = auc.measurable and holds_chance(auc)
        outcome = "FAILED: 0.5 lies outside" if auc.measurable else f"FAILED: {auc.method}"
        if auc.method == NO_INPUTS:
            held, outcome = True, NO_INPUTS
        else:
            outcome = "holds 0.5" if held else outcome
        state = _cell(outcome, "" if held else "failed")
        rows.append(_row(name, _estimate(auc), _cell(wording.percent(auc.level)), state))
    caption = "Both must hold AUC 0.5 within their interval, or the report is void."
    return _table(caption, ["check", "AUC", "level", "outcome"], rows)


def _methods(report: Report) -> str:
    """List items: the interval methods that the rows name, figure by figure."""
    found: dict[str, list[Estimate]] = {"Balanced accuracy": [], "AUC": [], "TPR": [], "Gain": []}
    for row in report.results:
        found["Balanced accuracy"].append(row.accuracy)
        found["AUC"].append(row.auc)
        found["TPR"] += [each for each in row.tpr_at_fpr.values() if each.measurable]
        found["Gain"] += [row.auc_gain] if row.auc_gain else []
    methods = {name: dict.fromkeys(each.method for each in of) for name, of in found.items()}
    return "".join(
        f"<li>{name}: {escape('; '.join(of))}.</li>" for name, of in methods.items() if of
    )


def _repeat(report: Report) -> str:
    get = report.provenance.get
    facts = {
        "seed": get("seed", "unknown"),
        "workdir": get("workdir", "unknown"),
        "last call took": f"{get('seconds')} s" if get("seconds") is not None else "unknown",
        "Python": get("python", "unknown"),
        "platform": get("platform", "unknown"),
        "representative data": get("representative_data", "unknown"),
        "libraries": ", ".join(f"{name} {of}" for name, of in (get("libraries") or {}).items()),
    }
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    command, flags = (escape(str(get(key) or "not recorded")) for key in ("command", "flags"))
    return (
        f'<pre tabindex="0">{command}</pre>\n<dl>{items}</dl>\n'
        f'<p class="soft">The flags of this run, resolved:</p>\n<pre tabindex="0">{flags}</pre>'
    )
