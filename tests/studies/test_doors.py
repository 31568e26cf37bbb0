"""All questions at all doors: what one door can ask, the others can."""

import json
import sys

import bucket
import numpy as np
import plain_tflite
import planted
import pytest
import tiny

import tf_compleak
from tf_compleak.cli import main as cli
from tf_compleak.cli import outcome
from tf_compleak.studies.audit.audit_settings import Where
from tf_compleak.studies.study import Study
from tf_compleak.types import STRONGEST, Texts

NAMES = ("original", "small")
CLASSES, FEATURES = 4, 6


def write_family(folder, seed, n=120):
    """Files of two versions that know their members, and both sides as `.npz`."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    x = rng.standard_normal((2 * n, FEATURES)).astype(np.float32)
    y = np.arange(2 * n) % CLASSES
    weights, *_ = np.linalg.lstsq(x[:n], 4 * np.eye(CLASSES)[y[:n]], rcond=None)  # of members only
    for name, noise in zip(NAMES, (0.0, 0.1), strict=True):
        changed = weights + noise * rng.standard_normal(weights.shape)
        (folder / f"{name}.tflite").write_bytes(plain_tflite.classifier(np.float32(changed)))
    np.savez(folder / "members.npz", x=x[:n], y=y[:n])
    np.savez(folder / "non_members.npz", x=x[n:], y=y[n:])
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return [write_family(root / name, seed) for seed, name in enumerate(("target", "s0", "s1"))]


def audited(folders, workdir="", shadows=True, executor="inline", workers=0, **more):
    target, *others = folders
    return tf_compleak.audit(
        {name: str(target / f"{name}.tflite") for name in NAMES},
        f"npz:{target / 'members.npz'}",
        f"npz:{target / 'non_members.npz'}",
        shadows=[str(folder) for folder in others] if shadows else (),
        where=Where(workdir=str(workdir), executor=executor, workers=workers),
        force=True,
        **more,
    )


def test_audits_with_shadows_ask_them_about_the_targets_examples(folders, tmp_path):
    """rmia and LiRA compare with what the shadows say of the same example."""
    names = ("rmia", "lira-offline", "lira-boosted", "tabular")
    report = audited(folders, tmp_path / "a", attacks=names)
    tiers = {(row.attack, row.tier) for row in report.results}
    assert tiers == {(name, tier) for name in (*names, STRONGEST) for tier in ("NR", "SR")}
    assert not report.failures and all(row.num_shadows == 2 for row in report.results)
    with pytest.raises(ValueError, match="--attacks=rmia: compares with models that were not"):
        audited(folders, shadows=False, attacks=("rmia",))
    with pytest.raises(ValueError, match="number of --shadows with --attacks=lira-online: must"):
        audited(folders[:2], attacks=("lira-online",))


def test_one_shadow_is_enough_where_the_target_is_asked_about_its_examples(folders):
    names = ("rmia", "lira-offline", "lira-boosted")
    report = audited(folders[:2], attacks=names)
    assert not report.failures
    assert {row.attack for row in report.results} == {*names, STRONGEST}
    assert all(row.num_shadows == 1 for row in report.results)


def test_what_the_shadows_say_of_an_example_is_found_by_its_id(folders, tmp_path):
    from tf_compleak.leakage.observation_folder import ObservationFolder
    from tf_compleak.leakage.question import Question

    audited(folders, tmp_path / "a", attacks=("rmia",))
    provider = ObservationFolder(Question(), str(tmp_path / "a"))
    target, shadow = (
        provider.observations(name, ("original",), ("aside",)) for name in ("target", "shadow-0")
    )
    assert not shadow.aside.members.any() and not set(shadow.ids) & set(shadow.aside.ids)
    assert set(target.ids) <= set(shadow.aside.ids) and set(shadow.ids) <= set(target.aside.ids)
    row_of = {name: index for index, name in enumerate(shadow.aside.ids)}
    rows = [row_of[name] for name in target.ids]
    np.testing.assert_array_equal(shadow.aside.labels[rows], target.labels)
    x = np.concatenate([np.load(folders[0] / f"{k}.npz")["x"] for k in ("members", "non_members")])
    y = np.concatenate([np.load(folders[0] / f"{k}.npz")["y"] for k in ("members", "non_members")])
    weights = planted_weights(folders[1])
    expected = np.exp(x @ weights)
    expected /= expected.sum(axis=1, keepdims=True)
    users = provider.names("target").tolist()
    first = rows[users.index("members/0")]
    np.testing.assert_allclose(shadow.aside.probabilities[0][first], expected[0], atol=1e-4)
    assert shadow.aside.labels[first] == y[0]


def planted_weights(folder):
    """The original's weights, solved again from its members."""
    saved = np.load(folder / "members.npz")
    targets = 4 * np.eye(CLASSES)[saved["y"]]
    return np.linalg.lstsq(saved["x"], targets, rcond=None)[0]


