"""Duplicates in an audit: left out within a side, refused or left out where on both; said."""

import numpy as np
import pytest

import tf_compleak
from tf_compleak.studies.audit.audit_settings import Where

N = 100
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2 * N, 6)).astype(np.float32), np.arange(2 * N) % 4
WEIGHTS = RNG.standard_normal((6, 4)).astype(np.float32)


def answer(x):
    """Logits of a model that was trained on nobody."""
    return x @ WEIGHTS


def audited(members, non_members, version=answer, **more):
    return tf_compleak.audit(
        {"original": version},
        (X[members], Y[members]),
        (X[non_members], Y[non_members]),
        where=Where(executor="inline"),
        attacks=("loss-global",),
        force=True,
        **more,
    )


MEMBERS, NON_MEMBERS = np.arange(N), np.arange(N, 2 * N)


def test_duplicates_within_a_side_are_left_out():
    """Else folds share examples, and what sees the inputs alone tells members by their copies."""
    plain = audited(MEMBERS, NON_MEMBERS)
    assert "cautions" not in plain.provenance
    report = audited(np.tile(MEMBERS, 2), np.repeat(NON_MEMBERS, 2))
    assert report.results == plain.results and report.sanity == plain.sanity
    assert report.sanity.warnings() == ()
    assert report.provenance["cautions"] == [
        f"{side}: {N} of {2 * N} examples were left out, since an earlier one has the same content."
        for side in ("--members", "--non_members")
    ]


def test_outputs_that_are_given_go_with_their_examples():
    plain = audited(MEMBERS, NON_MEMBERS)
    twice, others = np.concatenate([MEMBERS, [3, 5]]), np.concatenate([[N], NON_MEMBERS, [7]])
    outputs = answer(X[twice]), answer(X[others])
    report = audited(twice, others, outputs, outputs="logits", drop_overlap=True)
    assert report.provenance["dropped_overlap"] == 1
    assert report.results[0].auc.n == 2 * N - 1
    assert "1 example is on both sides" in " ".join(report.provenance["cautions"])
    kept = np.delete(MEMBERS, 7)
    assert report.results == audited(kept, NON_MEMBERS).results != plain.results
    with pytest.raises(ValueError, match=r"shape \[101, 4\] for --members, which has 102 ex"):
        audited(twice, others, (outputs[0][1:], outputs[1]), drop_overlap=True)


def test_few_of_different_content_are_refused():
    few = np.repeat(np.arange(19), 3)
    with pytest.raises(ValueError, match="--members: examples of different content: must be at le"):
        audited(few, NON_MEMBERS)
