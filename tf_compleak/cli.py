"""The command line: the only place that reads flags. `tf-compleak run --help` explains them."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shlex
import sys
from pathlib import Path

from absl import flags

from tf_compleak import _checks

QUICKSTART = Path(__file__).parent / "flagfiles" / "quickstart.cfg"

ABOUT = """\
tf-compleak: what do compressed versions of a model tell about its training data?

Usage:
  tf-compleak run [flags]      train a target and shadows, compress them, attack, report
  tf-compleak run --help       every flag of that command, with examples
  tf-compleak --version

The quickest look (digits, twelve versions, half a minute on two cores):
  tf-compleak run --flagfile=quickstart
"""

RUN = """\
tf-compleak run: train a target model and shadow models, make the same compressed versions of each
with the TF Model Optimization Toolkit, query the .tflite files, fit membership inference attacks on
the shadows, score the target, and report what each release of versions leaks.

Examples:
  tf-compleak run                                          digits, all twelve versions
  tf-compleak run --flagfile=quickstart                    the same, from the shipped flagfile
  tf-compleak run --flagfile=flags/cifar10_resnet.cfg --data_dir=~/tensorflow_datasets
  tf-compleak run --versions=original,int8-ptq,pruning-0.80 --workdir=runs/three
  tf-compleak run --flagfile=runs/three/flags.cfg --workdir=runs/again      repeat a run

A workdir holds everything a study made; the same command continues where it was stopped. Releases:
NR, one version alone; SR, the original with one other; MR, two or more others, with or without it.
Exit codes: 0 done, 2 bad input or an unusable folder, 130 interrupted.
"""

# name, default (None: the study's), help. Grouped as --help shows them.
FLAGS = {
    "Data": [
        ("dataset", "digits | tfds:NAME[/config] | npz:PATH (arrays x, y) | image_folder:PATH"),
        ("data_dir", "folder of prepared TFDS data sets; nothing is ever downloaded"),
        ("tfds_split", "which TFDS examples to use, in TFDS's own notation, such as train+test"),
        ("num_members", "training examples of every family (target and shadows each)"),
        ("num_non_members", "examples of every family that its models never see"),
        (
            "split",
            "disjoint: every model has members and non-members of its own. halves: every model is "
            "trained on a random part of one pool of num_members + num_non_members examples",
        ),
        ("targets", "with halves: how many models play the target in turn, their scores pooled"),
        ("num_shadows", "shadow models, trained on other data, that attacks are fitted on"),
        ("num_validation", "slice that checkpoints are chosen on and accuracy drops measured on"),
        ("num_population", "slice in no model's training set, for attacks that need one"),
    ],
    "Model and training": [
        ("model", "convnet | resnet"),
        ("depth", "layers with weights; resnet: 6n + 2, such as 8, 20, 32"),
        ("width", "channels of the first layer"),
        ("epochs", "epochs of training; the one with the best validation accuracy is kept"),
        ("batch_size", "examples in a step, in training and fine-tuning"),
        ("learning_rate", "first learning rate of the cosine schedule"),
        ("momentum", "momentum of SGD"),
        ("weight_decay", "weight decay, added to the gradient"),
        ("augmentation", "any of flip, crop; on training batches only, never when observed"),
    ],
    "Versions": [
        (
            "versions",
            "versions to make: original, pruning-0.NN, clustering-N, int8-qat, "
            "int8-ptq, dynamic-ptq, float16-ptq",
        ),
        ("finetune_epochs", "epochs of fine-tuning of pruning, clustering and int8-qat"),
        ("pruning_learning_rate", "first learning rate of pruning"),
        ("clustering_learning_rate", "first learning rate of clustering (averaged gradients)"),
        ("quantization_learning_rate", "first learning rate of int8-qat"),
        (
            "calibration",
            "validation | members: what int8-ptq finds its activation ranges on; "
            "validation examples are in no training set",
        ),
        ("calibration_size", "how many of them"),
        ("max_accuracy_drop", "a version that loses more validation accuracy counts as failed"),
    ],
    "Attacks": [
        (
            "attacks",
            "NR: confidence, loss, entropy, modified-entropy (also with -global), "
            "shokri-, nasr- (lr, rf, mlp), samia; SR: sr1-, sr2- (lr, rf, mlp); MR: mr; "
            "any release: tabular, rmia, lira-offline, lira-online, lira-boosted",
        ),
        (
            "releases",
            "releases to attack, each as names joined by +, such as "
            "original+int8-ptq,int8-ptq; empty: every version alone, the original with "
            "each other one, and all with and without the original",
        ),
        (
            "threads",
            "threads of each process, in TensorFlow and in the .tflite interpreter; another "
            "number rounds sums differently, so it is part of the study",
        ),
        (
            "shadow_counts",
            "attacker strength: attack again with that many of the shadows, such as 1,2,4,8",
        ),
        (
            "queries",
            "flipped and shifted copies of every example that lira-boosted may ask about, too",
        ),
        ("sensitivity_queries", "noisy copies of every example that samia asks about"),
        ("sensitivity_epsilon", "standard deviation of that noise, in the unit of the inputs"),
        ("delta", "delta of the (epsilon, delta) bound in report.json"),
        ("seed", "the one seed that every stage derives its own from"),
    ],
    "Running": [
        ("workdir", "folder of the study; made if missing, refused if another study's"),
        ("overwrite", "use the workdir all the same; finished stages that still fit are kept"),
        ("workers", "processes; 0: one per core, up to 8"),
        ("executor", "processes | inline (everything in this process, for debugging)"),
    ],
}


REMEDIES = {
    "No space left": "free some space; the same command continues from what is finished.",
    "Disk quota exceeded": "free some space; the same command continues from what is finished.",
    "Permission denied": "name a --workdir that you may write to.",
    "Read-only file system": "name a --workdir that you may write to.",
}


class _UsageError(ValueError):
    """A command line that cannot be understood."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are one line on stderr."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        print("\ntf-compleak: interrupted; the same command continues from here.", file=sys.stderr)
        return 130
    except (ValueError, OSError, flags.Error) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text += next((f"; {hint}" for sign, hint in REMEDIES.items() if sign in text), "")
        print(f"tf-compleak: {text}", file=sys.stderr)
        return 2


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command in ("--help", "-h", "-help", "help", "--helpfull"):
        print(ABOUT)
        return 0
    if command == "--version":
        from tf_compleak import __version__

        print(f"tf-compleak {__version__}")
        return 0
    if command != "run":
        raise _UsageError(
            f"unknown command {command!r}; the only one is: run. See tf-compleak --help."
        )
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in arguments[1:]):
        print(_help())
        return 0
    return _run(arguments[1:])


