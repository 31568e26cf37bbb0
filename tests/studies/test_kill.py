"""Killed at random moments and started again: the same figures, nothing twice, nothing by halves.

`pytest -m slow tests/test_kill.py -s` prints where the kills fell.
"""

import collections
import json
import subprocess
import time

import numpy as np
import pytest
import tiny

from tf_compleak.engine import file_store, stage

KILLS = 50


def records(workdir):
    """The record of every finished stage, by folder."""
    paths = [path for path in workdir.rglob("stage.json") if ".aside-" not in str(path)]
    return {path.parent: path.read_bytes() for path in paths}


def check_whole(workdir):
    """Everything that is there under its final name is there in full."""
    for folder, content in records(workdir).items():
        assert stage.damage(file_store.path(folder), json.loads(content)) == "", folder
    for path in workdir.glob("*.json"):
        json.loads(path.read_text())
    page = workdir / "report.html"
    assert not page.exists() or page.read_text().rstrip().endswith("</html>")


def start(workdir):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    command = tiny.command(workdir, "--workers=2", executor="processes")
    return subprocess.Popen(command, start_new_session=True, **quiet)


def run_to_the_end(workdir):
    process = start(workdir)
    _, error = process.communicate()
    assert process.returncode == 0, error


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_fifty_kills_at_random_moments_change_nothing(tmp_path):
    started = time.monotonic()
    run_to_the_end(tmp_path / "calm")
    longest = time.monotonic() - started
    expected = tiny.figures(tmp_path / "calm")
    rng, kills, studies, fell = np.random.default_rng(6), 0, 0, collections.Counter()
    while kills < KILLS:
        workdir, kept, finished = tmp_path / f"study-{studies}", {}, False
        while kills < KILLS and not finished:
            process = start(workdir)
            try:
                _, error = process.communicate(timeout=rng.uniform(0, longest))
                assert process.returncode == 0, error
                finished = True
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                fell[len(kept)] += 1
            now = records(workdir)
            assert kept.items() <= now.items()  # what was finished is the same to the byte
            check_whole(workdir)
            kept = now
        run_to_the_end(workdir)
        final = records(workdir)
        assert kept.items() <= final.items()
        assert final.keys() == {
            workdir / path.relative_to(tmp_path / "calm") for path in records(tmp_path / "calm")
        }
        assert tiny.figures(workdir) == expected
        assert not list(workdir.rglob(".aside-*")) and not (workdir / "lock.json").exists()
        studies += 1
    print(
        f"{kills} kills over {studies} studies of {len(final)} stages, within {longest:.0f} s of "
        f"each start; stages finished before the kill: {dict(sorted(fell.items()))}"
    )
