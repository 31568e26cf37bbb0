"""Two reports held against each other: paired, by intervals, not at all; exit codes."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import planted
import pytest
from sample_report import scored_report

import tf_compleak
from tf_compleak.cli import main as cli
from tf_compleak.metrics import grammar
from tf_compleak.report import comparison
from tf_compleak.types import Estimate
from tf_compleak.types.soundness import Sanity


def study(leak, seed=0, n=400):
    target, shadow = planted.family(seed, leak, n=n), planted.family(seed + 1, leak, n=n)
    report = tf_compleak.run_attacks(target, [shadow], ["loss", "modified-entropy"])
    fine = Estimate(0.5, 0.4, 0.6, 0.99, "x", n)
    return dataclasses.replace(report, sanity=Sanity(fine, fine), failures=())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Reports of the same examples and little or much leakage, and of others."""
    root = tmp_path_factory.mktemp("reports")
    little, much, others = study(0.2), study(3.0), study(0.2, seed=5)
    for name, report in {"little": little, "much": much, "others": others}.items():
        report.save(root / name)
    fewer = dataclasses.replace(little, results=little.results[:3], scored=None)
    fewer.save(root / "fewer")
    dataclasses.replace(little, study={"dataset": "digits"}).save(root / "digits")
    dataclasses.replace(little, study={"dataset": "npz:x"}).save(root / "npz")
    void = dataclasses.replace(little.sanity.null_auc, value=0.7, low=0.6, high=0.8)
    dataclasses.replace(little, sanity=Sanity(void, void)).save(root / "void")
    return root


def compared(folders, capsys, last, this, *flags):
    code = cli.main(["compare", str(folders / last), str(folders / this), *flags])
    return code, capsys.readouterr()


def test_a_regression_is_found_paired_and_an_improvement_is_none(folders, capsys):
    code, said = compared(folders, capsys, "little", "much", "--fail_if=worse:auc")
    assert code == 3 and "paired" in said.out and "independent" not in said.out
    assert "FAILED: auc of strongest on original is worse by +" in said.err
    code, said = compared(folders, capsys, "much", "little", "--fail_if=worse:auc,worse:tpr@0.1")
    assert code == 0 and "passed: none of" in said.err
    assert compared(folders, capsys, "little", "little", "--fail_if=worse:auc")[0] == 0


def test_other_examples_are_compared_by_intervals(folders, capsys):
    code, said = compared(folders, capsys, "little", "others")
    assert code == 0 and "independent samples" in said.out and "paired" not in said.out


def test_a_pair_has_a_narrower_interval_than_independent_samples(folders):
    last = tf_compleak.Report.load(folders / "little")
    metrics = grammar.regressions("worse:auc", "x")
    apart = dataclasses.replace(last, scored=None)
    pair, alone = (comparison.compare(last, of, metrics).differences[0] for of in (last, apart))
    assert (pair.how, alone.how) == (comparison.PAIRED, comparison.APART)
    assert pair.difference.high < alone.difference.high / 2


def test_examples_of_the_same_numbers_are_paired_only_where_their_content_is_the_same(folders):
    last = tf_compleak.Report.load(folders / "little")
    assert last.provenance["ids_sha256"]
    audits = [
        dataclasses.replace(last, provenance={"data_sha256": list(digests)})
        for digests in (("a", "b"), ("a", "c"))
    ]
    unknown = dataclasses.replace(last, provenance={})

    def how(*reports):
        return {of.how for of in comparison.compare(*reports).differences}

    assert how(last, last) == how(audits[0], audits[0]) == {comparison.PAIRED}
    assert how(*audits) == how(unknown, unknown) == how(audits[0], last) == {comparison.APART}


def test_what_cannot_be_compared_is_said_and_fails(folders, capsys):
    flag = "--fail_if=worse:auc"
    code, said = compared(folders, capsys, "digits", "npz", flag)
    assert code == 3 and "of different data: digits and npz:x" in said.err
    code, said = compared(folders, capsys, "little", "void", flag)
    assert code == 3 and "The second report is void" in said.err
    assert compared(folders, capsys, "little", "void")[0] == 4
    code, said = compared(folders, capsys, "fewer", "little", flag)
    assert code == 3 and "in the second report only" in said.err
    code, said = compared(folders, capsys, "little", "little", "--fail_if=worse:tpr@0.0001")
    assert code == 3 and "needs 100,000 non-members" in said.err


def test_json_and_report_json_itself(folders, capsys):
    paths = [str(folders / name / "report.json") for name in ("little", "much")]
    assert cli.main(["compare", *paths, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    first = values["differences"][0]
    assert first["metric"] == "auc" and first["how"] == "paired" and first["worse"] is True
    assert first["difference"]["low"] > 0 and set(values) >= {"incomparable", "dropped", "schema"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "name two reports"),
        (["a", "b", "--fail=1"], "unexpected --fail=1"),
        (["a", "b", "--fail_if=auc>0.5"], "write worse:tpr@0.01"),
        (["a", "b", "--fail_if=worse:epsilon"], "epsilon is a lower bound"),
        (["a", "b", "--fail_if=worse:acu"], "Did you mean 'auc'"),
        (["/no/such", "b"], "no such file"),
    ],
)
def test_bad_words_are_one_line(words, message, capsys):
    assert cli.main(["compare", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_it_needs_no_tensorflow(folders):
    paths = [str(folders / name) for name in ("little", "much")]
    code = (
        "import sys; from tf_compleak.cli.main import main; main(['compare', *sys.argv[1:]]); "
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_reports_that_do_not_differ_are_seldom_called_worse():
    """The rate over draws of scores: at most 2.5 % for all rows together."""
    members, metrics = np.arange(300) < 150, grammar.regressions("worse:auc", "x")
    base = study(0.2, n=100)
    family = planted.family(0, 1.0, n=300)
    worse = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        key = ("loss", ("original",))
        made = [
            scored_report({key: planted.pooled(rng.normal(size=300) + members, family)}, family)
            for _ in range(2)
        ]
        made = [dataclasses.replace(of, sanity=base.sanity) for of in made]
        worse.append(any(of.worse for of in comparison.compare(*made, metrics).differences))
    assert np.mean(worse) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 60)
