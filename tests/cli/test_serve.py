"""`tf-compleak serve` on the loopback address: who is answered, with what, and how it changes."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

from tf_compleak.cli import main as cli
from tf_compleak.cli import serve
from tf_compleak.engine.workdir import Workdir
from tf_compleak.studies.study import Study

NAME = '<script>alert(1)</script>"onerror=x \u202e'


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server on two workdirs, the second of an odd name, and a function that asks it."""
    monkeypatch.setattr(serve, "FRESH", 0.0)
    monkeypatch.setattr(serve, "REST", 0.0)
    roots = [tmp_path / "w", tmp_path / NAME.replace("/", "_")]
    for root in roots:
        root.mkdir()
    (roots[0] / "report.html").write_text("<p>the report</p>", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret")
    with serve.Server([str(root) for root in roots]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(path, host=None, method="GET"):
            """Status, headers and text; the path goes out as it is."""
            connection = http.client.HTTPConnection(serve.ADDRESS, server.server_port, timeout=10)
            connection.putrequest(method, path, skip_host=True)
            if host != "":
                connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
            connection.endheaders()
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return answer.status, answer.headers, text

        yield server, ask, roots
        server.shutdown()
        thread.join()


def test_it_listens_on_this_machine_only_with_a_token_of_its_own(served):
    server, *_ = served
    assert server.server_address[0] == "127.0.0.1" and len(server.token) == 32
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    with serve.Server([]) as other:
        assert other.token != server.token


def test_the_token_and_the_host_are_checked_first(served):
    server, ask, _ = served
    port, page = server.server_port, f"/{server.token}/"
    for wrong in ("*", "/", "//", "/wrong/", f"/{server.token[:-1]}/", "/wrong/0/report.html"):
        status, _, text = ask(wrong)
        assert status == 403 and "Wrong token" in text and server.token not in text
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert ask(page, host=host)[0] == 403
    assert ask(page)[0] == ask(page, host=f"localhost:{port}")[0] == 200
    with socket.create_connection((serve.ADDRESS, port), timeout=10) as connection:
        connection.sendall(b"GET /\xff/ HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        assert b" 403 " in connection.recv(1000)
    for method in ("POST", "HEAD", "PUT", "DELETE", "OPTIONS"):
        assert ask(page, method=method)[0] == 501


def test_nothing_but_the_list_and_the_reports_is_there(served):
    server, ask, roots = served
    status, headers, text = ask(f"/{server.token}/0/report.html")
    assert (status, text) == (200, "<p>the report</p>")
    assert "sandbox allow-scripts" in headers["Content-Security-Policy"]
    assert "allow-same-origin" not in headers["Content-Security-Policy"]
    (roots[0] / "study.json").write_text("{}")
    for path in (
        "0/../../secret.txt",
        "0/..%2f..%2fsecret.txt",
        "../secret.txt",
        "0/study.json",
        "0/",
        "0//report.html",
        "0/report.html/",
        "0/report.html?x",
        "2/report.html",
        "-1/report.html",
        "00/report.html",
        f"{urllib.parse.quote(str(roots[0]))}/report.html",
    ):
        status, _, text = ask(f"/{server.token}/{path}")
        assert status == 404 and "secret" not in text, path
    (roots[1] / "report.html").symlink_to(roots[0].parent / "secret.txt")
    assert ask(f"/{server.token}/1/report.html")[0] == 404
    (roots[1] / "report.html").unlink()
    os.mkfifo(roots[1] / "report.html")
    assert ask(f"/{server.token}/1/report.html")[0] == 404


def test_names_are_text_and_the_page_runs_nothing(served):
    server, ask, _ = served
    _, headers, text = ask(f"/{server.token}/")
    assert "<script" not in text and "\u202e" not in text and "&lt;script&gt;" in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'<style nonce="{nonce}">' in text and nonce not in ask(f"/{server.token}/")[2]
    for name, value in serve.HEADERS.items():
        assert headers[name] == value


def test_the_state_is_that_of_the_files_now(served):
    """No study, one that runs with a failure, one that does not run, its report."""
    server, ask, roots = served
    assert "holds no study" in ask(f"/{server.token}/")[2]
    (roots[0] / "report.html").unlink()
    flags = ["--executor=inline", "--versions=original", "--attacks=loss", "--epochs=1"]
    shapes = ["--num_members=60", "--num_non_members=60", "--depth=2", "--width=4"]
    workdir = Workdir(str(roots[0]))
    study = Study(**cli._settings(Study, cli._parse("run", [*flags, *shapes])))
    with workdir.locked():
        with workdir.claim(study, overwrite=False):
            pass
        logs = roots[0] / "logs"
        logs.mkdir()
        event = {"at": "now", "task": "data", "state": "failed", "seconds": 1, "error": "no <disk>"}
        (logs / "stages.jsonl").write_text(json.dumps(event) + "\n")
        text = ask(f"/{server.token}/")[2]
        assert "running since" in text and f"process {os.getpid()} on" in text
        assert 'content="3"' in text and "data failed: no &lt;disk&gt;" in text
        assert "0/report.html" not in text
    text = ask(f"/{server.token}/")[2]
    assert "not finished" in text and 'content="15"' in text
    (roots[0] / "report.html").write_text("new")
    assert 'href="0/report.html"' in ask(f"/{server.token}/")[2]


def test_a_state_is_not_read_again_at_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        serve, "overview", lambda root: read.append(root) or serve.Overview(root, "")
    )
    studies = serve.Studies([str(tmp_path)])
    for _ in range(3):
        assert [study.root for study in studies.overviews()] == [str(tmp_path)]
    assert read == [str(tmp_path)]
    later = time.monotonic() + 60
    monkeypatch.setattr(serve.time, "monotonic", lambda: later)
    studies.overviews()
    assert len(read) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "tf-compleak serve WORKDIR... [--port=8765]: name a workdir."),
        (["{}/no"], "/no: no folder of this machine"),
        (["{}", "--prot=1"], "unexpected --prot=1; write tf-compleak serve"),
        (["{}", "--port=99999"], "unexpected --port=99999"),
        (["gs://bucket/w"], "gs://bucket/w: no folder of this machine"),
        (["{}", "{}/."], "tf-compleak serve"),
    ],
)
def test_bad_words_are_one_line(words, line, tmp_path, capsys):
    assert cli.main(["serve", *(word.format(tmp_path) for word in words)]) == 2
    shown = capsys.readouterr().err
    assert line in shown and len(shown.splitlines()) == 1


def test_a_port_in_use_is_one_line(tmp_path, capsys):
    with socket.create_server((serve.ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", str(tmp_path), f"--port={port}"]) == 2
    assert f"--port={port}: Address already in use; name another" in capsys.readouterr().err


def test_a_finished_study_is_said_to_be(tmp_path, monkeypatch):
    done, failed = serve.states.State("data", "done"), serve.states.State("train", "failed", "x")
    for stages, words in ([done], "finished"), ([done, failed], "finished, with failures"):
        monkeypatch.setattr(serve.states, "states", lambda root, stages=stages: stages)
        assert serve.overview(str(tmp_path)).state == words
    assert serve.overview(str(tmp_path)).line == "1 done, 1 failed"


def test_the_command_says_its_url_and_ends_with_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "tf_compleak", "serve", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("1 workdir(s) at http://127.0.0.1:")
    process.send_signal(2)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error == ""
