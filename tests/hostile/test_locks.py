"""Locks and journals that somebody else wrote: read within bounds, believed only where they fit."""

import json

import pytest

from tf_compleak.engine import file_store, journal, lock

OWNER = {f.name: "x" for f in lock.FIELDS} | {"pid": 1}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"owner": null}',
        "[]",
        "{}",
        json.dumps({"owner": OWNER | {"pid": "1"}}),
        json.dumps({"owner": OWNER | {"host": None}}),
        json.dumps({"owner": OWNER | {"more": 1}}),
        json.dumps({"owner": OWNER, "fill": "x" * 2**17}),
        "\0",
    ],
)
def test_a_lock_that_is_none_is_nobodys(tmp_path, text):
    (tmp_path / lock.NAME).write_text(text)
    assert lock.owner(file_store.path(tmp_path)) is None
    with lock.held(file_store.path(tmp_path)):
        assert lock.owner(file_store.path(tmp_path)) == lock.Owner.this()


def test_a_lock_behind_a_link_is_not_read(tmp_path):
    (tmp_path / "elsewhere").write_text(json.dumps({"owner": OWNER}))
    (tmp_path / lock.NAME).symlink_to(tmp_path / "elsewhere")
    assert lock.owner(file_store.path(tmp_path)) is None


def test_a_journal_of_others(tmp_path):
    lines = ["[" * 100_000, "1", "{}", '{"task": 1, "error": ["x"]}', '{"task": "a", "error": "b"}']
    (tmp_path / journal.EVENTS).write_text("\n".join(lines))
    assert journal.failed(tmp_path) == {"1": "['x']", "a": "b"}
