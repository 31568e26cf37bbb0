"""The Python interface on plain arrays."""

import dataclasses
import sys

import numpy as np
import planted
import pytest

import tf_compleak
from tf_compleak.attacks import ATTACKS, boosted, classifiers, forest, networks
from tf_compleak.models.trainer import Optimization
from tf_compleak.report import wording
from tf_compleak.report.report import Report
from tf_compleak.types import STRONGEST
from tf_compleak.types.observations import Observations


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
    assert report.scored.values.shape == (len(report.results), len(target))
    assert Report.from_json(report.to_json()).results[3].auc == report.results[3].auc


@pytest.mark.parametrize("error", [MemoryError("9 TiB"), FileNotFoundError(2, "gone", "a.npy")])
def test_what_one_attack_lacks_is_its_row_and_the_others_go_on(monkeypatch, error):
    class Lacking:
        def fit(self, shadows, *, seed):
            raise error

    monkeypatch.setattr(classifiers, "Linear", Lacking)
    families, names = [planted.family(seed, 1.0) for seed in (0, 1)], ["nasr-lr", "loss"]
    report = tf_compleak.run_attacks(families[0], families[1:], names, releases=[("original",)])
    assert [row.attack for row in report.results] == ["loss"]
    (failure,) = [row for row in report.failures if row.name.startswith("nasr-lr")]
    assert "9 TiB" in failure.reason or "a.npy" in failure.reason


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
    shadow = planted.family(1, 1.0)
    report = tf_compleak.run_attacks(first, [shadow], ["nasr-lr"], releases=[("original",)])
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
        ({"probabilities": np.ones((1, 4, 1))}, "one class only"),
        ({"probabilities": [[0.5, 0.5], [1.0]]}, "probabilities: not an array of numbers"),
    ],
)
def test_bad_arrays_get_one_line(change, message):
    values = {"labels": [0, 1, 0, 1], "members": [0, 1, 0, 1], "versions": ["a"]}
    values = {"probabilities": np.full((1, 4, 2), 0.5), **values, **change}
    with pytest.raises(ValueError, match=message):
        Observations.from_arrays(**values)


def test_each_side_of_an_attack_input_has_its_own_labels():
    """Labels of one side must not slide over to the other where the sums agree."""
    rows = {"probs_train": np.full((3, 2), 0.5), "probs_test": np.full((2, 2), 0.5)}
    with pytest.raises(ValueError, match=r"the train side must be .* each of its 2 labels"):
        Observations.from_attack_input(labels_train=[0, 1], labels_test=[0, 1, 0], **rows)
    rows["probs_test"] = np.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match="the test side must be"):
        Observations.from_attack_input(labels_train=[0, 1, 0], labels_test=[0, 1], **rows)


def test_bad_sides_are_refused():
    family, shadow = planted.family(0, 1.0), planted.family(1, 1.0)
    few = family.take(np.flatnonzero(family.members | (np.cumsum(~family.members) <= 10)))
    for target, message in (
        (family.hidden(), "known members and non-members"),
        (few, "number of non-members: must be at least 20"),
    ):
        with pytest.raises(ValueError, match=message):
            tf_compleak.run_attacks(target, [shadow], ["loss"])
    for shadows, message in (
        ([shadow, few], r"shadows\[1\]: number of non-members: must be at least 20, got 10"),
        ([shadow, shadow.hidden()], r"shadows\[1\]: needs known members"),
        ([], "shadows: none given"),
        (shadow, "give a list, got one Observations"),
    ):
        with pytest.raises(ValueError, match=message):
            tf_compleak.run_attacks(family, shadows, ["loss"])
    with pytest.raises(ValueError, match="Did you mean 'loss'"):
        tf_compleak.run_attacks(family, [shadow], ["los"])
    with pytest.raises(ValueError, match="attacks: give a list of names, got the text 'loss'"):
        tf_compleak.run_attacks(family, [shadow], "loss")
    with pytest.raises(ValueError, match="tuple of version names, got the text 'original'"):
        tf_compleak.run_attacks(family, [shadow], ["loss"], releases=["original"])
    with pytest.raises(ValueError, match="seed: must be at least 0"):
        tf_compleak.run_attacks(family, [shadow], ["loss"], seed=-1)
    with pytest.raises(ValueError, match="suits"):
        tf_compleak.run_attacks(family, [shadow], ["mr"], releases=[("original",)])


