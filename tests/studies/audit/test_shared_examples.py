"""Shadows of an audit that have examples of the target: what harms is refused or named."""

import numpy as np
import pytest

import tf_compleak
from tf_compleak.leakage import shared_examples
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.question import Question
from tf_compleak.leakage.shared_examples import MEMBER, NON_MEMBER
from tf_compleak.report import wording
from tf_compleak.studies.audit import family_answers
from tf_compleak.types.observations import Observations

N, CLASSES = 300, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3 * N, 6)).astype(np.float32)
Y = np.arange(3 * N) % CLASSES
COMMON = 2 * RNG.standard_normal((3 * N, CLASSES)).astype(np.float32)
LISTS = RNG.permutation(N) < N // 2  # of the target, over the first N examples


def outputs(rows, seed):
    """Logits of a model that was trained on nobody: what is common to all models, and noise."""
    noise = np.random.default_rng(seed).standard_normal((len(rows), CLASSES))
    return np.float32(COMMON[rows] + 0.5 * noise + 2 * np.eye(CLASSES)[Y[rows]])


def write_shadow(folder, members, non_members, seed):
    folder.mkdir()
    for kind, rows in (("members", members), ("non_members", non_members)):
        np.savez(folder / f"{kind}.npz", x=X[rows], y=Y[rows])
        np.save(folder / f"original.{kind}.npy", outputs(rows, seed + (kind == "members")))
    return str(folder)


def audited(shadows, attacks=("tabular",), **more):
    members, non_members = np.flatnonzero(LISTS), np.flatnonzero(~LISTS)
    return tf_compleak.audit(
        {"original": (outputs(members, 1), outputs(non_members, 2))},
        (X[members], Y[members]),
        (X[non_members], Y[non_members]),
        shadows=shadows,
        attacks=attacks,
        executor="inline",
        marginal="none",
        **more,
    )


def test_the_targets_own_lists_as_a_shadow_are_refused_or_named(tmp_path):
    shadow = write_shadow(tmp_path / "s", np.flatnonzero(LISTS), np.flatnonzero(~LISTS), 10)
    with pytest.raises(
        ValueError, match=r"--shadows=.*its lists tell the target's \(150 of 150"
    ) as e:
        audited([shadow])
    assert "pass --allow_shared_examples" in str(e.value) and "\n" not in str(e.value)
    report = audited([shadow], allow_shared_examples=True)
    assert "its lists tell the target's" in wording.cautions(report)[0]


