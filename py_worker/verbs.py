"""The verbs: each turns parameters and arrays into a call of one plain function, and its result into the reply."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import torch

from py_worker import kept, optim, protocol
from py_worker.answers import Answers
from py_worker.blend import blend
from py_worker.describe import describe, eos_token_ids
from py_worker.digest import weights_digest
from py_worker.errors import WorkerError, is_out_of_memory
from py_worker.generate import generate
from py_worker.job import Job, Reply
from py_worker.load import Other, find_other, load_model
from py_worker.manifest import damaged
from py_worker.model import Model
from py_worker.save import (
    load_training_state,
    require_as_saved,
    restore_rng,
    save_training_state,
    save_weights,
)
from py_worker.score import Divergence, Top, score
from py_worker.source import find_source
from py_worker.status import status
from py_worker.stop_texts import stop_texts
from py_worker.text_verbs import decode_ids, encode_examples, tokenizer_of
from py_worker.token_budget import free_memory
from py_worker.train import accumulate_gradients
from py_worker.translate import (
    COMPONENTS,
    answer_tensors,
    divergence_tensors,
    gradient_options,
    gradient_result,
    present,
    require_finite,
    saved_result,
    weighted_sequences,
)
from py_worker.wire import Tensors


class Session:
    """The model of this process, its optimiser, and the requests whose gradients wait for a step."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._optimizer = optim.OptimizerState()
        self._steps = 0
        self._gradients: list[int] = []
        self._digest: str | None = None
        """Of the weights as they are, where it is known: they are hashed once between two steps, whoever asks."""
        self._threads = torch.get_num_threads()
        """Of a load that asks for no number: what this process began with, whatever an earlier load asked for."""
        self._kept: kept.Kept | None = None
        self._params: protocol.LoadParams | None = None
        self._lacked_memory = False
        self._handlers: dict[str, Callable[[Any, Tensors, Job], Reply]] = {
            "load": self.load,
            "encode": self.encode,
            "decode": self.decode,
            "forward": self.forward,
            "keep": self.keep,
            "forwardBackward": self.forward_backward,
            "optimStep": self.optim_step,
            "generate": self.generate,
            "save": self.save,
            "status": self.status,
        }

    def run(self, job: Job) -> Reply:
        """Run one request; however a ``forwardBackward`` or ``optimStep`` fails, unread or cancelled too, gradients are gone."""
        if self._lacked_memory:  # only now is the failed request with its tensors forgotten
            free_memory()
            self._lacked_memory = False
        try:
            job.check()
            params, tensors = job.decode()
            return self._handlers[job.request.op](params, tensors, job)
        except BaseException as error:
            if job.request.op in ("forwardBackward", "optimStep"):
                self._drop_gradients()
            self._lacked_memory = is_out_of_memory(error)
            raise

    @property
    def model(self) -> Model:
        """The loaded model; raises NO_MODEL."""
        if self._model is None:
            raise WorkerError("NO_MODEL", "no model is loaded")
        return self._model

    def load(self, params: protocol.LoadParams, _: Tensors, job: Job) -> Reply:
        """Drop the model that was there, then load: two at once may not fit."""
        self._model, self._optimizer, self._digest = None, optim.OptimizerState(), None
        self._kept, self._params = None, params
        self._steps, self._gradients = 0, []
        free_memory()
        job.check()
        if params.restore_training_state or params.expected_digest is not None:
            require_as_saved(params.model, params.expected_digest)
        model = load_model(msgspec.structs.replace(params, threads=params.threads or self._threads))
        digest = weights_digest(model) if params.digest or params.expected_digest is not None else None
        if params.expected_digest not in (None, digest):
            raise damaged(Path(params.model), f"weights {digest}", f"weights {params.expected_digest}")
        if params.blend is not None:
            source = find_source(params.model, params.revision)
            blend(model, source, self._other(params.blend), share=params.blend.share)
            digest = None if digest is None else weights_digest(model)
        if params.restore_training_state:
            tensors, meta, rng = load_training_state(Path(params.model))
            tensors, self._kept = kept.split_state(model, tensors)
            self._optimizer = optim.restore(model, tensors, meta["optimizer"])
            self._steps = meta["steps"]
            restore_rng(rng, model.device)
        self._model = model
        self._digest = digest
        return self._info(), {}

    def encode(self, params: protocol.EncodeParams, _: Tensors, job: Job) -> Reply:
        """Ids of text or messages."""
        return encode_examples(self.model, eos_token_ids(self.model), params)

    def decode(self, params: protocol.DecodeParams, tensors: Tensors, job: Job) -> Reply:
        """Text of ids."""
        return decode_ids(self.model, params, tensors)

    def forward(self, params: protocol.ForwardParams, tensors: Tensors, job: Job) -> Reply:
        """Log-probabilities and entropies of given ids."""
        model, top = self.model, Top(params.top_k)
        divergence = params.other and Divergence(kept.other_weights(model, self._other(params.other)))
        with kept.shown(model, self._kept) if params.kept else nullcontext():
            ids, offsets = tensors["ids"], tensors["offsets"]
            logprobs, entropy = score(
                model,
                ids,
                offsets,
                params.return_entropy,
                job.check,
                top=top,
                divergence=divergence,
                starts=tensors.get("starts"),
            )
        require_finite(logprobs, offsets)
        digest = None if params.kept else self._digest
        result = protocol.ForwardResult(tokens=len(ids), weights_digest=digest)
        found = {"logprobs": logprobs, "entropy": entropy, "topIds": top.ids, "topLogprobs": top.logprobs}
        return result, present(found | divergence_tensors(divergence, offsets))

    def keep(self, params: protocol.KeepParams, _: Tensors, job: Job) -> Reply:
        """Copy what is trained, or move the copy that is there."""
        model = self.model
        if params.model is None:
            self._kept = kept.keep(model, self._kept, params.share)
        else:
            other = self._other(protocol.OtherModel(model=params.model, revision=params.revision))
            self._kept = kept.keep_other(model, other, params.share)
        return protocol.KeepResult(bytes=kept.size_of(self._kept)), {}

    def _other(self, named: protocol.OtherModel | protocol.Blend) -> Other:
        assert self._params is not None
        return find_other(self._params, named.model, named.revision)

    def forward_backward(self, params: protocol.ForwardBackwardParams, tensors: Tensors, job: Job) -> Reply:
        """Add the gradients of weighted token losses."""
        parts = {name: getattr(params, name) for name in COMPONENTS if getattr(params, name) is not None}
        report = accumulate_gradients(
            self.model,
            weighted_sequences(parts, tensors),
            {name: part.normalizer for name, part in parts.items()},
            gradient_options(params),
            job.check,
        )
        self._gradients.append(job.id)
        return gradient_result(report), present({"logprobs": report.logprobs, "entropy": report.entropy})

    def optim_step(self, params: protocol.OptimStepParams, _: Tensors, job: Job) -> Reply:
        """Step on the gradients of exactly the requests that the client names."""
        model = self.model
        if set(params.depends_on) != set(self._gradients):
            found = f"it depends on {params.depends_on}, but the gradients held are of {self._gradients}"
            why = "one failed, was cancelled or is unknown; gradients are cleared"
            raise WorkerError("DEPENDENCY_FAILED", f"{found}: {why}")
        self._digest = None  # before the step: memory may run out in the middle of it
        done = optim.step(
            model,
            self._optimizer,
            params.adamw,
            params.muon,
            params.max_grad_norm,
            count_updates=params.count_updates,
        )
        self._gradients = []
        self._steps += 1
        return protocol.OptimStepResult(grad_norm=done.grad_norm, step=self._steps, updates=done.updates), {}

    def generate(self, params: protocol.GenerateParams, tensors: Tensors, job: Job) -> Reply:
        """Sample an answer to each prompt; those that finish early leave in parts."""
        sampled = 0

        def send_part(part: Answers) -> None:
            nonlocal sampled
            sampled += len(part.ids)
            job.part(answer_tensors(part))

        answers = generate(
            self.model,
            tensors["ids"],
            tensors["offsets"],
            tensors["seeds"],
            max_new_tokens=params.max_new_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            stop_ids=params.stop_ids,
            stop_texts=stop_texts(tokenizer_of(self.model), params.stop_texts) if params.stop_texts else None,
            max_rows=params.max_rows,
            on_progress=job.progress,
            on_part=send_part,
            check=job.check,
        )
        result = protocol.GenerateResult(new_tokens=sampled + len(answers.ids), weights_digest=self._digest)
        return result, answer_tensors(answers)

    def save(self, params: protocol.SaveParams, _: Tensors, job: Job) -> Reply:
        """Write weights, or all that training continues from."""
        model, path = self.model, Path(params.path)
        if params.kind == "weights":
            saved = save_weights(model, path, params.stop_ids, digest=self._digest)
        else:
            tensors, optimizer = optim.state_tensors(model, self._optimizer)
            tensors = tensors | kept.state_of(self._kept)
            state = (tensors, {"optimizer": optimizer, "steps": self._steps})
            saved = save_training_state(model, state, path, digest=self._digest)
        self._digest = saved["weights_digest"]
        return saved_result(saved), {}

    def status(self, params: protocol.StatusParams, _: Tensors, job: Job) -> Reply:
        """Facts about the process and the model."""
        device = self._model.device if self._model else torch.device("cpu")
        if params.digest and self._digest is None:
            self._digest = weights_digest(self.model)
        return protocol.StatusResult(**status(device), model=self._info() if self._model else None), {}

    def _info(self) -> protocol.ModelInfo:
        return protocol.ModelInfo(
            **describe(self.model), optimizer_steps=self._steps, weights_digest=self._digest
        )

    def _drop_gradients(self) -> None:
        self._gradients = []
        if self._model is not None:
            self._model.network.clear_gradients()