@pytest.fixture(scope="module")
def small():
    target, shadow = planted.family(0, 2.0, n=200), planted.family(1, 2.0, n=200)
    return tf_compleak.run_attacks(target, [shadow], ["loss", "sr2-lr", "lira-online"])


def test_a_report_in_words_and_as_a_table(small):
    text = small.summary()
    assert text.startswith(tf_compleak.verdict(small))
    assert "NR, of 3 the one that leaks most on the shadows: strongest on " in text
    assert "failed: lira-online" in text
    (version,) = small.leading("SR").gain_same.release
    assert f"gain in AUC over the same attack on {version} alone: " in text
    assert "gain in AUC over the attack that turned out best, " in text
    assert "TPR@0.1%: n/a (needs" in text and "epsilon: at least" in text
    pandas = pytest.importorskip("pandas")
    table = small.to_pandas()
    assert isinstance(table, pandas.DataFrame) and len(table) == len(small.results)
    row, result = table.iloc[-1], small.results[-1]
    assert row["release"] == "+".join(result.release) and row["auc_low"] == result.auc.low
    assert row["tpr@0.1"] == result.tpr_at_fpr[0.1].value and np.isnan(row["tpr@0.0001"])


def test_pandas_is_named_when_it_is_missing(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match="pip install pandas"):
        small.to_pandas()


def test_roc_curves_are_drawn_and_saved(small, tmp_path):
    figure = small.plot_roc_curve(tmp_path / "roc.png", rows=[0, 1])
    lines = figure.axes[0].get_lines()
    assert len(lines) == 3 and figure.axes[0].get_xscale() == "log"  # two rows and guessing
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")


def test_attacks_side_by_side_give_the_same(small):
    target, shadow = planted.family(0, 2.0, n=200), planted.family(1, 2.0, n=200)
    told = []
    again = tf_compleak.run_attacks(
        target,
        [shadow],
        ["loss", "sr2-lr", "lira-online"],
        workers=2,
        tell=lambda *news: told.append(news),
    )
    assert again.results == small.results and again.failures == small.failures
    assert any(news[0] == "loss original" for news in told)


def test_what_is_wrong_with_the_shadows_is_said():
    target, shadow = planted.family(0, 2.0, n=200), planted.family(1, 2.0, n=200)
    lacking = shadow.select(shadow.versions[:1])
    report = tf_compleak.run_attacks(target, [lacking], ["loss"])
    assert {row.release for row in report.results} == {shadow.versions[:1]}
    reasons = {each.name: each.reason for each in report.failures}
    assert "unknown" in reasons[f"loss {shadow.versions[1]}"]
    other = dataclasses.replace(
        shadow,
        probabilities=np.ones((len(shadow.versions), 200, 3), np.float32) / 3,
        labels=shadow.labels % 3,
    )
    with pytest.raises(ValueError, match="3 classes, the target has"):
        tf_compleak.run_attacks(target, [other], ["loss"])
    one_sided = dataclasses.replace(shadow, members=np.ones(200, bool))
    with pytest.raises(ValueError, match="needs known members and non-members"):
        tf_compleak.run_attacks(target, [one_sided], ["loss", "tabular"])


def test_constant_scores_are_a_row_without_leakage():
    """Every example has the same confidences: nothing to tell, and nothing to trip over."""
    flat = [
        dataclasses.replace(
            planted.family(seed, 2.0, n=200),
            probabilities=np.full((3, 200, 5), 0.2, np.float32),
        )
        for seed in (0, 1)
    ]
    names = ["loss-global", "nasr-lr", "nasr-rf", "tabular", "sr1-lr"]
    report = tf_compleak.run_attacks(flat[0], flat[1:], names)
    for row in report.results:
        assert row.auc.low <= 0.5 <= row.auc.high
    assert len(report.results) + len(report.failures) >= 11


def test_versions_are_not_named_as_releases_are_joined():
    """Else "a+b" is the release of "a" and "b" in reports, file names and --releases."""
    target, shadow = (planted.family(seed, 2.0, n=200) for seed in (0, 1))
    names = ("original", "int8", "original+int8")
    target, shadow = (dataclasses.replace(family, versions=names) for family in (target, shadow))
    with pytest.raises(ValueError, match=r"versions: 'original\+int8' cannot be .*'original-int8'"):
        tf_compleak.run_attacks(target, [shadow], ["loss"])


