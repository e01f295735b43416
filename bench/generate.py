"""Sampling against ``transformers.generate``: tokens a second, ours with and without ``strict``, one after the other in turn.

    python -m bench.generate MODEL_DIR [--batches 1,32,256] [--prompt 16] [--new 32] [--rounds 5] [--threads 0]
        [--device cpu|cuda] [--dtype float32|bfloat16]

Run from the root of the repository. All sample at temperature 1 without filters, with one key-value cache. `equal` and
`mixed` (a half to three halves of --prompt) sample the same number of new tokens everywhere. `stops` lets answers end at one
of enough ids that a random model meets one after --new / 2 tokens on average; new tokens up to the stop count. Ours also
returns log-probabilities, which transformers does not. A ratio is of wall time, and in brackets of processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from transformers import AttentionInterface, GenerationConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from bench.records import load_params
from bench.report import conditions, median_ratio, table
from py_worker import grouped_heads
from py_worker.generate import generate
from py_worker.load import load_model
from py_worker.model import Model


@dataclass(frozen=True)
class Case:
    """Prompts and what to sample for them."""

    name: str
    batch: int
    """Rows sampled at a time."""
    prompts: list[np.ndarray]
    new_tokens: int
    stop_ids: list[int]


Sampler = Callable[[Model, Case, int], int]
"""Samples with a seed and returns the number of new tokens that count."""
Took = tuple[float, float]
"""Wall and processor seconds a new token."""


def main(arguments: argparse.Namespace) -> None:
    settings = {"dtype": arguments.dtype, "device": arguments.device, "threads": arguments.threads or None}
    model = load_model(load_params(arguments.model, **settings))
    free = replace(model, strict=False)
    samplers: dict[str, tuple[Model, Sampler]] = {"transformers": (free, sample_transformers)}
    samplers["ours"] = (free, sample_ours)
    if model.strict:
        samplers["strict"] = (model, sample_ours)
    rows = []
    for case in cases(model, arguments):
        took = compare(case, samplers, arguments.rounds)
        base = took.pop("transformers")
        milliseconds = f"{1000 * median(wall for wall, _ in base):.3f}"
        rows.append([case.name, str(case.batch), milliseconds, *(ratio(base, own) for own in took.values())])
        print(rows[-1], file=sys.stderr)
    print(f"{conditions(arguments.device)}; prompts of {arguments.prompt}, {arguments.new} new tokens\n")
    print(table(["case", "batch", "transformers, ms a token", *(f"{name} ÷" for name in took)], rows))


def ratio(base: list[Took], ours: list[Took]) -> str:
    wall, processor = (median_ratio([b[i] for b in base], [o[i] for o in ours]) for i in (0, 1))
    return f"{wall:.2f} ({processor:.2f})"


def cases(model: Model, arguments: argparse.Namespace) -> list[Case]:
    random = np.random.default_rng(0)
    found = []
    for batch in (int(size) for size in arguments.batches.split(",")):
        length, new = arguments.prompt, arguments.new
        equal = [length] * batch
        mixed = random.integers(length // 2, length * 3 // 2, batch, endpoint=True).tolist()
        stops = list(range(max(1, 2 * model.vocab_size // new)))
        named = [("equal", equal, []), ("mixed", mixed, [])] if batch > 1 else [("equal", equal, [])]
        if batch > 1 and arguments.stops:
            named.append(("stops", random.permutation(mixed * 4).tolist(), stops))
        for name, lengths, stop_ids in named:
            prompts = [random.integers(3, model.vocab_size, size).astype(np.int32) for size in lengths]
            found.append(Case(name, batch, prompts, new, stop_ids))
    return found


def compare(case: Case, samplers: dict[str, tuple[Model, Sampler]], rounds: int) -> dict[str, list[Took]]:
    took: dict[str, list[Took]] = {name: [] for name in samplers}
    for turn in range(rounds + 1):
        for name in list(samplers) if turn % 2 == 0 else reversed(samplers):
            model, sampler = samplers[name]
            torch.use_deterministic_algorithms(model.strict)
            started, processor = time.perf_counter(), time.process_time()
            tokens = sampler(model, case, turn)
            if turn > 0:  # the first one warms up
                wall = time.perf_counter() - started
                took[name].append((wall / tokens, (time.process_time() - processor) / tokens))
    return took


def sample_ours(model: Model, case: Case, seed: int) -> int:
    lengths = [len(prompt) for prompt in case.prompts]
    answers = generate(
        model,
        np.concatenate(case.prompts),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.arange(len(lengths)) + 1000 * seed,
        max_new_tokens=case.new_tokens,
        stop_ids=case.stop_ids,
        max_rows=case.batch,
    )
    return len(answers.ids)


def sample_transformers(model: Model, case: Case, seed: int) -> int:
    torch.manual_seed(seed)
    limits = {"max_new_tokens": case.new_tokens, "pad_token_id": 0, "eos_token_id": case.stop_ids or None}
    config = GenerationConfig(do_sample=True, top_k=0, top_p=1.0, **limits)
    model.causal_lm.generation_config = config
    longest_first = sorted(case.prompts, key=len, reverse=True)
    AttentionInterface.register("sdpa", sdpa_attention_forward)
    tokens = 0
    for first in range(0, len(longest_first), case.batch):
        rows = longest_first[first : first + case.batch]
        width = max(map(len, rows))
        ids_BT = torch.from_numpy(np.stack([np.pad(row, (width - len(row), 0)) for row in rows])).long()
        mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            out_BT = model.causal_lm.generate(
                ids_BT.to(model.device), attention_mask=mask_BT.to(model.device), generation_config=config
            )[:, width:].cpu()
        stops_BT = torch.isin(out_BT, torch.tensor(case.stop_ids, dtype=torch.long)).long()
        tokens += int((stops_BT.cumsum(1) == stops_BT).sum())  # up to the first stop, that one included
    grouped_heads.install()
    return tokens


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--batches", default="1,32,256")
    parser.add_argument("--stops", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    for name, default in {"prompt": 16, "new": 32, "rounds": 5, "threads": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    main(parser.parse_args())
