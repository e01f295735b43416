"""Options of questions by log-likelihood: each question once with its options side by side, against one row for each option.

    python -m bench.choices MODEL_DIR ARC_JSONL [--items 25] [--rounds 3] [--threads 0]

Run from the root of the repository. ARC_JSONL has `question` and `choices.text`, as ARC's own files. `transformers` pads rows of like
length, sixteen at a time, to full logits, as lm-eval's `hf` model does.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch

from bench.records import load_params
from bench.report import conditions, median_ratio, table
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.score import score

BATCH = 16


def main(arguments: argparse.Namespace) -> None:
    model = load_model(load_params(arguments.model, device="cpu", threads=arguments.threads or None))
    rows, starts = read(model, arguments.questions, arguments.items)
    ways = {
        "transformers": lambda: sums_of_transformers(model, rows, starts),
        "a row an option": lambda: sums_of_ours(model, rows, starts, shares=False),
        "a row a question": lambda: sums_of_ours(model, rows, starts, shares=True),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    sums: dict[str, np.ndarray] = {}
    for turn in range(arguments.rounds + 1):
        for name in list(ways) if turn % 2 == 0 else reversed(ways):
            started = time.perf_counter()
            sums[name] = ways[name]()
            if turn > 0:  # the first one warms up
                took[name].append(time.perf_counter() - started)
    base, expected = took["transformers"], sums["transformers"]
    print(f"{conditions('cpu')}; {len(rows)} options of {arguments.items} questions\n")
    header = ["", "seconds", "times as fast as transformers", "largest difference of a sum, nats"]
    cells = [
        [
            name,
            f"{median(own):.2f}",
            f"{median_ratio(base, own):.2f}",
            f"{abs(sums[name] - expected).max():.1e}",
        ]
        for name, own in took.items()
    ]
    print(table(header, cells))


def read(model: Model, path: Path, items: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the ids of each option behind its question, and where the options start."""
    assert model.tokenizer is not None
    rows, starts = [], []
    for line in path.read_text().splitlines()[:items]:
        asked = json.loads(line)
        question = f"Question: {asked['question']}\nAnswer:"
        for option in asked["choices"]["text"]:
            rows.append(np.array(model.tokenizer(f"{question} {option}")["input_ids"], np.int32))
            starts.append(len(model.tokenizer(question)["input_ids"]))
    return rows, np.array(starts, np.int32)


def sums_of_ours(model: Model, rows: list[np.ndarray], starts: np.ndarray, *, shares: bool) -> np.ndarray:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    asked = starts if shares else None
    logprobs, _ = score(model, np.concatenate(rows), offsets, False, lambda: None, starts=asked)
    bounds = zip(pairwise(offsets), starts, strict=True)
    return np.array([logprobs[first + start : end].sum() for (first, end), start in bounds])


@torch.inference_mode()
def sums_of_transformers(model: Model, rows: list[np.ndarray], starts: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(rows))
    longest_first = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    for first in range(0, len(rows), BATCH):
        batch = longest_first[first : first + BATCH]
        width = len(rows[batch[0]])
        ids_BT = torch.from_numpy(
            np.stack([np.pad(rows[i], (0, width - len(rows[i]))) for i in batch])
        ).long()
        log_softmax_BTV = torch.log_softmax(model.causal_lm(ids_BT, use_cache=False).logits, -1)
        for row, i in enumerate(batch):
            places = torch.arange(int(starts[i]) - 1, len(rows[i]) - 1)
            sums[i] = float(log_softmax_BTV[row, places, ids_BT[row, places + 1]].sum())
    return sums


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    for name, default in {"items": 25, "rounds": 3, "threads": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    main(parser.parse_args())
