"""Audits from Python: on outputs, functions and shadows; checks before attacking; resuming."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import tf_compleak
from tf_compleak.cli import main as cli
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.question import Question
from tf_compleak.studies.audit import audit, family_answers, query
from tf_compleak.studies.audit.audit_settings import Where

NAMES = ("original", "pruned", "int8")


def outputs(n, leak, seed, classes=5):
    """Logits [V][N, C] and labels: members' right class is higher by `leak`."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    common = rng.standard_normal((n, classes))
    common[np.arange(n), labels] += 2 + leak
    return {name: common + 0.3 * rng.standard_normal(common.shape) for name in NAMES}, labels


def family(n=400, leak=1.5, seed=0):
    mine, y = outputs(n, leak, seed)
    others, z = outputs(n, 0.0, seed + 1)
    return {name: (mine[name], others[name]) for name in NAMES}, (None, y), (None, z)


FEW = {"attacks": ("loss", "tabular"), "where": Where(executor="inline")}


def test_outputs_alone_are_audited_at_every_tier():
    report = tf_compleak.audit(*family(), **FEW)
    assert {row.tier for row in report.results} == {"NR", "SR", "MR"}
    best = report.best("MR")
    assert best.auc.low > 0.7 and best.num_shadows == 0 and best.n_members == 400
    assert not report.failures and not report.sanity.warnings()
    assert "upper view" in report.provenance["fitted"]
    assert report.sanity.blind_auc.method == "not run: no inputs were given"
    by_name = {version.name: version for version in report.versions}
    assert by_name["original"].agreement is None and by_name["int8"].agreement.value > 0.5
    assert by_name["int8"].output == "logits" and by_name["int8"].member_accuracy.n == 400
    assert tf_compleak.Report.from_json(report.to_json()) == report


def test_without_a_leak_none_is_found():
    report = tf_compleak.audit(*family(leak=0.0, seed=5), **FEW)
    for row in report.results:
        z = (row.auc.value - 0.5) / ((row.auc.high - row.auc.low) / 3.92)
        assert abs(z) < 4, row


def test_each_example_is_scored_by_a_fit_without_it():
    """Planted: the label gives membership away, but only for whoever saw the example itself."""
    _versions, _mine, _others = family(leak=0.0)
    labels = np.arange(80)  # every class once a side: memorizing a class tells nothing
    rng = np.random.default_rng(0)
    p = {name: tuple(softmax(rng.standard_normal((80, 80))) for _ in "ab") for name in NAMES[:1]}
    report = tf_compleak.audit(p, (None, labels), (None, labels), force=True, attacks=("nasr-lr",))
    assert report.results[0].auc.low < 0.5 < report.results[0].auc.high + 0.1


def test_order_of_rows_does_not_tell_membership(tmp_path):
    tf_compleak.audit(
        *family(), **(FEW | {"where": Where(workdir=str(tmp_path / "a"), executor="inline")})
    )
    folder = ObservationFolder(Question(), str(tmp_path / "a"))
    seen = folder.observations("target", ("original",))
    places = np.flatnonzero(seen.members) / len(seen)
    assert abs(places.mean() - 0.5) < 0.05