def test_audits_have_a_strength_curve_exposures_and_a_budget(folders):
    report = audited(
        folders,
        attacks=("loss", "tabular"),
        shadow_counts=(1, 2),
        exposure=("full", "label"),
        subset_budget="auc<=0.99",
    )
    assert {row.num_shadows for row in report.curve} == {1, 2}
    assert [shown.exposure for shown in report.exposed] == ["full", "label"]
    assert report.marginal.budget and report.marginal.within and report.slices is not None
    with pytest.raises(ValueError, match="--shadow_counts=1: there are no shadows"):
        audited(folders, shadows=False, attacks=("loss",), shadow_counts=(1,))


def test_arrays_have_every_question():
    *shadows, target = planted.halves(0, 2.0, 3)
    report = tf_compleak.run_attacks(
        target,
        shadows,
        ["loss", "tabular", "rmia"],
        shadow_counts=(1, 2),
        exposure=("full", "top1"),
        subset_budget="auc<=0.6",
        delta=1e-5,
    )
    assert {row.num_shadows for row in report.curve} == {1, 2}
    assert [shown.exposure for shown in report.exposed] == ["full", "top1"]
    assert len(report.marginal.order) == len(target.versions) and report.marginal.looked
    assert report.slices and report.scored.values.shape == (len(report.results), len(target))
    np.testing.assert_array_equal(report.scored.ids, target.ids)
    np.testing.assert_array_equal(report.scored.members, target.members)
    with pytest.raises(ValueError, match=r"run_attacks: .*shadow_count"):
        tf_compleak.run_attacks(target, shadows, ["loss"], shadow_count=(1,))


def test_where_coins_drew_the_members_epsilon_is_that_of_one_run(folders, tmp_path):
    *shadows, target = planted.halves(0, 2.0, 3)
    ask = {"attacks": ["loss"], "delta": 1e-3}
    fixed = tf_compleak.run_attacks(target, shadows, **ask).results[0]
    drawn = tf_compleak.run_attacks(target, shadows, **ask, coins=True).results[0]
    assert "Clopper-Pearson" in fixed.epsilon.method and fixed.epsilon_gaussian is None
    assert "one run" in drawn.epsilon.method and drawn.epsilon_gaussian.low > drawn.epsilon.low > 0
    row = audited(folders, attacks=("loss",), coins=True).results[0]
    assert "one run" in row.epsilon.method and row.epsilon_gaussian is None
    root = tmp_path / "w"
    more = ("--split=coins", "--num_shadows=2", "--versions=original,int8-ptq", "--targets=1")
    assert cli.main(tiny.command(root, *more)[3:]) in (0, outcome.VOID)
    report = tf_compleak.Report.load(root)
    counts = {(row.n_members, row.n_non_members) for row in report.results}
    assert len(counts) == 1 and counts != {(60, 60)} and sum(*counts) == 120
    assert all("one run" in row.epsilon.method for row in report.results)
    with pytest.raises(
        ValueError, match=r"--split=coins: fair coins make half .*=40 and .*=30 one"
    ):
        Study(split="coins", num_members=40, num_non_members=30)


