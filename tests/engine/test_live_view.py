"""The live view: what it counts, what it shows on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from tf_compleak.engine import live_view
from tf_compleak.engine.live_view import OVERDUE, Live, Tally

NEWS = [
    ("train a", "missing"),
    ("train b", "missing"),
    ("loss x", "damaged: scores.npy is missing"),
]


def told(live, clock=None):
    for task, why in NEWS:
        live.tell(task, 0, 0, why)
    live.tell("train a", 0, 1, "")
    live.tell("train a", 3, 40, "accuracy 0.5 [odd]")
    live.tell("train a", 1, 1, "")
    live.tell("train b", 0, 1, "")


def test_rates_and_time_left():
    now = [0.0]
    tally = Tally(lambda: now[0])
    for task in ("train a", "train b", "loss x"):
        tally.hear(task, 0, 0, "missing")
    assert tally.seconds_to_go() is None and tally.rate() == 0
    for task in ("train a", "train b"):
        tally.hear(task, 0, 1, "")
    now[0] = 30.0
    tally.hear("train a", 1, 1, "")
    assert tally.rate() == 2.0
    # `loss x` as long as the mean; `train b` has taken that: it goes on for a part of it
    assert tally.seconds_to_go() == pytest.approx(30 + OVERDUE * 30)
    tally.hear("train b", 1, 1, "went wrong")
    assert (tally.done, tally.failed, len(tally.running)) == (1, 1, 0)
    assert tally.line() == (
        "1 of 3 stages done, 1 failed, 0 running, 4.0 a minute, about 0:30 left"
    )


def test_a_stage_that_tells_how_far_it_is_goes_on_at_its_pace():
    now = [0.0]
    tally = Tally(lambda: now[0])
    tally.hear("asking int8", 0, 1000, "opening")
    now[0] = 10.0
    tally.hear("asking int8", 10, 1000, "")
    assert tally.seconds_to_go() is None  # too early to say
    tally.hear("asking int8", 250, 1000, "")
    assert tally.seconds_to_go() == 30.0 and tally.line().endswith("about 0:30 left")
    tally.hear("loss int8", 0, 0, "missing")
    assert tally.seconds_to_go() == pytest.approx(30 + 40)  # as long as what was measured
    tally.hear("asking int8", 1, 1, "")
    assert tally.seconds_to_go() == pytest.approx(10.0)


def test_elsewhere_a_long_stage_says_where_it_is(monkeypatch):
    monkeypatch.setattr(live_view, "LONG_SECONDS", -1.0)
    out = io.StringIO()
    with Live(Console(file=out)) as live:
        live.tell("asking int8", 8192, 1_000_000, "")
    assert "asking int8: 8,192 of 1,000,000" in out.getvalue()


def test_elsewhere_plain_lines_now_and_then(monkeypatch):
    monkeypatch.setattr(live_view, "QUIET_SECONDS", -1.0)
    out = io.StringIO()
    with Live(Console(file=out)) as live:
        told(live)
        live.tell("train b", 1, 1, "the disk is full")
    lines = out.getvalue().splitlines()
    assert lines[0] == "loss x: damaged: scores.npy is missing; made again"
    assert lines[1].startswith("1 of 3 stages done, 0 running") and "train a" in lines[1]
    assert len(lines) == 2 and live.tally.failed == 1  # the report has its reason
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_one_view():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Live(console) as live:
        told(live)
        live.tell("train b", 4, 40, "accuracy 0.5 [odd]")
        live.tell("loss y", 1, 1, "the [disk] is full")
        with console.capture() as view:
            console.print(live._view())
    assert "1 of 4 stages done, 1 failed, 1 running" in view.get()
    assert "loss y failed: the [disk] is full" in view.get()
    assert "train b" in view.get() and "4/40" in view.get() and "[odd]" in view.get()
