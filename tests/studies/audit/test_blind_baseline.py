"""The blind baseline of an audit goes by who is a member now, not by who was before."""

import dataclasses

import numpy as np

import tf_compleak
from tf_compleak.studies.audit.audit_settings import Where


def sides(seed: int = 3, n: int = 80):
    """Two sides of one distribution, and what a model that leaks nothing says of them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    y = (x[:, 1] > 0).astype(int)
    return (x[: n // 2], y[: n // 2]), (x[n // 2 :], y[n // 2 :])


def audited(members, non_members, where):
    model = {"original": lambda batch: np.stack([-batch[:, 1], batch[:, 1]], axis=1)}
    return tf_compleak.audit(model, members, non_members, attacks=("loss",), where=where)


def test_swapped_sides_have_a_baseline_of_their_own(tmp_path):
    mine, others = sides()
    where = Where(workdir=str(tmp_path / "a"), executor="inline")
    first = audited(mine, others, where)
    over = audited(others, mine, dataclasses.replace(where, overwrite=True))
    anew = audited(others, mine, dataclasses.replace(where, workdir=str(tmp_path / "b")))
    assert over.sanity.blind_auc == anew.sanity.blind_auc != first.sanity.blind_auc


def test_other_examples_of_the_same_pool_as_members_have_a_baseline_of_their_own(tmp_path):
    """The same examples; half of each side has changed places."""
    (x, y), (u, v) = sides()
    half = len(x) // 2
    mixed = (
        (np.concatenate([x[:half], u[half:]]), np.concatenate([y[:half], v[half:]])),
        (np.concatenate([u[:half], x[half:]]), np.concatenate([v[:half], y[half:]])),
    )
    where = Where(workdir=str(tmp_path / "a"), executor="inline")
    first = audited((x, y), (u, v), where)
    over = audited(*mixed, dataclasses.replace(where, overwrite=True))
    anew = audited(*mixed, dataclasses.replace(where, workdir=str(tmp_path / "b")))
    assert over.sanity.blind_auc == anew.sanity.blind_auc != first.sanity.blind_auc