def test_shadows_are_folders_of_outputs(tmp_path):
    for index in range(2):
        versions, (_, y), (_, z) = family(seed=10 + 2 * index)
        folder = tmp_path / f"s{index}"
        folder.mkdir()
        for name, pair in versions.items():
            for kind, array in zip(("members", "non_members"), pair, strict=True):
                np.save(folder / f"{name}.{kind}.npy", array)
        np.save(folder / "members_y.npy", y)
        np.save(folder / "non_members_y.npy", z)
    shadows = [str(tmp_path / "s0"), str(tmp_path / "s1")]
    report = tf_compleak.audit(*family(), shadows=shadows, attacks=("loss", "tabular", "sr2-lr"))
    assert report.best("SR").num_shadows == 2 and report.best("SR").auc.low > 0.7
    assert "2 shadow model" in report.provenance["fitted"]
    (tmp_path / "s1" / "int8.members.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"s1 lacks version int8; put it there as int8"):
        tf_compleak.audit(*family(), shadows=shadows, **FEW)


def test_functions_are_asked_with_inputs():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((600, 8)).astype(np.float32)
    weights = rng.standard_normal((8, 3))
    labels = (x @ weights).argmax(axis=1)
    known = {row.tobytes() for row in x[:300]}

    def model(batch):
        sure = np.array([[3.0 if row.tobytes() in known else 1.0] for row in batch])
        return sure * (batch @ weights)

    sides = (x[:300], labels[:300]), (x[300:], labels[300:])
    report = tf_compleak.audit({"original": model}, *sides, **FEW)
    assert report.best("NR").auc.low > 0.6
    assert report.sanity.blind_auc.measurable and not report.sanity.warnings()
    with pytest.raises(ValueError, match=r"returned shape \[3\]"):
        tf_compleak.audit({"original": lambda batch: model(batch)[0]}, *sides, **FEW)


def test_all_that_an_audit_will_do_is_told_before_it_begins(tmp_path):
    (versions, mine, others), told = family(n=60), []
    logits, other_logits = versions["int8"]
    sides = (logits, mine[1]), (other_logits, others[1])
    tf_compleak.audit(
        {"original": lambda batch: batch, "int8": (logits, other_logits)},
        *sides,
        attacks=("loss",),
        where=Where(executor="inline"),
        tell=lambda *news: told.append(news),
    )
    begun = next(index for index, (_, _, total, _) in enumerate(told) if total)
    titles = {task for task, *_ in told[:begun]}
    assert titles >= {"asking original", "loss original", "loss int8", "blind baseline"}
    ended = {task for task, done, total, _ in told if done == total == 1}
    assert titles <= ended  # no time is counted for what never comes


def test_texts_are_sides_of_versions_given_as_outputs(tmp_path):
    versions, (_, y), (_, z) = family()
    for name, labels in (("mine", y), ("others", z)):
        lines = [f"{name} {index}\t{label}\n" for index, label in enumerate(labels)]
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    sides = [f"text:{tmp_path / name}.tsv" for name in ("mine", "others")]
    report = tf_compleak.audit(versions, *sides, **FEW)
    assert report.best("MR").auc.low > 0.7
    with pytest.raises(ValueError, match=r"400 example\(s\) are among the members, too"):
        tf_compleak.audit(versions, *sides[:1] * 2, **FEW)
    with pytest.raises(ValueError, match=r"mine\.tsv: holds texts; name the vocabulary") as caught:
        tf_compleak.audit({"original": lambda batch: batch}, *sides, **FEW)
    assert "\n" not in str(caught.value)


def test_sides_that_a_blind_classifier_tells_apart_make_the_audit_void():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((600, 8)).astype(np.float32)
    x[:300, 0] += 2
    y = (x[:, 1] > 0).astype(int)
    report = tf_compleak.audit(
        {"original": lambda b: np.stack([-b[:, 1], b[:, 1]], axis=1)},
        (x[:300], y[:300]),
        (x[300:], y[300:]),
        **FEW,
    )
    assert any("void" in line for line in report.sanity.warnings())
    assert tf_compleak.verdict(report).startswith("VOID")


def test_a_version_that_guesses_is_refused_with_a_hint():
    versions, mine, others = family()
    shifted = [(None, (y + 1) % 5) for _, y in (mine, others)]
    with pytest.raises(ValueError, match=r"version original: .* no better than guessing") as caught:
        tf_compleak.audit(versions, *shifted, **FEW)
    assert "--label_offset=-1" in str(caught.value) and "\n" not in str(caught.value)
    report = tf_compleak.audit(versions, *shifted, force=True, **FEW)
    assert report.results


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"int8": 4}, r"numbers of classes differ in the target \(original 5, pruned 5, int8 4\)"),
        ({"int8": "short"}, r"outputs must be numbers \[400, classes\]"),
        ({"int8": "nan"}, r"outputs of int8: 1 value\(s\) are NaN"),
    ],
)
def test_bad_outputs(change, message):
    versions, mine, others = family()
    first, second = versions["int8"]
    wrong = {4: first[:, :4], "short": first[:-1], "nan": first.copy()}[change["int8"]]
    if change["int8"] == "nan":
        wrong[3, 2] = np.nan
    second = second[:, :4] if change["int8"] == 4 else second
    with pytest.raises(ValueError, match=message):
        tf_compleak.audit(versions | {"int8": (wrong, second)}, mine, others, **FEW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": ("lira-online",)}, "name some by --shadows"),
        ({"attacks": ("tabula",)}, "Did you mean 'tabular'"),
        ({"attacks": ("mr",), "releases": (("original",),)}, "suit none of their releases"),
        ({"releases": (("orig",),)}, "Did you mean 'original'"),
        ({"exposure": ("all",)}, "--exposure: unknown 'all'"),
        ({"preprocess": "0-255"}, "--preprocess: unknown"),
        ({"folds": 1}, "--folds"),
        ({"label_offset": 3}, "shift them by --label_offset"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        tf_compleak.audit(*family(), **(FEW | settings))
    assert "\n" not in str(caught.value)


def test_exposures_are_compared():
    report = tf_compleak.audit(*family(), exposure=("label", "full"), **FEW)
    assert [each.exposure for each in report.exposed] == ["label", "full"]
    label, full = (each.best("NR").auc.value for each in report.exposed)
    assert label < full and report.best("NR").auc.value == label
    assert report.exposed[0].results == report.results


def test_a_finished_audit_is_not_done_again_and_another_is_refused(tmp_path):
    where = Where(workdir=str(tmp_path / "a"), executor="inline")
    first = tf_compleak.audit(*family(), **(FEW | {"where": where}))
    stages = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("stage.json")}
    again = tf_compleak.audit(*family(), **(FEW | {"where": where}))
    assert again.results == first.results and again.sanity == first.sanity
    assert stages == {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("stage.json")}
    assert json.loads((tmp_path / "a" / "report.json").read_text())["results"]
    with pytest.raises(ValueError, match="made by another study"):
        tf_compleak.audit(*family(), where=where, attacks=("loss",))
    other = family(seed=50)
    changed = tf_compleak.audit(
        *other, **(FEW | {"where": dataclasses.replace(where, overwrite=True)})
    )
    assert changed.results != first.results


def test_show_knows_the_stages_of_an_audit(tmp_path, capsys):
    root = tmp_path / "a"
    tf_compleak.audit(*family(), **(FEW | {"where": Where(workdir=str(root), executor="inline")}))
    assert cli.main(["show", str(root)]) == 0
    text = capsys.readouterr().out
    stages = [path.parent for path in root.rglob("stage.json")]
    assert text.count("done ") >= len(stages) > 2 and f"{len(stages)} done;" in text
    assert "report.json" in text and "to do" not in text
    damaged = next(
        path
        for path in sorted((root / "observations").rglob("*.npy"))
        if (path.parent / "stage.json").exists()
    )
    damaged.write_bytes(damaged.read_bytes()[:-8])
    assert cli.main(["show", str(root)]) == 0
    text = capsys.readouterr().out
    assert f"to do   {damaged.parent.relative_to(root)}" in text and f"{damaged.name} has" in text


def test_an_audit_of_outputs_loads_no_tensorflow():
    code = (
        "import sys, numpy as np, tf_compleak\n"
        "rng = np.random.default_rng(0)\n"
        "p = rng.standard_normal((60, 3)); y = p.argmax(axis=1)\n"
        "r = tf_compleak.audit({'original': (p, p[::-1])}, (None, y), (None, y[::-1]),"
        " attacks=('loss', 'tabular'))\n"
        "assert r.results\n"
        "print([m for m in ('tensorflow', 'tf_keras', 'keras') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_attacks_on_many_examples_run_one_at_a_time_unless_more_are_asked_for(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    few, many = audit.LARGE - 1, audit.LARGE
    assert audit.attackers(Where(), 1, few) == 4
    assert audit.attackers(Where(), 1, many) == 1
    assert audit.attackers(Where(workers=2), 1, many) == 2


NO_NAMES = ["../up", "a/b", ".hidden", "-rf", "", "a\nb", "é", "x" * 81, "a+b"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_versions_are_named_so_that_names_can_be_files(name):
    versions, mine, others = family()
    with pytest.raises(ValueError, match=r"--versions: .* cannot be a") as caught:
        tf_compleak.audit({name: versions["int8"]}, mine, others, **FEW)
    assert "\n" not in str(caught.value)


def test_stateful_is_one_of_two():
    with pytest.raises(ValueError, match=r"--stateful: unknown 'alow'. Did you mean 'allow'"):
        tf_compleak.audit(*family(), stateful="alow", **FEW)


def test_the_weakest_isolation_is_told():
    def isolated(*found):
        answers = {
            ("target", str(i)): query.Answers((), 0.0, {"isolation": name})
            for i, name in enumerate(found)
        }
        return family_answers.asking_facts(answers).get("isolation")

    assert isolated("full", "full") == "full" and isolated("", "") is None
    assert isolated("full", "partial: no seccomp", "") == "partial: no seccomp"
    assert isolated("full", "none: other system", "partial: no seccomp") == "none: other system"


def test_functions_need_inputs():
    _, mine, others = family()
    with pytest.raises(ValueError, match="a function must be asked, but the examples have no"):
        tf_compleak.audit({"original": lambda batch: batch}, mine, others, **FEW)
