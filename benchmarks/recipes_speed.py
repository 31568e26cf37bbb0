"""How long do the post-training versions of one family take: litert-quantizer, and the converter?

Both make the same kinds of versions, in turns, in one process: the converter from the traced model,
as `run` does; litert-quantizer from the float `.tflite` file (made once, before) and as `run` does,
which makes that file first.
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
    "dynamic-ptq": "int8-dynamic",
    "int8-ptq": "int8-static",
    "int16x8-ptq": "int16-static",
}


def measure(spec: ModelSpec, turns: int, calibration: int) -> list[str]:
    """Rows of the table for one model: by pair of versions, and all of them."""
    rng = seeds.generator(0, "recipes")
    x = rng.random((calibration, *spec.input_shape), dtype=np.float32)
    weights = tflite.plain(spec)[0].get_weights()
    content = tflite.export(spec, weights)
    took = {name: ([], [], []) for name in PAIRS}
    for turn in range(turns + 1):  # the first is not counted: it traces and imports
        for name, other in PAIRS.items():
            recipe, quantized = recipes.parse(name), recipes.parse(other)
            start = time.perf_counter()
            tflite.export(spec, weights, recipe, x)
            converted = time.perf_counter()
            litert.quantize(quantized, content, x)
            from_file = time.perf_counter()
            litert.quantize(quantized, tflite.export(spec, weights), x)
            stops = (start, converted, from_file, time.perf_counter())
            for times, (begin, end) in zip(took[name], itertools.pairwise(stops), strict=True):
                times += [end - begin] if turn else []
    took["all three"] = tuple(
        [sum(turn) for turn in zip(*(times[part] for times in took.values()), strict=True)]
        for part in range(3)
    )
    names = {**PAIRS, "all three": "all three"}
    return [_row(name, names[name], *times) for name, times in took.items()]


def _row(name: str, other: str, converter: list, file: list, whole: list) -> str:
    cells = [f"{statistics.median(times):.3f}" for times in (converter, file, whole)]
    for times in (file, whole):
        ratios = sorted(mine / theirs for mine, theirs in zip(times, converter, strict=True))
        low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
        cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    return f"| {name} | {other} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables, and write them with --write."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--turns", type=int, default=5)
    flags.add_argument("--calibration", type=int, default=100, help="examples")
    flags.add_argument("--write", action="store_true", help="write the tables into README.md")
    args = flags.parse_args()
    head = (
        "| converter | litert-quantizer | converter, s | from the float file, s | "
        "as `run` makes it, s | ratio, from the file | ratio, as `run` makes it |\n"
        "|---|---|---|---|---|---|---|\n"
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
