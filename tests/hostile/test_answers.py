"""Versions that answer the same question differently: found, named, and of no use as a "leak"."""

import numpy as np
import plain_tflite
import pytest

import tf_compleak
from tf_compleak.data import sides
from tf_compleak.inference.observe import softmax
from tf_compleak.metrics import intervals
from tf_compleak.studies.audit import open_model, order, query, repeat
from tf_compleak.studies.audit.audit_settings import Where
from tf_compleak.studies.audit.open_model import Asking
from tf_compleak.studies.audit.query import Family

W = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)


def pool(seed, n=600):
    """Inputs and noisy labels of two sides that no model was trained on."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 8)).astype(np.float32)
    y = (x @ W + rng.standard_normal((n, 3))).argmax(axis=1)
    return (x[: n // 2], y[: n // 2]), (x[n // 2 :], y[n // 2 :])


def family(pools, **versions):
    two = tuple(sides.of_arrays(*pool, kind) for pool, kind in zip(pools, "ab", strict=True))
    return Family("target", versions, two, ("members", "others"))


def drifting(rate=1 / 100):
    """A model whose confidence falls with every example that it has answered."""
    count = 0

    def model(batch):
        nonlocal count
        heat = 2 / (1 + rate * (count + np.arange(len(batch))))
        count += len(batch)
        return softmax(heat[:, None] * (batch @ W))

    return model


def random(batch, rng=np.random.default_rng(1)):  # noqa: B008 (a state on purpose)
    return softmax(batch @ W + 0.1 * rng.standard_normal((len(batch), 3)))


def over_the_batch(batch):
    return softmax((batch @ W).T).T


def normalized(batch):
    return softmax((batch - batch.mean(axis=0)) @ W)


def audit(model, seed=0, **settings):
    where = Where(executor="inline")
    given = {"attacks": ("loss-global",), "marginal": "none", "where": where} | settings
    return tf_compleak.audit({"original": model}, *pool(seed), **given)


STATE, BATCH = "its answers change from call to call", "depends on the other examples"


@pytest.mark.parametrize(
    ("model", "cause"),
    [(drifting(), STATE), (random, STATE), (over_the_batch, BATCH), (normalized, BATCH)],
)
def test_another_answer_to_the_same_question_stops_the_audit(model, cause):
    with pytest.raises(ValueError, match=r"version original: the same question") as caught:
        audit(model)
    line = str(caught.value)
    assert cause in line and "\n" not in line and "--stateful=allow" in line
    assert " of 64 examples asked twice differ, by up to 0." in line


def test_a_slow_drift_is_no_dependence_on_the_batch():
    """Within the second and the third asking it moves by less than the tolerance."""
    with pytest.raises(ValueError, match=STATE):
        audit(drifting(3e-6), seed=1)


def test_a_state_that_has_settled_is_no_dependence_on_the_batch():
    asked = 0

    def model(batch):
        nonlocal asked
        asked += len(batch)
        return softmax((2 if asked <= 600 else 1) * (batch @ W))

    with pytest.raises(ValueError, match=STATE):
        audit(model)


def test_a_drift_that_is_allowed_is_told():
    report = audit(drifting(), stateful="allow")
    (version,) = report.versions
    (note,) = (line for line in version.notes if "asked twice" in line)
    assert STATE in note and "--stateful=allow" in note
    (caution,) = report.provenance["cautions"]
    assert caution == f"version original: {note}"
    assert report.study["stateful"] == "allow"
    assert tf_compleak.Report.from_json(report.to_json()) == report


def test_an_honest_version_says_so():
    report = audit(lambda batch: softmax(batch @ W))
    assert "64 examples asked twice: largest difference" in " ".join(report.versions[0].notes)
    assert "cautions" not in report.provenance


def test_given_outputs_say_that_nothing_was_asked():
    (x, _), (u, _) = pool(0)
    report = audit((x @ W, u @ W))
    assert query.NOT_ASKED in report.versions[0].notes


def estimate(seed):
    """AUC of the loss of a drifting model on two sides that it never saw."""
    pools = pool(seed)
    asking = Asking(seed=seed, stateful="allow")
    given = family(pools, original=drifting())
    answers = query.ask([given], asking, None, lambda *_: None)["target", "original"]
    right = [p[np.arange(len(p)), y] for p, (_, y) in zip(answers.outputs, pools, strict=True)]
    return intervals.auc_estimate(np.concatenate(right), np.repeat([True, False], 300), 0.95)


def test_a_drift_does_not_look_like_a_leak(monkeypatch):
    draws = [estimate(seed) for seed in range(40)]
    assert sum(draw.low <= 0.5 <= draw.high for draw in draws) >= 34
    assert abs(np.mean([draw.value for draw in draws]) - 0.5) < 0.02

    def side_by_side(sizes, seed, name):
        return order.Order(sizes, (np.arange(sum(sizes)),))

    monkeypatch.setattr(order, "mixed", side_by_side)
    assert min(estimate(seed).low for seed in range(5)) > 0.5


@pytest.mark.parametrize("total", [1, 40, 128, 800, 6400, 10_000, 10**6])
def test_how_many_are_asked_again(total):
    rows = repeat.drawn(total, 0, "target")
    assert len(rows) == len(np.unique(rows)) and rows.max() < total
    assert len(rows) == max(1, min(total // 2, max(64, min(512, total // 100))))


def test_a_step_of_a_quantized_output_is_no_other_answer():
    first = np.float32([[0.5, 0.25, 0.25]])
    ask = lambda rows: first[: len(rows)] + np.float32([[1, -1, 0]]) / 256  # noqa: E731
    assert repeat.repeated("v", first, np.arange(1), ask, 1 / 256).cause == ""
    assert repeat.repeated("v", first, np.arange(1), ask, 0.0).cause == "state"
    with pytest.raises(ValueError, match="version v: answers with now 3, now 2 columns"):
        repeat.repeated("v", first, np.arange(1), lambda rows: first[:, :2], 0.0)


# Files --------------------------------------------------------------------------------------------


FILES = {
    "honest": {},
    "drift": {"after": plain_tflite.cooled},
    "dropout": {"after": plain_tflite.shaken},
    "batch": {"rows": 4, "before": plain_tflite.centred},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("answers")
    weights = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)
    for name, parts in FILES.items():
        (root / f"{name}.tflite").write_bytes(plain_tflite.classifier(weights, **parts))
    return root


def of_files(seed, path, n=400):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 12), dtype=np.uint8)
    y = np.arange(n) % 3
    return family(((x[: n // 2], y[: n // 2]), (x[n // 2 :], y[n // 2 :])), v=str(path))


def answers_of(given, root, **settings):
    told = lambda *_: None  # noqa: E731
    return query.ask([given], Asking(**settings), root, told)["target", "v"]


@pytest.mark.parametrize(
    ("name", "cause"), [("drift", STATE), ("dropout", STATE), ("batch", BATCH)]
)
def test_files_that_answer_differently_are_refused(files, tmp_path, monkeypatch, name, cause):
    given = of_files(0, files / f"{name}.tflite")
    with pytest.raises(ValueError, match=r"version v: the same question") as caught:
        answers_of(given, tmp_path, batch=16)
    assert cause in str(caught.value) and " of 64 examples" in str(caught.value)
    monkeypatch.setattr(query, "Opened", None)  # what was found is kept
    with pytest.raises(ValueError, match=r"version v: the same question"):
        answers_of(given, tmp_path, batch=16)
    facts = answers_of(given, tmp_path, batch=16, stateful="allow").facts
    assert cause in facts["caution"]


def test_mixed_answers_are_those_of_one_side_after_the_other(files, tmp_path, monkeypatch):
    given = of_files(1, files / "honest.tflite")
    monkeypatch.setattr(order, "PART", 150)
    answers = answers_of(given, tmp_path, batch=16)
    model = open_model.Opened(given.versions["v"], Asking(batch=16), given.sides)
    try:
        for side, outputs in zip(given.sides, answers.outputs, strict=True):
            np.testing.assert_allclose(model.ask(side, 0, len(side)), outputs, atol=1e-6)
    finally:
        model.close()
    assert answers.facts["repeated"].startswith("64 examples asked twice")
    assert "caution" not in answers.facts


def test_asking_that_ended_between_parts_goes_on_to_the_same_answers(files, tmp_path, monkeypatch):
    given = of_files(2, files / "honest.tflite")
    monkeypatch.setattr(order, "PART", 64)
    whole = answers_of(given, tmp_path / "whole", batch=16)
    asked = open_model.Opened.ask_rows

    def ends(self, which_sides, which, following=None):
        if len(list(tmp_path.rglob("cut/**/stage.json"))) == 3:
            raise OSError("killed")
        return asked(self, which_sides, which, following)

    monkeypatch.setattr(open_model.Opened, "ask_rows", ends)
    with pytest.raises(OSError, match="killed"):
        answers_of(given, tmp_path / "cut", batch=16)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("cut/**/stage.json")}
    assert len(stamps) == 3
    monkeypatch.setattr(open_model.Opened, "ask_rows", asked)
    cut = answers_of(given, tmp_path / "cut", batch=16)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    for one, other in zip(whole.outputs, cut.outputs, strict=True):
        assert np.array_equal(one, other)


def test_the_order_does_not_depend_on_paths(files, tmp_path, monkeypatch):
    copy = tmp_path / "elsewhere" / "named otherwise.tflite"
    copy.parent.mkdir()
    copy.write_bytes((files / "honest.tflite").read_bytes())
    seen = []
    asked = open_model.Opened.ask_rows

    def noted(self, which_sides, which, following=None):
        seen.append(which)
        return asked(self, which_sides, which, following)

    monkeypatch.setattr(open_model.Opened, "ask_rows", noted)
    for index, path in enumerate((files / "honest.tflite", copy)):
        answers_of(of_files(3, path), tmp_path / str(index))
    first, other = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert len(first) == 2
    assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
