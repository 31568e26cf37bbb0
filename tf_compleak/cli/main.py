"""The command line: the only place that reads flags. `tf-compleak run --help` explains them."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from tf_compleak.cli import command_words, help_texts, outcome, plain_help, terminal
from tf_compleak.engine import ray_workers, signals
from tf_compleak.types import validators
from tf_compleak.types.progress import Tell
from tf_compleak.types.versions import release_from

QUICKSTART = Path(__file__).parents[1] / "flagfiles" / "quickstart.cfg"


class _UsageError(ValueError):
    """A command line that cannot be understood."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are one line on stderr."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    terminal.write_everything()
    terminal.hush()
    code = _exit_code(arguments)
    with terminal.unheard():
        sys.stdout.flush()
    return code


def _exit_code(arguments: list[str]) -> int:
    """The exit code of a command line; what ends it is one line on stderr."""
    try:
        with signals.ending():
            return _dispatch(arguments)
    except signals.Ended as ended:
        print(ended.line, file=sys.stderr)
        return ended.code
    except (ValueError, OSError, MemoryError, RecursionError, flags.Error) as error:
        print(f"tf-compleak: {terminal.line_of(error)}", file=sys.stderr)
        return 2


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command in ("--help", "-h", "-help", "help", "--helpfull"):
        terminal.say(help_texts.ABOUT)
        return 0
    if command == "--version":
        from tf_compleak import __version__

        terminal.say(f"tf-compleak {__version__}")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, list(COMMANDS), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise _UsageError(
            f"unknown command {command!r};{hint} known: {', '.join(COMMANDS)}. "
            "See tf-compleak --help."
        )
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in arguments[1:]):
        terminal.say(_help(command))
        return 0
    return COMMANDS[command].work(arguments[1:])


def _defaults(command: str) -> dict[str, Any]:
    """The default of every flag of a command: that of the dataclass field it sets."""
    if command == "run":
        from tf_compleak.studies.options import Options
        from tf_compleak.studies.study import Study

        return _fields(Study, Options) | {
            "workdir": "runs/study",
            "fail_if": "",
            "card": "",
            "dry_run": False,
        }
    from tf_compleak.studies.audit.audit_settings import Audit, Where

    given = {
        "versions": (),
        "members": "",
        "non_members": "",
        "fail_if": "",
        "card": "",
        "dry_run": False,
    }
    return _fields(Audit, Where) | {"workdir": "audits/audit"} | given


def _fields(*kinds) -> dict[str, Any]:
    return {f.name: f.default for kind in kinds for f in dataclasses.fields(kind)}


def define_flags(command: str) -> flags.FlagValues:
    """The flags of a command that has some, with their defaults and help texts."""
    values, defaults = flags.FlagValues(), _defaults(command)
    for group in COMMANDS[command].flags.values():
        for name, text in group:
            _define_one(values, name, defaults[name], text)
    return values


def _define_one(values: flags.FlagValues, name: str, default, text: str) -> None:
    define = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple: flags.DEFINE_list,
    }.get(type(default), flags.DEFINE_string)
    if isinstance(default, tuple):
        default = list(default)
    if name == "versions":
        parser, serializer = _Words(), flags.CsvListSerializer(",")
        flags.DEFINE(parser, name, default, text, values, serializer)
    else:
        define(name, default, text, flag_values=values)


class _Words(flags.ListParser):
    """Words between commas; what is in quotes, anywhere in a word, keeps its commas."""

    def parse(self, argument: str | list[str]) -> list[str]:
        return argument if isinstance(argument, list) else command_words.split(argument)


def _help(command: str) -> str:
    values = define_flags(command) if COMMANDS[command].flags else {}
    lines = [COMMANDS[command].about]
    for title, group in COMMANDS[command].flags.items():
        lines.append(f"{title}:")
        for name, text in group:
            default = (values[name].default_as_str or "'none'").strip("'")
            lines.append(f"  --{name}\n      {text}\n      (default: {default or 'none'})")
        lines.append("")
    if not COMMANDS[command].flags:
        return COMMANDS[command].about.rstrip()
    shipped = "; `quickstart` is shipped with this tool" if command == "run" else ""
    lines.append(f"  --flagfile\n      file with one flag a line{shipped}")
    return "\n".join(lines)


