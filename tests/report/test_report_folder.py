"""Who is exposed: against naive twins."""

import csv
import json

import numpy as np
import planted
import pytest
from sample_report import scored_report, two_rows
from scipy import stats

from tf_compleak.metrics.false_discovery import false_discovery_rates
from tf_compleak.report import report_folder
from tf_compleak.report.report import Report


def test_the_smallest_fpr_counts_other_non_members_that_score_as_high():
    rng = np.random.default_rng(0)
    values, members = np.round(rng.normal(size=60), 1), rng.random(60) < 0.5
    found = report_folder.caught_at(values, members)
    for i in range(60):
        others = np.array([values[j] for j in range(60) if j != i and not members[j]])
        assert found[i] == ((others >= values[i]).sum() + 1) / (len(others) + 1)


def test_files_are_whole_and_name_the_most_exposed(tmp_path):
    report = two_rows()
    for _ in range(2):  # a second time replaces the first
        report.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples", "report.json"]
    again = Report.load(tmp_path)
    assert again.results[1].auc == report.results[1].auc
    for name in ("ids", "labels", "members", "values"):
        np.testing.assert_array_equal(getattr(again.scored, name), getattr(report.scored, name))
    saved = np.load(tmp_path / "examples" / "scores.npy", allow_pickle=False)
    np.testing.assert_array_equal(saved, report.scored.values)
    rows = list(csv.DictReader((tmp_path / "examples" / "exposed.csv").open()))
    assert len(rows) == 25
    agreement = [float(row["agreement"]) for row in rows]
    assert agreement == sorted(agreement, reverse=True)
    assert {int(row["id"]) for row in rows} == set(
        report.scored.ids[report.scored.members].tolist()
    )


def test_who_is_exposed_is_said_with_the_rate_of_errors_not_with_the_least_of_many_rows(tmp_path):
    """Of 30 rows of noise one calls nearly every member at 10 %: the least FPR shows nothing."""
    family, rng = planted.family(0, 0.0, n=400), np.random.default_rng(0)
    keys = [(f"attack-{i}", ("original",)) for i in range(30)]
    scores = {key: planted.pooled(rng.normal(size=400), family) for key in keys}
    least = np.min([report_folder.caught_at(s.values, s.members) for s in scores.values()], axis=0)
    assert np.mean(least[family.members] <= 0.1) > 0.9
    scored_report(scores, family).save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "examples" / "exposed.csv").open()))
    assert not [name for name in rows[0] if "smallest" in name]
    assert np.median([float(row["false_discovery_rate"]) for row in rows]) > 0.4
    name = "attack-3 original"
    values = scores[keys[3]].values
    rates = dict(zip(family.ids, false_discovery_rates(values, family.members), strict=True))
    for row in rows:
        stated = float(row[f"false_discovery_rate {name}"])
        assert stated == pytest.approx(rates[int(row["id"])], rel=1e-5)


@pytest.mark.parametrize("leak", [0.0, 1.5])
def test_naming_by_agreement_errs_no_more_than_is_stated(leak):
    """Among the members and as many other non-members, ranked in every row among the examples."""
    rng, shares, rate, draws = np.random.default_rng(0), [], 0.3, 300
    members = np.arange(200) < 100
    for _ in range(draws):
        common = rng.normal(size=300) + leak * np.append(members, np.zeros(100))
        rows = common + 0.7 * rng.normal(size=(4, 300))
        examples, others = rows[:, :200], rows[:, 200:]
        ranks = report_folder.agreement(examples)
        among = [
            np.searchsorted(np.sort(row), new) for row, new in zip(examples, others, strict=True)
        ]
        stranger = np.mean(among, axis=0) / 200
        named = ranks[false_discovery_rates(ranks, members) <= rate]
        lowest = named.min(initial=np.inf)
        errors = (stranger >= lowest).sum()
        shares.append(errors / max(1, errors + (ranks[members] >= lowest).sum()))
    assert np.mean(shares) <= rate + 2 * np.std(shares) / np.sqrt(draws)
    assert leak == 0 or np.mean(shares) > rate / 2  # not by naming nobody


def test_what_is_no_report_gets_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; name the folder of a report"):
        Report.load(tmp_path)
    for text in ("{", "[]", '{"schema": 1}'):
        (tmp_path / "report.json").write_text(text)
        with pytest.raises(ValueError, match="is damaged or no report"):
            Report.load(tmp_path)


@pytest.mark.parametrize("schema", [0, 99, None, "1"])
def test_a_report_of_another_schema_gets_one_line_that_says_what_to_do(schema, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"schema": schema, "rows": []}))
    with pytest.raises(ValueError) as caught:
        Report.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/report.json: schema {schema!r} cannot be read, 1 is expected; make the report "
        "anew with this version of tf_compleak."
    )


def test_ranks_are_those_of_scipy_ties_included():
    scores = np.round(np.random.default_rng(4).normal(size=(3, 50)), 1)
    ranks = np.mean([stats.rankdata(row) / 50 for row in scores], axis=0)
    np.testing.assert_array_equal(report_folder.agreement(scores), ranks)