@pytest.mark.parametrize("shared", ["members", "non_members", "all turned round"])
def test_a_part_of_the_targets_lists_is_refused(tmp_path, shared):
    fresh = np.arange(N, N + N // 2)
    lists = {
        "members": (np.flatnonzero(LISTS), fresh),
        "non_members": (fresh, np.flatnonzero(~LISTS)),
        "all turned round": (np.flatnonzero(~LISTS), np.flatnonzero(LISTS)),
    }
    shadow = write_shadow(tmp_path / "s", *lists[shared], 10)
    with pytest.raises(ValueError, match="its lists tell the target's"):
        audited([shadow])


def test_a_common_pool_with_members_drawn_anew_is_fine_and_known_by_content(tmp_path):
    """In whichever order a shadow's files hold them, the same content is the same example."""
    shadows = []
    for seed in (10, 20):
        drawn = np.random.default_rng(seed).permutation(N)
        shadows.append(write_shadow(tmp_path / f"s{seed}", drawn[: N // 2], drawn[N // 2 :], seed))
    attacks = ("tabular", "lira-online")
    report = audited(shadows, attacks, workdir=tmp_path / "a")
    assert not report.failures and "cautions" not in report.provenance
    for row in report.results:
        assert row.auc.low < 0.5 < row.auc.high
    provider = ObservationFolder(Question(), str(tmp_path / "a"))
    target, shadow = (provider.observations(name, ("original",)) for name in ("target", "shadow-0"))
    assert set(target.ids) == set(shadow.ids) and len(target.ids) == N
    label = dict(zip(shadow.ids, shadow.labels, strict=True))
    np.testing.assert_array_equal([label[name] for name in target.ids], target.labels)


def test_attacks_see_opaque_ids_and_users_see_side_and_row(tmp_path):
    report = audited([], workdir=str(tmp_path / "a"))
    seen = ObservationFolder(Question(), str(tmp_path / "a")).observations("target", ("original",))
    assert seen.ids.dtype == np.int64
    sides = [name.partition("/")[0] for name in report.scored.ids]
    np.testing.assert_array_equal(np.array(sides) == "members", report.scored.members)
    csv = (tmp_path / "a" / "examples" / "examples.csv").read_text()
    assert "members/17" in csv and "non_members/17" in csv


def test_without_contents_attacks_that_compare_are_told_why(tmp_path):
    members, non_members = np.flatnonzero(LISTS), np.flatnonzero(~LISTS)
    fresh = np.arange(N, 2 * N)
    shadow = tmp_path / "s"
    write_shadow(shadow, fresh[: N // 2], fresh[N // 2 :], 10)
    for kind, rows in (("members", fresh[: N // 2]), ("non_members", fresh[N // 2 :])):
        (shadow / f"{kind}.npz").unlink()
        np.save(shadow / f"{kind}_y.npy", Y[rows])
    given = (
        {"original": (outputs(members, 1), outputs(non_members, 2))},
        (None, Y[members]),
        (None, Y[non_members]),
    )
    more = {"shadows": [str(shadow)], "executor": "inline", "marginal": "none"}
    report = tf_compleak.audit(*given, attacks=("loss", "rmia"), **more)
    (failure,) = report.failures
    assert failure.name == "rmia" and "give the examples themselves (x)" in failure.reason
    with pytest.raises(ValueError, match="--attacks=rmia: compares what models say"):
        tf_compleak.audit(*given, attacks=("rmia",), **more)


# The rule -----------------------------------------------------------------------------------------


def test_lists_that_are_drawn_independently_are_refused_as_rarely_as_said():
    """Of 20,000 draws for each size, by a level of 1 in 100 in place of 1 in 100,000."""
    rng = np.random.default_rng(0)
    for size in (20, 200):
        members = np.arange(2 * size) < size
        drawn = rng.permuted(np.tile(members, (20_000, 1)), axis=1)
        shares = drawn[:, :size].mean(axis=1)
        auc = 0.5 + np.abs(shares - (1 - shares)) / 2  # of the better guess by two roles
        roles = np.where(drawn[0], MEMBER, NON_MEMBER)
        assert shared_examples.guess_auc(roles, members) == pytest.approx(auc[0])
        most = shared_examples.by_chance(size, size)
        deviations = (most - 0.5) / ((2 / size) ** 0.5 / 4)
        scaled = 0.5 + (most - 0.5) * 2.576 / deviations
        assert (auc > scaled).mean() < 0.015 and (auc > most).mean() < 1e-3


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.4, 0.3, 0.3], [0.25] * 4])
def test_guesses_by_more_roles_are_refused_as_rarely(monkeypatch, shares):
    """The best order of three or four roles finds more by chance than that of two."""
    monkeypatch.setattr(shared_examples, "LEVEL", 0.01)
    rng, size = np.random.default_rng(0), 300
    inside, outside = (rng.multinomial(size, shares, 5_000) for _ in "ab")
    order = np.argsort(inside / np.maximum(inside + outside, 1), axis=1)
    inside, outside = (np.take_along_axis(of, order, 1) / size for of in (inside, outside))
    aucs = (inside * (outside.cumsum(axis=1) - outside / 2)).sum(axis=1)
    most = shared_examples.by_chance(size, size, num_roles=len(shares))
    assert 0 < (aucs > most).mean() < 0.015


def test_equal_lists_are_refused_at_every_size():
    for size in (20, 100, 5000):
        members = np.arange(2 * size) < size
        roles = np.where(members, MEMBER, NON_MEMBER)
        assert (
            shared_examples.guess_auc(roles, members)
            == 1
            > shared_examples.by_chance(size, size, 256)
        )
        assert shared_examples.guess_auc(np.zeros(2 * size, int), members) == 0.5


def test_a_step_that_one_set_of_examples_aside_shows_holds_for_all():
    """Rows of 100 classes that sum to one by that step alone."""
    smooth = np.random.default_rng(0).dirichlet(np.full(100, 0.3), size=(1, 40))
    rough, labels, outside = np.round(smooth * 256) / 256, np.arange(40), np.zeros(40, bool)
    parts = [
        Observations(("int8",), np.float32(rows), labels, outside, ids, resolutions=(step,))
        for rows, ids, step in (
            (smooth, np.arange(40), 0.0),
            (rough, np.arange(20, 60), 1 / 256),
        )
    ]
    joined = family_answers._joined(parts)
    assert joined.resolutions == (1 / 256,) and joined.ids.tolist() == list(range(60))
