"""Lists of ids choose the examples of a source; each bad list gets one line."""

import json
import os

import numpy as np
import pytest

from tf_compleak.data import id_lists, sources

X, Y = np.random.default_rng(0).random((60, 5)), np.arange(60) % 3
IDS = np.array([f"p-{number:03}" for number in range(60)])


@pytest.fixture
def archive(tmp_path):
    np.savez(tmp_path / "all.npz", x=X, y=Y, ids=IDS)
    return f"npz:{tmp_path / 'all.npz'}"


def listed(tmp_path, text, name="list.csv"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def side(tmp_path, archive, text, name="list.csv"):
    return sources.load_side(f"ids:{listed(tmp_path, text, name)}@{archive}", "--members")


WANTED = [f"p-{number:03}" for number in (40, 3, *range(10, 30))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "label,id\n" + "".join(f"0,{name}\n" for name in WANTED)),
        ("a.csv", "".join(f"{name},anything\n" for name in WANTED)),
        ("a.tsv", "id\tlabel\n" + "".join(f"{name}\t1\n" for name in WANTED)),
        ("a.txt", "\n".join(WANTED) + "\n\n"),
        ("a.jsonl", "\n".join(json.dumps(name) for name in WANTED)),
        ("a.jsonl", "\n".join(json.dumps({"id": name, "more": [1]}) for name in WANTED)),
    ],
)
def test_the_examples_of_a_list_in_its_order(tmp_path, archive, name, text):
    found = side(tmp_path, archive, text, name)
    rows = [IDS.tolist().index(name) for name in WANTED]
    assert found.ids.tolist() == WANTED
    np.testing.assert_array_equal(found.labels, Y[rows])
    np.testing.assert_allclose(found.rows(slice(None))["x"], np.float32(X[rows]))


def test_rows_are_numbered_where_a_source_has_no_ids(tmp_path):
    np.savez(tmp_path / "all.npz", x=X, y=Y)
    found = side(tmp_path, f"npz:{tmp_path / 'all.npz'}", "\n".join(map(str, range(5, 35))))
    np.testing.assert_array_equal(found.labels, Y[5:35])


def test_a_run_takes_them_and_their_state(tmp_path, archive):
    path = listed(tmp_path, "\n".join(IDS[:30]), "a.txt")
    source = f"ids:{path}@{archive}"
    examples, before = sources.load(source), sources.stamp(source)
    assert examples.ids.tolist() == IDS[:30].tolist() and before
    listed(tmp_path, "\n".join(IDS[:31]), "a.txt")
    assert sources.stamp(source) not in (before, None)
    numbers = "\n".join(map(str, range(40, 10, -1)))
    digits = sources.load("ids:" + listed(tmp_path, numbers, "b.csv") + "@digits")
    assert digits.ids.tolist() == list(range(40, 10, -1))
    assert sources.stamp(f"ids:{tmp_path}/none.csv@{archive}") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "p-001\np-999\nq\n", "2 of its 3 ids are not in npz:.*first: 'p-999'"),
        ("a.csv", "p-001\np-001\n", "occur more than once"),
        ("a.csv", "\n\n", "lists no ids"),
        ("a.csv", "x,id\n0,p-001\n0\n", "some rows have no column id"),
        ("a.csv", '"p-001\n', "write ids in a column of their own"),
        ("a.jsonl", "{", "line 1: is no JSON"),
        ("a.jsonl", '"p-001"\n[1]', "line 2: names no id"),
        ("a.jsonl", "[" * 100_000, "line 1: is no JSON"),
        ("a.jsonl", "true", "line 1: names no id"),
        ("a.npy", "p-001", "ending: unknown '.npy'"),
    ],
)
def test_bad_lists_get_one_line(tmp_path, archive, name, text, message):
    with pytest.raises(ValueError, match=message) as told:
        side(tmp_path, archive, text, name)
    assert str(told.value).startswith("--members=ids:") and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "source",
    ["ids:a.csv", "ids:a.csv@nowhere:x", "ids:@npz:x.npz", "ids:a.csv@ids:b.csv@npz:c.npz"],
)
def test_what_is_no_list_of_a_source(source):
    with pytest.raises(ValueError, match=r"write it as ids:LIST\.csv@SOURCE"):
        sources.load_side(source, "--members")


def test_a_pipe_is_not_waited_for(tmp_path, archive):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ValueError, match="a pipe"):
        sources.load_side(f"ids:{tmp_path / 'list.csv'}@{archive}", "--members")
    with pytest.raises(FileNotFoundError, match="no such file"):
        id_lists.read(str(tmp_path / "none.csv"))