def test_few_rows_of_an_int8_softmax_over_many_classes_are_observations():
    """As an audit takes them: their sums are away from one by what the steps allow."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(100, 0.3), 60)
    p = np.rint(p * 256) / 256
    labels, members = rng.integers(100, size=60), np.arange(60) < 30
    seen = Observations.from_arrays(p, labels, members, versions=["int8"])
    assert seen.resolutions == (1 / 256,) and np.abs(p.sum(axis=1) - 1).max() > 0.02
    with pytest.raises(ValueError, match=r"of int8: row .* are these logits\?"):
        Observations.from_arrays(p + 0.01, labels, members, versions=["int8"])


@pytest.mark.parametrize("door", ["from_arrays", "from_attack_input", "audit"])
def test_one_hot_labels_are_told_what_to_do(door):
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet(np.ones(4), 60), np.eye(4)[np.arange(60) % 4]
    members = np.arange(60) < 30
    with pytest.raises(ValueError, match=r"one-hot, give labels\.argmax\(axis=1\)") as caught:
        if door == "from_arrays":
            Observations.from_arrays(p, labels, members, versions=["a"])
        elif door == "from_attack_input":
            sides = {"probs_train": p[:30], "probs_test": p[30:]}
            Observations.from_attack_input(
                labels_train=labels[:30], labels_test=labels[30:], **sides
            )
        else:
            tf_compleak.audit({"a": (p[:30], p[30:])}, (None, labels[:30]), (None, labels[30:]))
    assert "\n" not in str(caught.value)


# Examples in common -------------------------------------------------------------------------------

COMPARING = [name for name, entry in ATTACKS.items() if "aside" in entry.needs]
QUICK = ["loss", "nasr-lr", "sr2-lr", "tabular"]
SLOW = [name for name in ATTACKS if name not in (*COMPARING, *QUICK)]
NOISY = [("original",), ("original", "int8-ptq")]


def noise(count, with_ids, members_first):
    """Families of pure noise over one pool, membership drawn for each; or rows of their own."""
    families = []
    for index, family in enumerate(planted.halves(5, 0.0, count, n=300)):
        if not with_ids:
            of_its_own = planted.family(20 + index, 0.0, n=300)
            family = dataclasses.replace(of_its_own, ids=None)
        if members_first:
            family = family.take(np.argsort(~family.members, kind="stable"))
        families.append(family)
    return families


def hold_to_noise(names, with_ids, members_first):
    target, *shadows = noise(3, with_ids, members_first)
    widest = [] if with_ids else [target.versions]
    report = tf_compleak.run_attacks(
        target, shadows, names, releases=[*NOISY, *widest], marginal="none"
    )
    for row in report.results:
        z = (row.auc.value - 0.5) / ((row.auc.high - row.auc.low) / 3.92)
        assert abs(z) < 4, (row.attack, row.release, row.auc)
    return report


@pytest.fixture
def shorter(monkeypatch):
    """Fewer trees and epochs, as for the contract of attacks."""
    monkeypatch.setattr(forest, "TREES", 20)
    monkeypatch.setattr(boosted, "ITERATIONS", 40)
    few = Optimization(epochs=4, batch_size=128, learning_rate=2e-2)
    monkeypatch.setattr(networks, "SAMIA_SETTINGS", few)
    monkeypatch.setattr(networks, "STACK_SETTINGS", few)


@pytest.mark.parametrize("members_first", [False, True])
@pytest.mark.parametrize("with_ids", [False, True])
def test_no_attack_finds_members_in_pure_noise(shorter, with_ids, members_first):
    names = [*QUICK, *COMPARING]
    report = hold_to_noise(names, with_ids, members_first)
    lost = {failure.name: failure.reason for failure in report.failures}
    if with_ids:
        assert not lost and {row.attack for row in report.results} == {*names, STRONGEST}
        return
    assert set(lost) == set(COMPARING)
    for reason in lost.values():
        assert "have no ids; give them (Observations.from_arrays(..., ids=...))" in reason
        assert "\n" not in reason


@pytest.mark.slow
@pytest.mark.parametrize("members_first", [False, True])
@pytest.mark.parametrize("with_ids", [False, True])
def test_no_other_attack_finds_members_in_pure_noise(shorter, with_ids, members_first):
    lacking = {"samia", "mr", "mr-rf"} if with_ids else set()  # sensitivities; a release of three
    names = [name for name in SLOW if name not in lacking]
    report = hold_to_noise(names, with_ids, members_first)
    assert not report.failures and {row.attack for row in report.results} == {*names, STRONGEST}


def test_no_ids_mean_no_common_examples():
    """Rows of arrays that happen to have the same number are not the same example."""
    rng = np.random.default_rng(0)
    members = np.arange(400) < 200
    target, *shadows = (
        Observations.from_attack_input(
            probs_train=rng.dirichlet(np.ones(5), 200), labels_train=rng.integers(5, size=200),
            probs_test=rng.dirichlet(np.ones(5), 200), labels_test=rng.integers(5, size=200),
        )
        for _ in range(3)
    )  # fmt: skip
    assert target.ids is None and (target.members == members).all()
    with pytest.raises(ValueError, match="lira-boosted: compares what models say") as caught:
        tf_compleak.run_attacks(target, shadows, ["lira-boosted"])
    assert "\n" not in str(caught.value)
    report = tf_compleak.run_attacks(target, shadows, ["loss", "lira-boosted"])
    assert {row.attack for row in report.results} == {"loss"}
    assert report.results[0].auc.low < 0.5 < report.results[0].auc.high
    np.testing.assert_array_equal(report.scored.ids, np.arange(400))
    np.testing.assert_array_equal(report.scored.members, members)


def same_lists(family, target):
    """A family as if its lists were the target's."""
    return dataclasses.replace(
        family, ids=target.ids, members=target.members, labels=target.labels, aside=None
    )


