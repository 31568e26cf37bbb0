"""Observations kept in a folder: what comes back, in which order, and what is refused."""

import dataclasses
import json

import numpy as np
import planted
import pytest

from tf_compleak.engine.stage import Damaged
from tf_compleak.leakage.observation_folder import ObservationFolder, opaque
from tf_compleak.leakage.question import Question

ORIGINAL = ("original",)


@pytest.fixture
def saved(tmp_path):
    """A folder with a family that was asked everything, and the family."""
    family = planted.family(0, 1.0, n=80)
    rng = np.random.default_rng(0)
    count = len(family.versions)
    family = dataclasses.replace(
        family,
        sensitivities=rng.random(family.probabilities.shape, dtype=np.float32),
        augmented=rng.random((count, 2, 80), dtype=np.float32),
        aside=dataclasses.replace(
            planted.family(1, 1.0, n=40), members=np.zeros(40, bool), ids=np.arange(100, 140)
        ),
    )
    folder = ObservationFolder(Question(), str(tmp_path))
    folder.save_family("target", family)
    return folder, family


def test_every_row_comes_back_beside_its_label_and_id(saved):
    folder, family = saved
    release = family.versions[1:]
    back = folder.observations("target", release, ("aside", "sensitivities", "augmented"))
    rows = [list(family.ids).index(name) for name in folder.names("target")]
    assert sorted(rows) == list(range(80)) and rows != list(range(80))
    expected = family.select(release).take(np.array(rows))
    for name in ("probabilities", "labels", "members", "sensitivities", "augmented"):
        np.testing.assert_array_equal(getattr(back, name), getattr(expected, name))
    rows = [list(opaque(family.aside.ids, 0)).index(name) for name in back.aside.ids]
    np.testing.assert_array_equal(back.aside.labels, family.aside.labels[rows])
    np.testing.assert_array_equal(folder.ids("target"), back.ids)
    plain = folder.observations("target", ORIGINAL)
    assert plain.aside is plain.sensitivities is plain.augmented is None


def test_the_null_run_has_the_same_rows_with_membership_of_no_meaning(saved):
    folder, _ = saved
    real, null = (folder.observations("target", ORIGINAL, null=null) for null in (0, 1))
    assert null.members.sum() == real.members.sum()
    place = {name: index for index, name in enumerate(real.ids)}
    rows = [place[name] for name in null.ids]
    np.testing.assert_array_equal(null.probabilities[0], real.probabilities[0][rows])
    assert 0.2 < (null.members == real.members[rows]).mean() < 0.8


def test_the_null_run_meets_the_arrangement_of_the_real_one(saved, monkeypatch):
    """Where members come first, they do so in the null run, too: it gives such an order away."""
    folder, _ = saved
    first = lambda self, family, members: np.argsort(~members, kind="stable")  # noqa: E731
    monkeypatch.setattr(ObservationFolder, "_order", first)
    null = folder.observations("target", ORIGINAL, null=1)
    count = int(null.members.sum())
    assert null.members[:count].all()


def test_what_an_attack_does_not_need_does_not_change_what_it_comes_from(saved):
    folder, family = saved
    before = folder.observed(["target"], ORIGINAL)
    more = dataclasses.replace(family, sensitivities=family.sensitivities + 1, aside=None)
    folder.save_family("target", more)
    assert folder.observed(["target"], ORIGINAL) == before
    changed = folder.observed(["target"], ORIGINAL, ("sensitivities",))
    folder.save_family("target", family)
    assert folder.observed(["target"], ORIGINAL, ("sensitivities",)) != changed


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"versions": [1], "resolutions": [0.0], "digests": {}, "aside": False},
        {"versions": ["a"], "resolutions": [], "digests": {}, "aside": False},
        {"versions": ["a"], "resolutions": [0.0], "digests": [], "aside": False},
        {"versions": ["a"], "resolutions": [0.0], "digests": {}, "aside": "yes"},
    ],
)
def test_facts_that_nobody_wrote_are_refused_in_one_line(saved, facts):
    folder, _ = saved
    path = folder.workdir.root / "observations" / "target" / "stage.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "facts": facts}))
    with pytest.raises(Damaged, match="not what was written; the same command makes it again"):
        folder.observed(["target"], ORIGINAL)


def test_what_attacks_are_given_as_ids_and_their_order_tell_no_side(tmp_path):
    """Ids that spell out the side, and a shadow that was asked about the members first."""
    target, shadow = planted.family(0, 1.0, n=400), planted.family(1, 1.0, n=400)
    first = np.argsort(~target.members, kind="stable")
    target = target.take(first)
    spelled = np.array([f"{'non_' * (not m)}members/{i}" for i, m in enumerate(target.members)])
    target = dataclasses.replace(target, ids=spelled)
    aside = dataclasses.replace(target, members=np.zeros(400, bool))
    folder = ObservationFolder(Question(), str(tmp_path))
    folder.save_family("target", target)
    folder.save_family("shadow-0", dataclasses.replace(shadow, aside=aside))
    seen = folder.observations("target", ORIGINAL)
    about = folder.observations("shadow-0", ORIGINAL, ("aside",)).aside
    assert seen.ids.dtype == np.int64 and set(seen.ids) == set(about.ids)
    member = dict(zip(seen.ids, seen.members, strict=True))
    asked = np.array([member[name] for name in about.ids])
    for of in (asked, seen.members, seen.members[np.argsort(seen.ids)]):
        positions = np.flatnonzero(of) / 399
        assert abs(positions.mean() - 0.5) < 4 * (1 / 12 / 200) ** 0.5
    assert set(folder.names("target")) == set(spelled)
    inside = [name.startswith("members") for name in folder.names("target")]
    np.testing.assert_array_equal(inside, seen.members)


def test_families_without_ids_come_back_without_and_are_named_by_their_rows(tmp_path):
    family = dataclasses.replace(planted.family(0, 1.0, n=80), ids=None)
    folder = ObservationFolder(Question(), str(tmp_path))
    folder.save_family("target", family)
    back = folder.observations("target", ORIGINAL)
    assert back.ids is None
    np.testing.assert_array_equal(back.labels, family.labels[folder.names("target")])


def test_what_would_be_written_is_said_without_writing(saved):
    folder, family = saved
    assert folder.changes_of("target", family) == ""
    shifted = dataclasses.replace(family, labels=(family.labels + 1) % 5)
    assert "labels" in folder.changes_of("target", shifted)
    assert folder.changes_of("target", family) == ""
