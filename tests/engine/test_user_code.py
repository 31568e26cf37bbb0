"""Code of the user's: what is said of it before it runs, and of what it raises."""

import contextlib
import io

import pytest

from tf_compleak.engine import stage_log, user_code

TEXT = """
import beside

class Base:
    def build(self):
        return beside.VALUE

class Own(Base):
    def fail(self):
        raise KeyError("no such\\nlayer")

    def leave(self):
        raise SystemExit(3)

def plain():
    return 1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(TEXT)
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    return tmp_path / "mine.py"


def test_methods_are_read_without_running_anything(file):
    (file.parent / "beside.py").write_text("raise RuntimeError('was run')\n")
    code = user_code.read("--family", f"{file}:Own")
    assert code.methods == ("build", "fail", "leave") and code.name == "Own"
    assert user_code.read("--family", f"{file}:plain").methods is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:own", "unknown 'own'. Did you mean 'Own'"),
        ("mine.py", "write PATH.py:NAME"),
        ("mine.txt:Own", "write PATH.py:NAME"),
        ("mime.py:Own", "no such file as /.*mime.py"),
        ("broken.py:Own", "line 2 of /.*broken.py is no Python"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(file, name, message):
    (file.parent / "broken.py").write_text("x = 1\nclass (\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        user_code.read("--family", f"{file.parent}/{name}")
    assert "\n" not in str(error.value) and "--family" in str(error.value)
    with pytest.raises(ValueError, match=r"got a type; write 'PATH\.py:NAME'"):
        user_code.read("--family", dict)


def test_the_digest_is_of_the_file_and_of_what_it_imports_from_beside_it(file):
    (file.parent / "other.py").write_text("")
    before = user_code.read("--family", f"{file}:Own").sha256
    (file.parent / "other.py").write_text("changed = True\n")
    assert user_code.read("--family", f"{file}:Own").sha256 == before
    (file.parent / "beside.py").write_text("VALUE = 77\n")
    beside = user_code.read("--family", f"{file}:Own").sha256
    file.write_text(TEXT + "\n# more\n")
    assert len({before, beside, user_code.read("--family", f"{file}:Own").sha256}) == 3


def test_errors_name_file_and_line_and_the_rest_is_printed(file):
    code = user_code.read("--family", f"{file}:Own")
    own = user_code.instance(code)
    assert own.build() == 7
    for method, line in (
        (own.fail, f"{file}:10: KeyError: 'no such\\nlayer'"),
        (own.leave, f"{file}:13: SystemExit: 3"),
    ):
        printed = io.StringIO()
        with (
            contextlib.redirect_stdout(printed),
            pytest.raises(ValueError) as error,
            user_code.running(code),
        ):
            method()
        assert str(error.value) == line and "Traceback" in printed.getvalue()
    with pytest.raises(MemoryError), user_code.running(code):
        raise MemoryError
    file.write_text("import nowhere_to_be_found\nclass Own: pass\n")
    with pytest.raises(ValueError, match=r"mine.py:1: ModuleNotFoundError: .*nowhere"):
        user_code.instance(user_code.read("--family", f"{file}:Own"))


def test_a_changed_file_is_loaded_anew(file):
    assert user_code.instance(user_code.read("--family", f"{file}:plain"))() == 1
    file.write_text("def plain():\n    return 22\n")
    assert user_code.instance(user_code.read("--family", f"{file}:plain"))() == 22


def test_a_log_keeps_what_is_printed_and_tells_its_last_lines(tmp_path):
    log = stage_log.path(tmp_path / "logs", "train shadow-0")
    assert log.name == "train-shadow-0.log" and stage_log.last_lines(log) == ""
    for text in ("before", "\n".join(f"line  {i}" for i in range(9)) + "\n\n"):
        with stage_log.kept(log):
            print(text)
    assert stage_log.last_lines(log, 2) == "line 7 | line 8" and "before" not in log.read_text()