def test_audits_have_dry_runs_reasons_a_journal_and_what_went_on(folders, tmp_path, capsys):
    target = folders[0]
    root = tmp_path / "a"
    arguments = [
        *("audit", f"--workdir={root}", "--attacks=loss,tabular", "--executor=inline", "--force"),
        f"--versions=original={target / 'original.tflite'},small={target / 'small.tflite'}",
        f"--members={target / 'members.npz'}",
        f"--non_members={target / 'non_members.npz'}",
    ]
    assert cli.main([*arguments, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "asking original: missing (2 of 2 parts)" in lines
    assert "loss original: waits for the answers" in lines and not root.exists()
    assert cli.main(arguments) == 0
    capsys.readouterr()
    done = {task for task, state in tiny.events(root) if state == "done"}
    assert {"asking original", "loss original", "blind baseline"} <= done
    assert {"null run of loss small", "null run of tabular original+small"} <= done
    assert cli.main([*arguments, "--dry_run"]) == 0
    assert "0 tasks to do" in capsys.readouterr().out
    assert cli.main([*arguments, "--dry_run", "--attacks=loss,tabular,entropy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "entropy original: missing" in lines and not any("loss" in line for line in lines)
    assert cli.main(["show", str(root)]) == 0
    text = capsys.readouterr().out
    assert "done    loss original" in text and "done    figures of the report" in text
    assert "done    answers/target/original" in text and "to do" not in text
    (root / "attacks" / "loss" / "original" / "values.npy").write_bytes(b"")
    assert cli.main(["show", str(root)]) == 0
    assert "to do   loss original" in capsys.readouterr().out


def test_a_show_of_an_audit_imports_nothing_that_its_record_names(folders, tmp_path, capsys):
    audited(folders, tmp_path / "a", shadows=False, attacks=("loss",))
    path = tmp_path / "a" / "study.json"
    saved = json.loads(path.read_text())
    (tmp_path / "harm.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    path.write_text(json.dumps({**saved, "preprocess": "harm:f"}))
    sys.path.insert(0, str(tmp_path))
    try:
        assert cli.main(["show", str(tmp_path / "a")]) == 0
    finally:
        sys.path.remove(str(tmp_path))
    assert not (tmp_path / "canary").exists()


def test_audits_are_tensorboard_runs(folders, tmp_path, capsys):
    audited(folders, tmp_path / "a", shadows=False, attacks=("loss", "tabular"))
    log = tmp_path / "log"
    assert cli.main(["tensorboard", str(tmp_path / "a"), f"--logdir={log}"]) == 0
    assert "1 run(s) written" in capsys.readouterr().out and any(log.rglob("events*"))


def test_audits_in_a_bucket(folders, tmp_path, monkeypatch):
    monkeypatch.setenv(bucket.ROOT, str(tmp_path / "buckets"))
    bucket.register()
    where = "s3://things/audit"
    report = audited(folders, where, shadows=False, attacks=("loss",))
    again = audited(folders, where, shadows=False, attacks=("loss",))
    assert again.results == report.results
    assert tf_compleak.Report.load(where).results == report.results


@pytest.mark.slow
def test_workers_of_an_audit_give_the_same(folders, tmp_path):
    one = audited(folders, tmp_path / "a", attacks=("loss", "rmia"))
    two = audited(
        folders, tmp_path / "b", executor="processes", workers=2, attacks=("loss", "rmia")
    )
    assert two.results == one.results and two.sanity == one.sanity


@pytest.mark.ray
def test_an_audit_on_ray_gives_the_same(folders, tmp_path):
    one = audited(folders, tmp_path / "a", attacks=("loss", "rmia"))
    two = audited(folders, tmp_path / "b", attacks=("loss", "rmia"), executor="ray")
    assert two.results == one.results and two.sanity == one.sanity


WORDS = ("film", "actor", "scene", "plot", "music", "long", "short", "dark", "light", "story")


def write_texts(path, seed, n=60):
    """Distinct texts of two classes; a text of class 1 ends in "good"."""
    rng = np.random.default_rng(seed)
    rows = [
        f"{' '.join(rng.choice(WORDS, 5))} {('bad', 'good')[index % 2]} {seed} {index}\t{index % 2}"
        for index in range(n)
    ]
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")


def test_texts_are_asked_as_token_ids_by_the_vocabulary_of_the_versions(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    tokens = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", *WORDS)
    vocabulary.write_text("\n".join(tokens) + "\n")
    for seed, name in enumerate(("members", "non_members")):
        write_texts(tmp_path / f"{name}.tsv", seed)
    good, seen = tokens.index("good"), []

    def model(ids):
        seen.append(ids)
        found = (ids == good).any(axis=1)
        return np.stack([~found, found], axis=1) * 3.0

    sides = [f"text:{tmp_path / name}.tsv" for name in ("members", "non_members")]
    report = tf_compleak.audit(
        {"original": model},
        *sides,
        vocabulary=str(vocabulary),
        sequence_length=12,
        attacks=("loss",),
        where=Where(executor="inline"),
    )
    assert report.versions[0].member_accuracy.value == 1.0 and seen[0].shape[1] == 12
    assert report.sanity.blind_auc.measurable  # of the texts themselves
    with pytest.raises(ValueError, match="name the vocabulary of the versions by --vocabulary"):
        tf_compleak.audit({"original": model}, *sides, attacks=("loss",))
    with pytest.raises((ValueError, OSError), match="--vocabulary=/no/where"):
        tf_compleak.audit({"original": model}, *sides, attacks=("loss",), vocabulary="/no/where")


def test_runs_have_exposures_a_budget_and_what_each_version_adds(tmp_path, capsys):
    root = tmp_path / "w"
    more = ("--exposure=full,label", "--subset_budget=auc<=0.99", "--split=halves")
    more += ("--num_shadows=2", "--shadow_counts=1", "--versions=original,float16-ptq")
    assert cli.main(tiny.command(root, *more)[3:]) in (0, outcome.VOID)
    report = tf_compleak.Report.load(root)
    assert [shown.exposure for shown in report.exposed] == ["full", "label"]
    assert {row.num_shadows for row in report.curve} == {1, 2}
    assert len(report.marginal.order) == 2 and report.marginal.within
    assert report.versions[1].agreement.n == 120
    assert report.versions[1].relative_loss.n == 40  # validation examples
    accuracies = {(of.family, of.version): of.validation_accuracy.n for of in report.families}
    families = ("target", "shadow-0", "shadow-1")
    names = ("original", "float16-ptq")
    assert accuracies == {(family, name): 40 for family in families for name in names}
    assert cli.main(["show", str(root)]) == 0
    text = capsys.readouterr().out
    assert "done    loss original (label)" in text and "done    what each version adds" in text


def test_answers_go_by_the_vocabulary_and_the_types_of_inputs(tmp_path):
    """What is asked is in the fingerprint of the answers: ids, and how numbers are prepared."""
    from tf_compleak.data.sides import of_arrays
    from tf_compleak.studies.audit import query, token_ids
    from tf_compleak.studies.audit.audit_settings import Audit

    texts = Texts.of([f"good film {index}" for index in range(30)])
    side = of_arrays(texts, np.arange(30) % 2, "--members")
    family = query.Family("target", {"a": "a.tflite"}, (side, side), ("1", "2"))
    prints = set()
    for words in (("good", "film"), ("film", "good")):
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words)) + "\n")
        settings = Audit(versions=(("a", "b"),), members="", non_members="", vocabulary=str(path))
        prints.add(token_ids.tokenized(family, settings).digests)
    assert len(prints) == 2
    bytes_, floats = (
        of_arrays(np.full((30, 4), 7, kind), np.arange(30) % 2, "x") for kind in ("u1", "f4")
    )
    kinds = [
        query.examples_of(query.Family("target", {}, (side, side), ("1", "2")))
        for side in (bytes_, floats)
    ]
    assert kinds[0] != kinds[1]


def test_the_order_of_attacks_is_the_order_of_scores(folders, tmp_path):
    """The same rows in another order are other files."""
    first = audited(folders, tmp_path / "a", shadows=False, attacks=("loss", "tabular"))
    turned = audited(folders, tmp_path / "a", shadows=False, attacks=("tabular", "loss"))
    assert [row.attack for row in turned.results] != [row.attack for row in first.results]
    for index, row in enumerate(turned.results):
        same = [(r.attack, r.release) for r in first.results].index((row.attack, row.release))
        np.testing.assert_array_equal(turned.scored.values[index], first.scored.values[same])


def test_arrays_with_ids_of_objects_and_answers_on_copies(tmp_path):
    import dataclasses

    *shadows, target = planted.halves(0, 2.0, 3)
    rng = np.random.default_rng(0)

    def changed(family):
        copies = rng.random((len(family.versions), 2, len(family)), dtype=np.float32)
        return dataclasses.replace(family, ids=family.ids.astype(object), augmented=copies)

    target, *shadows = map(changed, (target, *shadows))
    report = tf_compleak.run_attacks(target, shadows, ["loss", "lira-boosted"], marginal="none")
    assert {row.attack for row in report.results} == {"loss", "lira-boosted", STRONGEST}
    assert report.study["queries"] == 2 and len(report.scored.ids) == len(target)