def test_shadows_whose_lists_tell_the_targets_are_refused_or_named():
    target, *shadows = noise(3, True, True)
    copies = [same_lists(shadow, target) for shadow in shadows]
    line = r"shadows\[0\]: its lists tell the target's \(150 of 150 members of the target are"
    with pytest.raises(ValueError, match=line) as caught:
        tf_compleak.run_attacks(target, copies, ["loss"])
    assert "allow_shared_examples" in str(caught.value) and "\n" not in str(caught.value)
    nearly = copies[0].members.copy()
    nearly[[0, -1]] = nearly[[-1, 0]]
    for members in (nearly, ~target.members):
        with pytest.raises(ValueError, match="its lists tell the target's"):
            wrong = dataclasses.replace(copies[0], members=members)
            tf_compleak.run_attacks(target, [wrong], ["loss"])
    report = tf_compleak.run_attacks(target, copies, ["loss"], allow_shared_examples=True)
    assert len(report.provenance["cautions"]) == 2
    assert "its lists tell the target's" in wording.cautions(report)[0]
    assert "cautions" not in tf_compleak.run_attacks(target, shadows, ["loss"]).provenance


def test_the_same_id_with_another_label_is_not_the_same_example():
    target, shadow = (planted.family(seed, 0.0, n=200) for seed in (0, 1))
    shadow = dataclasses.replace(shadow, ids=target.ids)
    with pytest.raises(ValueError, match=r"of the 200 ids .* have another label there"):
        tf_compleak.run_attacks(target, [shadow], ["loss"])


def test_ids_that_are_objects_of_several_kinds_are_compared_as_text():
    """Those of examples aside as well, whatever the ids of the family's own are."""
    families = [planted.family(seed, 1.0) for seed in (0, 1)]
    mixed = np.array([7, "b", *range(100, len(families[0]) + 98)], dtype=object)
    told = [dataclasses.replace(of, ids=mixed) for of in families[:1]]
    with pytest.raises(ValueError, match=r"ids: 1 value.* more than once .first: 7."):
        dataclasses.replace(families[0], ids=np.array([7, "7", *mixed[2:]], dtype=object))
    outside = dataclasses.replace(told[0], members=np.zeros(len(mixed), bool))
    shadow = dataclasses.replace(families[1], ids=np.arange(5000, 5000 + len(mixed)), aside=outside)
    report = tf_compleak.run_attacks(told[0], [shadow], ["loss"], releases=[("original",)])
    assert report.scored.ids.tolist() == [str(name) for name in mixed]
