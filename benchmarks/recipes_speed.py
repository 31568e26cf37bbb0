"""How long do the post-training versions of one family take: litert-quantizer, and the converter?

Both make the same kinds of versions, in turns, in one process: the converter from the traced model,
litert-quantizer from the float `.tflite` file. That file is the original's, which a run makes once
a family: its time stands in a row of its own. CPU seconds, so that other work on the machine does
not count. `dynamic-ptq` of a run is litert-quantizer's, bit for bit the converter's; the static
ones differ in rounding by more than a step and are versions of their own.
"""

import argparse
import itertools
import statistics
import time

import numpy as np

from tf_compleak.compression import litert, recipes, tflite
from tf_compleak.models import ModelSpec
from tf_compleak.types import seeds

MODELS = {
    "resnet, depth 8, width 16": ModelSpec("resnet", 8, 16, (32, 32, 3), 10),
    "resnet, depth 20, width 16": ModelSpec("resnet", 20, 16, (32, 32, 3), 10),
}
PAIRS = {  # the converter's: litert-quantizer's
    "dynamic-ptq": "dynamic-ptq",
    "int8-ptq": "int8-static",
    "int16x8-ptq": "int16-static",
}


def measure(spec: ModelSpec, turns: int, calibration: int) -> list[str]:
    """Rows of the table for one model: by pair of versions, and all of them."""
    rng = seeds.generator(0, "recipes")
    x = rng.random((calibration, *spec.input_shape), dtype=np.float32)
    weights = tflite.plain(spec)[0].get_weights()
    took = {name: ([], []) for name in PAIRS}
    exports = []
    for turn in range(turns + 1):  # the first is not counted: it traces and imports
        start = time.process_time()
        content = tflite.export(spec, weights)
        exports += [time.process_time() - start] if turn else []
        for name, other in PAIRS.items():
            start = time.process_time()
            tflite.export(spec, weights, recipes.parse(name), x)
            converted = time.process_time()
            if other == name:
                litert.quantize_dynamic(content)
            else:
                litert.quantize(recipes.parse(other), content, x)
            stops = (start, converted, time.process_time())
            for times, (begin, end) in zip(took[name], itertools.pairwise(stops), strict=True):
                times += [end - begin] if turn else []
    took["all three"] = tuple(
        [sum(turn) for turn in zip(*(times[part] for times in took.values()), strict=True)]
        for part in range(2)
    )
    names = {**PAIRS, "all three": "all three"}
    float_file = f"| original, once a family | the same | {statistics.median(exports):.3f} | | |"
    return [float_file, *(_row(name, names[name], *times) for name, times in took.items())]


def _row(name: str, other: str, converter: list, file: list) -> str:
    cells = [f"{statistics.median(times):.3f}" for times in (converter, file)]
    ratios = sorted(mine / theirs for mine, theirs in zip(file, converter, strict=True))
    low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
    return f"| {name} | {other} | {' | '.join(cells)} | {middle:.3f} ({low:.3f} to {high:.3f}) |"


def main() -> None:
    """Print the tables, and write them with --write."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--turns", type=int, default=5)
    flags.add_argument("--calibration", type=int, default=100, help="examples")
    flags.add_argument("--write", action="store_true", help="write the tables into README.md")
    args = flags.parse_args()
    head = (
        "| converter | litert-quantizer | converter, CPU s | from the float file, CPU s | ratio |\n"
        "|---|---|---|---|---|\n"
    )
    tables = [
        f"{name}:\n\n{head}" + "\n".join(measure(spec, args.turns, args.calibration))
        for name, spec in MODELS.items()
    ]
    text = "\n\n".join(tables) + (
        f"\n\n{args.turns} turns, {args.calibration} examples for calibration; median (range). "
        "A ratio below 1: litert-quantizer is faster."
    )
    print(text)
    if args.write:
        from results import write_section

        write_section("recipes_speed.py", text)


if __name__ == "__main__":
    main()
