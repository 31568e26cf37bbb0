"""A report as one self-contained page: opens offline, no script, every text escaped."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from html import escape
from string import Template

from tf_compleak.report import figures, markup, sections, wording
from tf_compleak.types import Estimate, Version
from tf_compleak.types.findings import NO_INPUTS, Findings, Result, holds_chance

TITLE = "What the versions of this model leak about its training data"


def render(report: Findings) -> str:
    """The page as HTML text."""
    return _template("report.html").substitute(
        **_opening(report),
        title=TITLE,
        subtitle=_subtitle(report),
        failures=_failures(report),
        leakage=_leakage(report, wording.ordered(report)),
        more=sections.more(report),
        sanity=_sanity(report),
        fitted=escape(_fitted(report)),
        methods=_methods(report),
        rows=len(report.results),
        repeat=_repeat(report),
    )


def fragment(report: Findings) -> str:
    """What a notebook shows of a report: verdict, figures, versions, each release's best attack."""
    return _template("notebook.html").substitute(
        **_opening(report),
        failures=_failures(report) if report.failures else "",
        leakage=_leakage(report, wording.best_per_release(report)),
    )


def _template(name: str) -> Template:
    file = importlib.resources.files("tf_compleak.report").joinpath(name)
    return Template(file.read_text(encoding="utf-8"))


def _opening(report: Findings) -> dict[str, str]:
    """What page and notebook begin with."""
    return {
        "warnings": _warnings(report),
        "verdict": escape(wording.finding(report)),
        "tiles": "\n".join(_tiles(report)),
        "roc": figures.svg(figures.roc_figure(report), "ROC curves on log axes"),
        "leakage_chart": figures.svg(figures.leakage_figure(report), "AUC of each release"),
        "versions": _versions(report),
    }


def _fitted(report: Findings) -> str:
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


def _subtitle(report: Findings) -> str:
    what = [str(report.study[key]) for key in ("dataset", "model") if key in report.study]
    created = report.provenance.get("created", "at an unknown time")
    return escape(" · ".join([*what, wording.sample(report), f"made {created}"]))


def _warnings(report: Findings) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in report.sanity.warnings())
    void = f'<div class="alarm" role="alert"><p>VOID</p>{lines}</div>' if lines else ""
    notes = "".join(f"<p>Caution: {escape(line)}</p>" for line in wording.cautions(report))
    return void + (f'<div class="caution" role="note">{notes}</div>' if notes else "")


def _tiles(report: Findings) -> Iterator[str]:
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


def _versions(report: Findings) -> str:
    head = ["version", "status", "member accuracy", "non-member accuracy"]
    audit = any(version.agreement for version in report.versions)
    head += ["agreement with the original" if audit else "validation accuracy"]
    head += ["size", "gzip", "notes"]
    caption = "Top-1 accuracy with its interval; size of the file, plain and gzipped."
    return markup.table(
        caption, head, (_version_row(version, audit) for version in report.versions)
    )


def _version_row(version: Version, audit: bool) -> str:
    notes = list(version.notes)
    if version.resolution:
        notes.append(f"outputs in steps of 1/{1 / version.resolution:g}")
    return markup.row(
        version.name,
        markup.cell(version.status, version.status),
        markup.estimate(version.member_accuracy),
        markup.estimate(version.non_member_accuracy),
        markup.estimate(version.agreement if audit else version.validation_accuracy),
        markup.cell(wording.size(version.bytes), "number"),
        markup.cell(wording.size(version.gzip_bytes), "number"),
        markup.cell("; ".join(notes), "text"),
    )


def _failures(report: Findings) -> str:
    if not report.failures:
        return "<p>None.</p>"
    rows = (markup.row(each.name, markup.cell(each.reason, "text")) for each in report.failures)
    return markup.table("Could not be made, attacked or measured.", ["name", "reason"], rows)


def _leakage(report: Findings, shown: Sequence[Result]) -> str:
    """The table of some of the rows."""
    rates = wording.rates(report)
    head = ["release", "tier", "attack", "AUC", "gain over NR", "balanced accuracy"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    epsilon = wording.bounds_epsilon(report)
    head += ["epsilon"] if epsilon else []
    best = {id(row) for row in wording.best_per_release(report)}
    rows = (_result_row(report, row, id(row) in best, rates, epsilon) for row in shown)
    every = [each for row in report.results for each in row.tpr_at_fpr.values()]
    reasons = "".join(f" n/a: {reason}." for reason in wording.unmeasured(every))
    reasons += f" Epsilon: {wording.EPSILON}" if epsilon else ""
    count = f"{len(report.results)} rows"
    if len(shown) < len(report.results):
        count += f", of which each release's best {len(shown)} are shown"
    return markup.table(f"{count}; {wording.sample(report)}.{reasons}", head, rows)


def _result_row(
    report: Findings, row: Result, best: bool, rates: list[float], epsilon: bool
) -> str:
    name = wording.release_name(row.release, report)
    head = escape(name)
    if name != (full := " + ".join(row.release)):
        head = f"<details><summary>{head}</summary><span>{escape(full)}</span></details>"
    cells = [markup.cell(row.tier, row.tier), markup.cell(row.attack), markup.estimate(row.auc)]
    cells += [markup.estimate(row.auc_gain, sign=True), markup.estimate(row.accuracy)]
    cells += [markup.estimate(row.tpr_at_fpr.get(rate)) for rate in rates]
    cells += [markup.estimate(row.epsilon)] if epsilon else []
    kind = f"{row.tier} best" if best else row.tier
    return f'<tr class="{kind}"><th scope="row">{head}</th>{"".join(cells)}</tr>'


def _sanity(report: Findings) -> str:
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
        state = markup.cell(outcome, "" if held else "failed")
        rows.append(
            markup.row(name, markup.estimate(auc), markup.cell(wording.percent(auc.level)), state)
        )
    caption = "Both must hold AUC 0.5 within their interval, or the report is void."
    return markup.table(caption, ["check", "AUC", "level", "outcome"], rows)


def _methods(report: Findings) -> str:
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


def _repeat(report: Findings) -> str:
    get = report.provenance.get
    facts = {
        "seed": get("seed", "unknown"),
        "workdir": get("workdir", "unknown"),
        "last call took": f"{get('seconds')} s" if get("seconds") is not None else "unknown",
        "Python": get("python", "unknown"),
        "platform": get("platform", "unknown"),
        "representative data": get("representative_data", "unknown"),
        "isolation of the files' process": get("isolation", "no file was audited"),
        "libraries": ", ".join(f"{name} {of}" for name, of in (get("libraries") or {}).items()),
    }
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    command, flags = (escape(str(get(key) or "not recorded")) for key in ("command", "flags"))
    return (
        f'<pre tabindex="0">{command}</pre>\n<dl>{items}</dl>\n'
        f'<p class="soft">The flags of this run, resolved:</p>\n<pre tabindex="0">{flags}</pre>'
    )