def _define() -> flags.FlagValues:
    from tf_compleak.study import Options, Study

    values = flags.FlagValues()
    owned = {f.name: f.default for f in (*_fields(Options), *_fields(Study))}
    owned["workdir"] = "runs/study"
    for group in FLAGS.values():
        for name, text in group:
            _define_one(values, name, owned[name], text)
    return values


def _fields(kind) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(kind)


def _define_one(values: flags.FlagValues, name: str, default, text: str) -> None:
    define = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple: flags.DEFINE_list,
    }.get(type(default), flags.DEFINE_string)
    if isinstance(default, tuple):
        default = list(default)
    define(name, default, text, flag_values=values)


def _help() -> str:
    values = _define()
    lines = [RUN]
    for title, group in FLAGS.items():
        lines.append(f"{title}:")
        for name, text in group:
            default = (values[name].default_as_str or "'none'").strip("'")
            lines.append(f"  --{name}\n      {text}\n      (default: {default})")
        lines.append("")
    lines.append(
        "  --flagfile\n      file with one flag a line; `quickstart` is shipped with this tool"
    )
    return "\n".join(lines)


def _parse(arguments: list[str]) -> flags.FlagValues:
    values = _define()
    arguments = [
        f"--flagfile={QUICKSTART}"
        if word in ("--flagfile=quickstart", "-flagfile=quickstart")
        else word
        for word in arguments
    ]
    try:
        rest = values(["tf-compleak run", *arguments])[1:]
    except UnicodeDecodeError as error:
        named = [word for word in arguments if "flagfile" in word]
        raise _UsageError(f"{' '.join(named)}: is not a text file; name a flagfile.") from error
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), n=1)
        hint = f" Did you mean --{near[0]}?" if near else ""
        text = f"unknown flag --{error.flagname}.{hint} See tf-compleak run --help."
        raise _UsageError(text) from error
    if rest:
        raise _UsageError(f"unexpected {rest[0]!r}; flags are written --name=value.")
    return values


def _study(values: flags.FlagValues):
    from tf_compleak.study import Study

    fields = {f.name: getattr(values, f.name) for f in _fields(Study)}
    for name in ("augmentation", "versions", "attacks"):
        fields[name] = tuple(fields[name])
    fields["shadow_counts"] = tuple(_counts(fields["shadow_counts"]))
    fields["releases"] = tuple(tuple(text.split("+")) for text in fields["releases"])
    return Study(**fields)


def _counts(words: list[str]) -> list[int]:
    wrong = [word for word in words if not word.strip().isdecimal()]
    if wrong:
        raise _UsageError(f"--shadow_counts: {wrong[0]!r} is no number; write 1,2,4.")
    return [int(word) for word in words]


def _flagfile(values: flags.FlagValues, command: str) -> str:
    names = [name for group in FLAGS.values() for name, _ in group]
    lines = [f"# {command}", "# The flags of this study, resolved. Repeat it elsewhere with:"]
    lines.append("#   tf-compleak run --flagfile=THIS_FILE --workdir=ANOTHER_FOLDER")
    lines += [
        values[name].serialize()
        for name in names
        if name not in ("overwrite",) and values[name].value is not None
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _run(arguments: list[str]) -> int:
    values = _parse(arguments)
    study = _study(values)
    if not values.workdir:
        raise _UsageError("--workdir: empty; name a folder for the study.")
    _checks.choice("--executor", values.executor, ("processes", "inline"))
    _checks.between("--workers", values.workers, 0, 1024)
    from rich.console import Console

    from tf_compleak import pipeline
    from tf_compleak._progress import Live
    from tf_compleak.report import html, text
    from tf_compleak.study import Options
    from tf_compleak.workdir import write_text

    command = shlex.join(["tf-compleak", "run", *arguments])
    flagfile = _flagfile(values, command)
    options = Options(
        workdir=os.path.expanduser(values.workdir),
        data_dir=values.data_dir and os.path.expanduser(values.data_dir),
        overwrite=values.overwrite,
        workers=values.workers,
        executor=values.executor,
        command=command,
        flags=flagfile,
    )
    with Live(Console(stderr=True)) as live:
        report = pipeline.run(study, options, live.tell)
    root = Path(options.workdir)
    write_text(root / "report.html", html.render(report))
    with contextlib.suppress(BrokenPipeError):
        text.print_report(report, Console())
    return 0