def _parse(command: str, arguments: list[str]) -> flags.FlagValues:
    values = define_flags(command)
    arguments = [
        f"--flagfile={QUICKSTART}"
        if word in ("--flagfile=quickstart", "-flagfile=quickstart")
        else word
        for word in arguments
    ]
    command_words.check_flagfiles(arguments)
    try:
        rest = values([f"tf-compleak {command}", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), n=1)
        hint = f" Did you mean --{near[0]}?" if near else ""
        text = f"unknown flag --{error.flagname}.{hint} See tf-compleak {command} --help."
        raise _UsageError(text) from error
    if rest:
        raise _UsageError(f"unexpected {rest[0]!r}; flags are written --name=value.")
    if not values.workdir:
        raise _UsageError("--workdir: empty; name a folder.")
    validators.between("--workers", values.workers, 0, 1024)
    ray_workers.parse_resources(values.ray_resources)
    if values.fail_if:
        from tf_compleak.report import gate

        gate.parse(values.fail_if)
    if values.card:
        from tf_compleak.report import model_card

        model_card.check(os.path.expanduser(values.card), outcome.CARD)
    return values


def _flagfile(command: str, values: flags.FlagValues, line: str) -> str:
    names = [name for group in COMMANDS[command].flags.values() for name, _ in group]
    lines = [f"# {line}", f"# The flags of this {command}, resolved. Repeat it elsewhere with:"]
    lines.append(f"#   tf-compleak {command} --flagfile=THIS_FILE --workdir=ANOTHER_FOLDER")
    lines += [
        values[name].serialize()
        for name in names
        if name not in ("overwrite", "dry_run") and values[name].value is not None
    ]
    return "\n".join(line for line in lines if line) + "\n"


# run ----------------------------------------------------------------------------------------------


