"""The verbs of a vLLM sampler: those of the trainer that need no gradients, with the same replies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from py_worker import protocol
from py_worker.answers import Parts
from py_worker.errors import WorkerError
from py_worker.job import Job, Reply
from py_worker.manifest import MANIFEST_FILE, damaged
from py_worker.prompts import checked_prompts, require_sampling
from py_worker.sampling import Sampling
from py_worker.save import require_as_saved
from py_worker.sequences import asked_tokens, validate_sequences
from py_worker.status import status
from py_worker.stop_texts import stop_texts
from py_worker.text_verbs import decode_ids, encode_examples, tokenizer_of
from py_worker.translate import answer_tensors, require_finite
from py_worker.vllm.engine import Engine, EngineOptions, score
from py_worker.vllm.library import VERSION, device_name, has_bfloat16_units, is_batch_invariant, is_cpu
from py_worker.vllm.sample import Asked, require_temperature, sample
from py_worker.vllm.versions import check_version
from py_worker.vllm.weights import Held, can_reload, digest_of, hold, require_same_table
from py_worker.wire import Tensors

FIRST_LONGEST = 4096
"""Tokens that an engine is built for where the model takes more; a longer request has it built anew."""
BEAT_SECONDS = 5.0


class Session:
    """The weights of this process and the engine that holds them."""

    def __init__(self) -> None:
        self._version_note = check_version(VERSION)
        self._held: Held | None = None
        self._engine: Engine | None = None
        self._in_engine: Held | None = None
        """What the engine was built from or last took; it stays when a later load is refused."""
        self._params: protocol.LoadParams | None = None
        self._digest: str | None = None
        self._handlers: dict[str, Callable[[Any, Tensors, Job], Reply]] = {
            "load": self.load,
            "encode": self.encode,
            "decode": self.decode,
            "forward": self.forward,
            "generate": self.generate,
            "status": self.status,
        }

    def run(self, job: Job) -> Reply:
        """Run one request."""
        job.check()
        params, tensors = job.decode()
        handler = self._handlers.get(job.request.op)
        if handler is None:
            raise WorkerError(
                "UNKNOWN_VERB",
                f"this worker samples with vLLM and cannot `{job.request.op}`: ask the trainer, the PyTorch worker",
            )
        return handler(params, tensors, job)

    @property
    def held(self) -> Held:
        """What is loaded; raises NO_MODEL."""
        if self._held is None:
            raise WorkerError("NO_MODEL", "no model is loaded")
        return self._held

    def load(self, params: protocol.LoadParams, _: Tensors, job: Job) -> Reply:
        """Headers, digest, weights, cache, a trial: each step catches what the next would take in silence."""
        self._held, self._digest = None, None
        _refuse_training(params)
        _refuse_strict(params)
        _require_device(params.device)
        require_as_saved(params.model, params.expected_digest)
        dtype = _dtype(params)
        held = hold(params, dtype)
        before = self._in_engine
        if before is not None and before.shape == held.shape:
            require_same_table(held, before)
        digest = self._checked_digest(held, params)
        job.check()
        options = EngineOptions(dtype, self._longest(held, 0), params.trust_remote_code, params.seed)
        with _beating(job.beat):
            self._bring_in(held, options)
            self._try(held)
        self._held, self._params, self._digest = held, params, digest
        return self._info(), {}

    def _checked_digest(self, held: Held, params: protocol.LoadParams) -> str | None:
        expected = params.expected_digest
        if expected is not None and (held.source.directory / MANIFEST_FILE).is_file():
            return expected  # every file was found to be as it was saved
        digest = digest_of(held, params.dtype) if params.digest or expected is not None else None
        if expected not in (None, digest):
            raise damaged(held.source.directory, f"weights {digest}", f"weights {expected}")
        return digest

    def _bring_in(self, held: Held, options: EngineOptions) -> None:
        """Reload where the engine can take these weights in place, else start one."""
        engine, before = self._engine, self._in_engine
        if (
            engine is not None
            and before is not None
            and engine.options == options
            and can_reload(held, before)
        ):
            try:
                engine.reload(held.directory)
            except Exception:  # noqa: BLE001 - whatever it was, the engine is spoilt, and a new one says what is wrong
                pass
            else:
                self._in_engine = held
                return
        self._start(held, options)

    def _start(self, held: Held, options: EngineOptions) -> None:
        self.close()
        self._engine = Engine(held.directory, options)
        self._in_engine = held

    def _try(self, held: Held) -> None:
        """Raise BAD_MODEL where the weights make no numbers; the first pass of an engine is slow besides."""
        ids = np.arange(min(4, held.max_positions or 4), dtype=np.int32) % held.vocab_size
        for _, logprobs in score(self._required_engine(), [ids]):
            if not np.isfinite(logprobs).all():
                raise WorkerError(
                    "BAD_MODEL",
                    f"Model {held.source.directory} computes NaN: its training diverged, or its files are damaged. Use an earlier "
                    "checkpoint, or copy the files again.",
                    {"reason": "non_finite_logits"},
                )

    def encode(self, params: protocol.EncodeParams, _: Tensors, job: Job) -> Reply:
        """Ids of text or messages."""
        return encode_examples(self.held, self.held.eos_ids, params)

    def decode(self, params: protocol.DecodeParams, tensors: Tensors, job: Job) -> Reply:
        """Text of ids."""
        return decode_ids(self.held, params, tensors)

    def forward(self, params: protocol.ForwardParams, tensors: Tensors, job: Job) -> Reply:
        """Log-probabilities of given ids."""
        if params.return_entropy or params.top_k > 0 or params.kept or params.other is not None:
            raise WorkerError(
                "BAD_PARAMS",
                "returnEntropy and kept must be false, topK 0 and other null: vLLM gives none; ask the trainer, the PyTorch worker",
            )
        ids, offsets = tensors["ids"], tensors["offsets"]
        lengths = validate_sequences(self.held, ids, offsets)
        is_asked = asked_tokens(tensors["starts"], lengths) if "starts" in tensors else None
        engine = self._engine_for(int(lengths.max()), job)
        logprobs = np.zeros(len(ids), np.float32)
        for place, found in score(engine, np.split(ids, offsets[1:-1])):
            logprobs[offsets[place] + 1 : offsets[place + 1]] = found
            job.check()
        if is_asked is not None:
            logprobs[~is_asked] = 0.0
        require_finite(logprobs, offsets)
        result = protocol.ForwardResult(tokens=len(ids), weights_digest=self._digest)
        return result, {"logprobs": logprobs}

    def generate(self, params: protocol.GenerateParams, tensors: Tensors, job: Job) -> Reply:
        """Sample an answer to each prompt; those that finish early leave in parts."""
        held = self.held
        sampling = Sampling(params.temperature, params.top_p, params.top_k)
        require_sampling(held, sampling, params.max_new_tokens, params.stop_ids, params.max_rows)
        require_temperature(params.temperature)
        seeds = tensors["seeds"]
        prompts = checked_prompts(held, tensors["ids"], tensors["offsets"], seeds, params.max_new_tokens)
        texts = stop_texts(tokenizer_of(held), params.stop_texts) if params.stop_texts else None
        asked = Asked(
            prompts,
            seeds,
            params.max_new_tokens,
            sampling,
            tuple(params.stop_ids),
            texts,
            params.max_rows,
            job.progress,
            job.check,
        )
        longest = max((len(prompt) for prompt in prompts), default=0) + params.max_new_tokens
        parts = Parts(lambda part: job.part(answer_tensors(part)), texts)
        answers, tokens = sample(self._engine_for(longest, job), asked, parts)
        result = protocol.GenerateResult(new_tokens=tokens, weights_digest=self._digest)
        return result, answer_tensors(parts.pack(answers))

    def status(self, params: protocol.StatusParams, _: Tensors, job: Job) -> Reply:
        """Facts about the process and the model."""
        if params.digest and self._digest is None and self._params is not None:
            self._digest = digest_of(self.held, self._params.dtype)
        facts = status(torch.device("cpu"))
        facts["versions"] |= {"vllm": VERSION}
        facts["device_name"] = device_name()
        return protocol.StatusResult(**facts, model=self._info() if self._held else None), {}

    def close(self) -> None:
        """End the engine."""
        engine, self._engine, self._in_engine = self._engine, None, None
        if engine is not None:
            engine.close()

    def _required_engine(self) -> Engine:
        if self._engine is None:
            raise WorkerError("NO_MODEL", "no engine runs")
        return self._engine

    def _engine_for(self, tokens: int, job: Job) -> Engine:
        """Return the engine, built anew where it is too small for sequences of so many tokens."""
        engine, held = self._required_engine(), self.held
        if tokens >= engine.options.longest:
            before = engine.options
            longest = self._longest(held, tokens)
            options = EngineOptions(before.dtype, longest, before.trust_remote_code, before.seed)
            with _beating(job.beat):
                self._start(held, options)
        return self._required_engine()

    def _longest(self, held: Held, tokens: int) -> int:
        """Return what to build an engine for: twice what was asked, a first guess at least, and never more than the model takes."""
        kept = self._engine.options.longest - 1 if self._engine is not None else 0
        most = held.max_positions or max(2 * tokens, kept, FIRST_LONGEST)
        return min(most, max(2 * tokens, kept, FIRST_LONGEST)) + 1

    def _info(self) -> protocol.ModelInfo:
        held, params = self.held, self._params
        assert params is not None
        tokenizer: Any = held.tokenizer
        dtype = _dtype(params)
        return protocol.ModelInfo(
            architecture=(held.config.architectures or ["unknown"])[0],
            parameter_count=held.parameter_count,
            trainable_parameter_count=0,
            vocab_size=held.vocab_size,
            max_positions=held.max_positions,
            eos_token_ids=held.eos_ids,
            bos_token_id=tokenizer.bos_token_id if tokenizer else None,
            pad_token_id=tokenizer.pad_token_id if tokenizer else None,
            has_chat_template=bool(tokenizer and tokenizer.chat_template),
            dtype=params.dtype,
            compute_dtype=dtype,
            device=_device(),
            attention="vllm",
            layout="pack",
            token_budget=params.token_budget or 0,
            gradient_checkpointing=False,
            torch_compile=False,
            strict_sampling=is_batch_invariant(),
            optimizer_steps=0,
            weights_digest=self._digest,
            files_digest=held.files_digest,
            notes=[note for note in (self._version_note,) if note],
        )


def _refuse_training(params: protocol.LoadParams) -> None:
    if params.restore_training_state:
        raise WorkerError(
            "BAD_PARAMS",
            "restoreTrainingState: this worker samples with vLLM and trains nothing; ask the trainer",
        )
    if params.blend is not None:
        raise WorkerError("BAD_PARAMS", "blend: vLLM reads weights as they are saved; ask the trainer")


def _refuse_strict(params: protocol.LoadParams) -> None:
    is_demanded = params.strict_sampling or (
        params.strict_sampling is None and params.determinism == "strict"
    )
    if is_demanded and not is_batch_invariant():
        raise WorkerError(
            "BAD_PARAMS",
            "sampling is not strict: with vLLM answers depend on their neighbours in a batch, unless VLLM_BATCH_INVARIANT=1 is set on "
            "a GPU that it supports; use sampler.strict false, or sampler.backend torch.",
        )


def _require_device(asked: str) -> None:
    """Raise BAD_PARAMS for a device that is not the engine's: a build of vLLM knows one kind."""
    if asked not in ("auto", _device(), _device().partition(":")[0]):
        raise WorkerError(
            "BAD_PARAMS",
            f"device {asked!r}: this vLLM computes on {_device()}. Use device auto; CUDA_VISIBLE_DEVICES says which GPU it is.",
        )


def _device() -> str:
    return "cpu" if is_cpu() else "cuda:0"


def _dtype(params: protocol.LoadParams) -> str:
    """Return the type that the trainer computes in, as it chooses it."""
    if params.compute_dtype != "auto":
        return params.compute_dtype
    return "bfloat16" if has_bfloat16_units() else params.dtype


@contextmanager
def _beating(beat: Callable[[], object]) -> Iterator[None]:
    """Show signs of life while the engine's process works and this one waits for it."""
    ended = threading.Event()

    def beat_on() -> None:
        while not ended.wait(BEAT_SECONDS):
            beat()

    thread = threading.Thread(target=beat_on, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
