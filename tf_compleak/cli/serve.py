"""`tf-compleak serve WORKDIR...`: studies, their state and their reports on a page of this machine.

Listens on the loopback address only, behind a random token in the path, and answers GET alone. The
names of files never come from a request: a path names a workdir by its number. Loads no TensorFlow.
"""

from __future__ import annotations

import functools
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jinja2

from tf_compleak.cli import states, terminal
from tf_compleak.engine import bounded_reads, lock, signals
from tf_compleak.types import validators

USAGE = "tf-compleak serve WORKDIR... [--port=8765]"
ADDRESS = "127.0.0.1"
PAGE = "report.html"
PAGE_MOST = 2**26  # bytes
FRESH = 2.0  # seconds for which a state counts at least
REST = 10.0  # and times what reading it took
RUNNING, IDLE = 3, 15  # seconds until the page asks again
FAILURES_MOST = 20
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LIST_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# A report's page stands alone: `sandbox` takes its origin, so that it cannot ask for other pages.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Overview:
    """What the page says of one workdir: in words, and counted by the state of its stages."""

    root: str
    state: str
    running: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    failures: tuple[states.State, ...] = ()
    has_report: bool = False

    @property
    def line(self) -> str:
        """How many stages there are of each state."""
        order = (states.DONE, states.FAILED, states.OPEN)
        return ", ".join(f"{self.counts[state]} {state}" for state in order if self.counts[state])


def overview(root: str) -> Overview:
    """The state of a workdir now, from its files; what cannot be read is said in `state`."""
    has_report = (Path(root) / PAGE).is_file()
    try:
        stages = list(states.states(root))
        owner, alive = lock.owner(Path(root)), lock.is_alive(Path(root))
    except (ValueError, OSError) as error:
        return Overview(root, terminal.line_of(error), has_report=has_report)
    counts = Counter(stage.state for stage in stages)
    failures = tuple(stage for stage in stages if stage.state == states.FAILED)[:FAILURES_MOST]
    if owner and alive:
        state = f"running since {owner.since}, process {owner.pid} on {owner.host}"
    elif owner:
        state = f"stopped in the middle; the same command goes on: {owner.command}"
    else:
        ended = "finished, with failures" if failures else "finished"
        state = "not finished" if counts[states.OPEN] else ended
    return Overview(root, state, bool(owner and alive), counts, failures, has_report)


class Studies:
    """The workdirs that are served; a state that was read counts for a while."""

    def __init__(self, roots: Sequence[str]):
        self.roots = tuple(roots)
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, Overview]] = {}  # by root: until when it counts

    def overviews(self) -> list[Overview]:
        """What is to be said of each workdir."""
        with self._lock:
            return [self._overview(root) for root in self.roots]

    def _overview(self, root: str) -> Overview:
        until, kept = self._read.get(root, (0.0, None))
        began = time.monotonic()
        if kept is None or began > until:
            kept = overview(root)
            ended = time.monotonic()
            self._read[root] = (ended + max(FRESH, REST * (ended - began)), kept)
        return kept


class Server(ThreadingHTTPServer):
    """Serves workdirs at `url`, which holds the token.

    Args:
      port: 0 for any that is free.
    """

    daemon_threads = True

    def __init__(self, roots: Sequence[str], port: int = 0):
        self.studies, self.token = Studies(roots), secrets.token_urlsafe(24)
        super().__init__((ADDRESS, port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}
        self.url = f"http://{ADDRESS}:{self.server_port}/{self.token}/"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; other methods than GET are not there (501)."""

    server: Server
    server_version, sys_version = "tf-compleak", ""
    timeout = 30  # seconds for a request to come

    def do_GET(self) -> None:
        """The list of studies at TOKEN/, a report at TOKEN/NUMBER/report.html."""
        token, *parts = self.path.removeprefix("/").split("/")
        if self.headers.get("Host") not in self.server.hosts:
            self._plain(403, "This name is none of this page's; take the URL as it was printed.")
        elif not secrets.compare_digest(token.encode("latin-1"), self.server.token.encode()):
            self._plain(403, "Wrong token; take the URL as it was printed.")
        elif parts == [""]:
            self._list()
        elif (root := self._root(parts)) is not None:
            self._report(root)
        else:
            self._plain(404, "There is nothing here.")

    def _root(self, parts: Sequence[str]) -> str | None:
        """The workdir whose report is asked for."""
        roots = {str(number): root for number, root in enumerate(self.server.studies.roots)}
        return roots.get(parts[0]) if parts[1:] == [PAGE] else None

    def _list(self) -> None:
        studies, nonce = self.server.studies.overviews(), secrets.token_urlsafe(16)
        seconds = RUNNING if any(study.running for study in studies) else IDLE
        page = _template().render(studies=studies, nonce=nonce, seconds=seconds, page=PAGE)
        self._send(200, "text/html", page, LIST_POLICY.format(nonce=nonce))

    def _report(self, root: str) -> None:
        try:
            page = bounded_reads.text(os.path.join(root, PAGE), PAGE_MOST, follow=False)
        except (ValueError, OSError):
            self._plain(404, "There is no report yet, or none that can be read.")
        else:
            self._send(200, "text/html", page, REPORT_POLICY)

    def _plain(self, status: int, text: str) -> None:
        self._send(status, "text/plain", f"{text}\n", "default-src 'none'")

    def _send(self, status: int, kind: str, text: str, policy: str) -> None:
        content = text.encode("utf-8", "backslashreplace")
        self.send_response(status)
        facts = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content))}
        for name, value in (HEADERS | facts | {"Content-Security-Policy": policy}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        """Nothing: a log of requests would hold the token."""


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tf_compleak.cli"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: terminal.printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("studies.html")


def work(arguments: list[str]) -> int:
    """Serve until the command is ended.

    Raises:
      ValueError, OSError: in one line, for workdirs that are not there, or a port in use.
    """
    roots, port = _understood(arguments)
    try:
        server = Server(roots, port)
    except OSError as error:
        raise OSError(f"--port={port}: {error.strerror}; name another, or none.") from error
    with server:
        try:
            terminal.say(f"{len(roots)} workdir(s) at {server.url}\nEnd it with Ctrl-C.")
            server.serve_forever()
        except signals.Ended as ended:  # as it is meant to: nothing was interrupted
            return ended.code
    return 0


def _understood(arguments: list[str]) -> tuple[list[str], int]:
    roots, port = [], 0
    for word in arguments:
        name, _, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            roots.append(os.path.expanduser(word))
        elif name == "port" and value.isascii() and value.isdigit() and int(value) < 2**16:
            port = int(value)
        else:
            raise ValueError(f"unexpected {word}; write {USAGE}.")
    if not roots:
        raise ValueError(f"{USAGE}: name a workdir.")
    for root in roots:
        if not os.path.isdir(root):
            raise ValueError(f"{root}: no folder of this machine; name the workdir of a study.")
    validators.distinct("tf-compleak serve", [os.path.abspath(root) for root in roots])
    return roots, port
