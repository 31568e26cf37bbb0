"""Ctrl-C and SIGTERM: an end within five seconds and one line, whatever the process is at."""

import signal
import subprocess
import sys
import time

import pytest

from tf_compleak.engine import signals

WORK = {
    "python": "while True: time.sleep(0.01)",
    "native": "hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)",  # minutes, deaf to Python
    "slow to tidy up": "\n    try: time.sleep(60)\n    finally: time.sleep(60)",
}
PROGRAM = """
import hashlib, sys, time
from tf_compleak.cli import main as cli
def work(arguments):
    print("at it", flush=True)
    {work}
cli.COMMANDS["run"] = cli._Command("", {{}}, work)
sys.exit(cli.main(["run"]))
"""


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_with_one_line(work, number):
    program = PROGRAM.format(work=WORK[work])
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "at it\n"
    time.sleep(0.2)
    started = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert process.returncode == 128 + number
    (line,) = error.strip().splitlines()
    assert "the same command continues from here" in line and signals.HOW[number] in line


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(signals.Ended), signals.ending():
        signal.raise_signal(signal.SIGTERM)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