def _settings(kind: type, values: flags.FlagValues, apart: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass of flags, but those `apart`, as it takes them."""
    fields = {
        field.name: getattr(values, field.name)
        for field in dataclasses.fields(kind)
        if field.name not in apart
    }
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    for name, change in {"releases": _releases, "shadow_counts": _counts}.items():
        if name in fields:
            fields[name] = change(fields[name])
    return fields


def _releases(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(release_from, words))


def _counts(words: Sequence[str]) -> tuple[int, ...]:
    wrong = [word for word in words if not word.strip().isdecimal()]
    if wrong:
        raise _UsageError(f"--shadow_counts: {wrong[0]!r} is no number; write 1,2,4.")
    return tuple(int(word) for word in words)


def _options(kind: type, command: str, arguments: list[str], values: flags.FlagValues):
    """Where and how a study runs, and how to repeat it."""
    line = shlex.join(["tf-compleak", command, *arguments])
    fields = _settings(kind, values, ("command", "flags"))
    for name in ("workdir", "data_dir"):
        fields[name] = fields[name] and os.path.expanduser(fields[name])
    return kind(**fields, command=line, flags=_flagfile(command, values, line))


def _run(arguments: list[str]) -> int:
    values = _parse("run", arguments)
    from tf_compleak.studies.options import Options
    from tf_compleak.studies.study import Study

    study = Study(**_settings(Study, values))
    options = _options(Options, "run", arguments, values)
    if values.dry_run:
        from tf_compleak.cli import states

        return _dry_run(states.would_run(study, options))
    from tf_compleak.engine import executors
    from tf_compleak.studies.run import pipeline

    workers = executors.side_by_side(options.executor, options.workers, study.threads)
    with _live(workers) as tell:
        report = pipeline.run(study, options, tell)
    return outcome.show(report, options.workdir, values.fail_if, values.card)


@contextlib.contextmanager
def _live(workers: int = 0) -> Iterator[Tell]:
    from rich.console import Console

    from tf_compleak.engine.live_view import Live

    with Live(Console(stderr=True), workers) as live:
        yield live.tell


def _dry_run(tasks: Sequence[tuple[str, str]]) -> int:
    lines = [f"{name}: {why}" for name, why in tasks]
    terminal.say("\n".join([*lines, f"{len(tasks)} tasks to do; nothing was written."]))
    return 0


# show ---------------------------------------------------------------------------------------------


def _show_workdir(arguments: list[str]) -> int:
    from tf_compleak.cli import states

    words = [word for word in arguments if not word.startswith("-")]
    unknown = [word for word in arguments if word.startswith("-") and word != "--verify"]
    if unknown:
        raise _UsageError(f"unknown flag {unknown[0]}; tf-compleak show takes --verify only.")
    if len(words) != 1:
        raise _UsageError("tf-compleak show WORKDIR: name one workdir.")
    root = os.path.expanduser(words[0])
    stages = list(states.states(root, thorough="--verify" in arguments))
    terminal.say("\n".join(states.text(root, stages)))
    return 0


# tensorboard --------------------------------------------------------------------------------------


def _tensorboard(arguments: list[str]) -> int:
    flagged = [word for word in arguments if word.startswith("-")]
    roots = [os.path.expanduser(word) for word in arguments if not word.startswith("-")]
    logdir = flagged[0].partition("=")[2] if len(flagged) == 1 else ""
    if not roots or not logdir or flagged[0].lstrip("-").partition("=")[0] != "logdir":
        raise _UsageError("tf-compleak tensorboard WORKDIR... --logdir=DIR: name both.")
    validators.distinct("tf-compleak tensorboard", [os.path.abspath(root) for root in roots])
    from tf_compleak.cli import states
    from tf_compleak.report import tensorboard
    from tf_compleak.report.report import Report

    names = _run_names(roots)
    reports = {name: Report.load(root) for name, root in names.items()}
    curves = {name: states.histories(root) for name, root in names.items()}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tensorboard.write(reports, os.path.expanduser(logdir), curves)
    terminal.say(f"{len(reports)} run(s) written; look at them with: tensorboard --logdir={logdir}")
    return 0


def _run_names(roots: list[str]) -> dict[str, str]:
    """Workdirs by what tells them apart: the last folder, or their paths below a common one."""
    names = [os.path.basename(os.path.abspath(root)) for root in roots]
    if len(set(names)) < len(names):
        paths = [os.path.abspath(root) for root in roots]
        names = [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]
    return dict(zip(names, roots, strict=True))


# compare ------------------------------------------------------------------------------------------


def _compare(arguments: list[str]) -> int:
    from tf_compleak.cli import compare

    return compare.work(arguments)


# serve --------------------------------------------------------------------------------------------


def _serve(arguments: list[str]) -> int:
    from tf_compleak.cli import serve

    return serve.work(arguments)


# audit --------------------------------------------------------------------------------------------


def _versions(words: list[str]) -> dict[str, str]:
    paths = {}
    for word in words:
        name, _, path = word.partition("=")
        if not name or not path:
            raise _UsageError(f"--versions: {word!r}; write NAME=PATH, such as int8=model8.tflite.")
        if name in paths:
            raise _UsageError(f"--versions: {name} is named twice; every name must be unique.")
        paths[name] = os.path.expanduser(path)
    return paths


def _audit(arguments: list[str]) -> int:
    values = _parse("audit", arguments)
    for name in ("versions", "members", "non_members"):
        if not getattr(values, name):
            raise _UsageError(f"--{name}: missing; see tf-compleak audit --help.")
    from tf_compleak.studies.audit import audit
    from tf_compleak.studies.audit.audit_settings import Audit, Where

    where = _options(Where, "audit", arguments, values)
    given = (_versions(values.versions), values.members, values.non_members)
    settings = _settings(Audit, values, ("versions", "members", "non_members"))
    if values.dry_run:
        return _dry_run(audit.would_run(*given, where=where, **settings))
    with _live() as tell:
        report = audit.audit(*given, where=where, tell=tell, **settings)
    return outcome.show(report, where.workdir, values.fail_if, values.card)


@dataclasses.dataclass(frozen=True)
class _Command:
    """A command: what --help says, its flags by group, and what does the work."""

    about: str
    flags: dict[str, list[tuple[str, str]]]
    work: Callable[[list[str]], int]


COMMANDS = {
    "run": _Command(help_texts.RUN, help_texts.RUN_FLAGS, _run),
    "audit": _Command(help_texts.AUDIT, help_texts.AUDIT_FLAGS, _audit),
    "show": _Command(plain_help.SHOW, {}, _show_workdir),
    "tensorboard": _Command(plain_help.TENSORBOARD, {}, _tensorboard),
    "compare": _Command(plain_help.COMPARE, {}, _compare),
    "serve": _Command(plain_help.SERVE, {}, _serve),
}
