"""Training against TRL's SFTTrainer and a naive loop: time, memory, same rows, same order, full fine-tuning, no checkpointing.

    PY -m bench.trl_compare MODEL_DIR TRAIN_JSONL [--rows 8] [--steps 3] [--threads 2] [--only ours,trl,…]
        [--device cpu|cuda] [--dtype float32|bfloat16]

Run from the root of the repository with an environment of its own (bench/README.md). Every variant is a process of its own, for
its peak memory; all are alive at once and take a step in turn, A B C D A B C D, so all need to fit into memory together. A step
is --rows rows; the first, which allocates, does not count. Peak memory is VmHWM since the model was loaded; on CUDA that of torch.

`naive`: rows padded on the right to the longest, full logits, cross-entropy. `trl`: SFTTrainer with its defaults, which apply the
head in chunks as well. `trl_padding_free`: the rows of a step in one packed row, what packing does for the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.report import conditions, median_ratio, table
from bench.trl_variants import VARIANTS, run_variant
from py_worker.mkl import set_branch

Report = dict[str, Any]


def main(arguments: argparse.Namespace) -> None:
    names = arguments.only.split(",")
    children = {name: start(name, arguments) for name in names}
    try:
        ready = {name: read(child) for name, child in children.items()}
        steps = take_turns(children, arguments.steps)
    finally:
        for child in children.values():
            child.kill()
    torch.set_num_threads(arguments.threads)
    print(
        f"{conditions(arguments.device)}; {arguments.model}, {arguments.steps} steps of {arguments.rows} rows\n"
    )
    base = steps["trl" if "trl" in names else names[0]]
    print(table(HEADER, [cells(name, steps[name], base, ready[name]) for name in names]))


def take_turns(children: dict[str, subprocess.Popen[str]], count: int) -> dict[str, list[Report]]:
    steps: dict[str, list[Report]] = {name: [] for name in children}
    for turn in range(count + 1):
        for name in list(children) if turn % 2 == 0 else reversed(children):
            assert children[name].stdin
            children[name].stdin.write("step\n")
            children[name].stdin.flush()
            report = read(children[name])
            print(
                f"step {turn} of {name}: {report['seconds']:.1f} s, loss {report['loss']:.4f}",
                file=sys.stderr,
            )
            if turn > 0:
                steps[name].append(report)
    return steps


HEADER = [
    "variant",
    "tokens/s",
    "speed ÷ trl",
    "by CPU time",
    "peak, MiB",
    "peak ÷ trl",
    "before training, MiB",
    "optimiser, % of step",
    "loss",
]


def cells(name: str, steps: list[Report], base: list[Report], ready: Report) -> list[str]:
    """Tokens are those of the rows, padding not counted; a packed step may hold more rows than another's."""
    speed = [step["tokens"] / step["seconds"] for step in steps]
    processor = [step["tokens"] / step["cpu"] for step in steps]
    return [
        name,
        f"{median(speed):.1f}",
        f"{median_ratio(speed, [step['tokens'] / step['seconds'] for step in base]):.2f}",
        f"{median_ratio(processor, [step['tokens'] / step['cpu'] for step in base]):.2f}",
        f"{steps[-1]['peak'] / 2**20:.0f}",
        f"{steps[-1]['peak'] / base[-1]['peak']:.2f}",
        f"{ready['memory'] / 2**20:.0f}",
        f"{100 * median(step['optimizer'] / step['seconds'] for step in steps):.0f}",
        " ".join(f"{step['loss']:.3f}" for step in steps),
    ]


def start(name: str, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    settings = {**vars(arguments), "variant": name}
    command = [sys.executable, "-m", "bench.trl_compare", "--one", json.dumps(settings)]
    set_branch()
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as the worker has them
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def read(child: subprocess.Popen[str]) -> Report:
    """Read the next report; trainers print lines of their own."""
    assert child.stdout
    for line in child.stdout:
        if line.startswith("REPORT "):
            return json.loads(line.removeprefix("REPORT "))
    raise RuntimeError("a variant ended; its error is above")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_variant(json.loads(sys.argv[2]))
        sys.exit()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    for option, default in {"rows": 8, "steps": 3, "threads": os.cpu_count() or 1}.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    main(parser.parse_args())
