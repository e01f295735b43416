"""lm-eval's Hugging Face model without weights: it notes what is to be asked, or takes answers that a worker gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch

from py_worker.pretrained import load_config, load_tokenizer
from py_worker.source import base_of_adapter, find_source


class UnsupportedTaskError(Exception):
    """A task asks for what a worker cannot do."""


def asking_model(
    model: Mapping[str, Any], tasks: Mapping[str, Any], answers: Iterator[Any] | None = None
) -> Any:
    """Return an ``LM`` with the tokenizer of ``model`` ({model, revision, trust_remote_code, max_length}).

    Without ``answers`` every request is noted in ``asked`` and answered with nothing. Ids, few-shot examples, the chat template and
    truncation are those of lm-eval's own ``hf`` model, of which this is a subclass.
    """
    utils = import_module("lm_eval.models.utils")
    base_class: Any = import_module("lm_eval.models.huggingface").HFLM
    source = find_source(model["model"], model["revision"])
    base = base_of_adapter(source) if source.is_adapter else source
    config = load_config(base, model["trust_remote_code"])
    tokenizer = load_tokenizer([source, base], model["trust_remote_code"], True)
    reads_greedy = {name: _reads_greedy(task) for name, task in tasks.items()}

    class Asking(base_class):
        def __init__(self) -> None:
            super().__init__(
                pretrained=SimpleNamespace(device=torch.device("cpu"), config=config),
                backend="causal",
                tokenizer=tokenizer,
                max_length=model["max_length"],
                batch_size=10**9,  # only of rolling windows, which are asked all together
            )
            self.asked: list[dict[str, Any]] = []
            self._placed: list[dict[str, Any]] = []

        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[Any]:
            if answers is not None:  # nothing needs to be tokenised again
                return [_likelihood(answers) for _ in requests]
            self._placed = [_place(one) | {"greedy": reads_greedy[one.task_name]} for one in requests]
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
            self._placed = []
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
            if answers is not None:
                return [_likelihood(answers) for _ in requests]
            placed = self._placed or [{"greedy": False}] * len(
                requests
            )  # windows of whole texts have no place
            for (_, context, continuation), place in zip(requests, placed, strict=True):
                self.asked.append(_scored(context, continuation, self.max_length) | place)
            return [(-1.0, False)] * len(requests)

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
            return [self._generate(request) for request in requests]

        def _generate(self, request: Any) -> str:
            context, settings = request.args
            rest = dict(utils.normalize_gen_kwargs(settings, self.max_gen_toks))
            until = utils.handle_stop_sequences(rest.pop("until", None), eos=None)
            if answers is not None:
                eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
                said = self.tok_decode(_next(answers)["ids"])
                return utils.postprocess_generated_text(said, [*until, eos], None)
            count = rest.pop("max_gen_toks")
            if count >= self.max_length:
                raise UnsupportedTaskError(
                    f"it asks for {count} new tokens, and the model has room for {self.max_length} with the prompt"
                )
            ids = self.tok_encode(context, left_truncate_len=self.max_length - count)
            self.asked.append(
                {"prompt": ids, "until": until, "maxNewTokens": count} | _sampling(rest) | _place(request)
            )
            return ""

    return Asking()


def _place(request: Any) -> dict[str, Any]:
    return {"task": request.task_name, "document": request.doc_id}


def _scored(context: list[int], continuation: list[int], max_length: int) -> dict[str, Any]:
    """Return ids cut on the left as lm-eval does, and where the continuation starts in them."""
    if not 0 < len(continuation) <= max_length:
        raise UnsupportedTaskError(f"one of its continuations has {len(continuation)} tokens")
    ids = (context + continuation)[-(max_length + 1) :]
    return {"ids": ids, "start": len(ids) - len(continuation)}


def _sampling(rest: dict[str, Any]) -> dict[str, Any]:
    """Return how answers are drawn: greedily unless the task says otherwise."""
    is_sampled = rest.pop("do_sample", False)
    temperature, top_p, top_k = rest.pop("temperature", 0.0), rest.pop("top_p", 1.0), rest.pop("top_k", 0)
    if rest:
        raise UnsupportedTaskError(f"it generates with {', '.join(sorted(rest))}")
    return {"temperature": (temperature or 1.0) if is_sampled else 0.0, "topP": top_p, "topK": top_k}


def _reads_greedy(task: Any) -> bool:
    """Say whether a task asks if a continuation is the likeliest one, which can cost another pass."""
    return task.OUTPUT_TYPE != "multiple_choice" or "exact_match" in getattr(task, "_metric_fn_list", {})


def _likelihood(answers: Iterator[Any]) -> tuple[float, bool]:
    total, is_greedy = _next(answers)
    return total, is_greedy


def _next(answers: Iterator[Any]) -> Any:
    found = next(answers, None)
    if found is None:
        raise RuntimeError(
            "there are fewer answers than requests: the task asks for other things than before"
        )
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what lm-eval and the programs that it starts (git) print; failures are exceptions."""
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)  # stdout is the program's that asks, see side.py
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)
