"""Sample answers to prompts: ids in; ids, log-probabilities and reasons to end out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from py_worker.answers import Answers, Parts
from py_worker.attention_kind import independent_positions
from py_worker.decode import decode, slots_of
from py_worker.decode_grouped import decode_grouped
from py_worker.model import Check, Model
from py_worker.prompts import checked_prompts, require_sampling
from py_worker.request import Answer, Progress, Request
from py_worker.row_budget import default_rows
from py_worker.sampling import Sampling
from py_worker.stop_texts import StopTexts
from py_worker.strict import CUDA_ROWS, sampling_kernels, widened


def generate(
    model: Model,
    ids: np.ndarray,
    offsets: np.ndarray,
    seeds: np.ndarray,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    stop_ids: Sequence[int] = (),
    stop_texts: StopTexts | None = None,
    max_rows: int | None = None,
    on_progress: Progress = lambda done, total, tokens: None,
    on_part: Callable[[Answers], None] | None = None,
    check: Check = lambda: None,
) -> Answers:
    """Sample one answer per prompt; prompt i is ``ids[offsets[i]:offsets[i + 1]]`` and draws from ``seeds[i]`` alone.

    Token t of an answer is drawn with a number that depends on (seed, t) only. With ``model.strict`` logits too are
    independent of the other rows, hence ids and log-probabilities bit-equal in any batch; otherwise neighbours may
    change the last bits of logits, and thereby, rarely, a token. With ``on_part`` answers leave through it as they finish, also
    when an error ends the rest, and the last of them are returned. Raise BAD_PARAMS before any work, NON_FINITE on the way.
    """
    sampling = Sampling(temperature, top_p, top_k)
    require_sampling(model, sampling, max_new_tokens, stop_ids, max_rows)
    prompts = checked_prompts(model, ids, offsets, seeds, max_new_tokens)
    is_stop_V = np.zeros(model.vocab_size, bool)
    is_stop_V[list(stop_ids)] = True
    longest = max((len(prompt) for prompt in prompts), default=1) + max_new_tokens
    rows = max_rows or default_rows(model, slots_of(longest))
    if model.strict and model.device.type == "cuda":
        rows = min(rows, CUDA_ROWS)
    parts = Parts(on_part, stop_texts)
    request = Request(
        prompts,
        seeds.astype(np.uint64),
        max_new_tokens,
        sampling,
        is_stop_V,
        stop_texts,
        rows,
        on_progress,
        check,
        parts.deliver,
    )
    answers: dict[int, Answer] = {}
    sample = decode if _fits_row_cache(model, longest) else decode_grouped
    exactly = widened(model.causal_lm) if model.strict else nullcontext()
    with torch.inference_mode(), _evaluating(model), sampling_kernels(model.device), exactly:
        try:
            sample(model, request, answers)
        except BaseException:
            parts.flush(answers)
            raise
    return parts.pack(answers)


def _fits_row_cache(model: Model, tokens: int) -> bool:
    return model.row_cache and tokens <= (independent_positions(model) or tokens)


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Switch dropout off for a while."""
    was_training = model.network.training
    model.network.eval()
    try:
        yield
    finally:
        model.network.train(was_training)
