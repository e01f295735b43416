"""The one door into a model's weights: losses of tokens, log-probabilities of tokens, logits of the next token.

Everything that computes with the weights enters here, so what must happen around a forward pass happens in one place.
Shapes: B rows, T tokens in a row, A slots (row * T + column) that are asked for, P predicted tokens, D features, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import MoeModelOutputWithPast

from py_worker.errors import WorkerError
from py_worker.head import Finish, Head
from py_worker.loss import Objective, Targets, TokenScores
from py_worker.masters import Masters
from py_worker.varlen import Spans

PROBED_LOGIT = 50.0
"""Size of the largest logit when the head is tried: a soft cap hardly bends the small ones of an untrained model."""


@dataclass(frozen=True)
class Inputs:
    """One forward pass. Without a mask attention is causal, so right padding needs none."""

    ids_BT: torch.Tensor
    position_ids_BT: torch.Tensor | None = None
    mask: torch.Tensor | dict[str, torch.Tensor] | None = None
    cache: Any = None
    spans: Spans | None = None
    """The sequences of a packed row, where attention is told of them."""


@dataclass(frozen=True)
class Tokens:
    """Tokens whose probabilities are asked for."""

    slots_P: torch.Tensor
    """Slot from whose features each is predicted."""
    ids_P: torch.Tensor


class Network(nn.Module):
    """A causal language model that computes in ``compute_dtype``; ``find_head`` must run before anything else is asked."""

    def __init__(self, trained: nn.Module, causal_lm: PreTrainedModel, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.trained = trained
        """What is trained and saved: ``causal_lm`` itself, or the PEFT model around it."""
        self.compute_dtype = compute_dtype
        self.head: Head
        self._parts: tuple[PreTrainedModel, nn.Module] = (causal_lm, causal_lm.base_model)
        """The model and its backbone, in a tuple: registered, their parameters would have several names."""
        self.dtype = causal_lm.dtype
        """Of its weights as they were loaded; it may compute in another."""
        self.is_compiled = False
        """Its layers are compiled where gradients are made of their results; nowhere else, see ``compile.py``."""
        self._masters = None if compute_dtype == torch.float32 else Masters(trained, causal_lm, compute_dtype)

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The model of transformers, with or without an adapter in it."""
        return self._parts[0]

    @property
    def backbone(self) -> nn.Module:
        """The part whose features the head turns into logits."""
        return self._parts[1]

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return what an optimiser updates, by name, tied weights once; gradients are gathered there."""
        masters = {} if self._masters is None else self._masters.parameters
        named = self.trained.named_parameters()
        return {name: masters.get(name, parameter) for name, parameter in named if parameter.requires_grad}

    def clear_gradients(self) -> None:
        """Set every gradient to None, so that a step without a new gradient would move nothing."""
        self.zero_grad(set_to_none=True)
        for parameter in self.trainable().values():
            parameter.grad = None

    def take_over(self) -> None:
        """Compute with what an optimiser has made of ``trainable``."""
        if self._masters is not None:
            self._masters.publish()

    def exact(self) -> AbstractContextManager[None]:
        """Return the context in which parameters are what is trained and saved, not roundings of it; nothing computes in it."""
        return nullcontext() if self._masters is None else self._masters.shown()

    def token_losses(
        self,
        inputs: Inputs,
        tokens: Tokens,
        targets: Targets,
        objective: Objective,
        rest: Tokens,
    ) -> tuple[torch.Tensor, TokenScores, TokenScores]:
        """Return a loss to call ``backward`` on, the values behind it, and those of the ``rest`` of tokens, which have no weight."""
        features_SD = self._features(inputs)
        loss, scores = self.head.losses(features_SD.index_select(0, tokens.slots_P), targets, objective)
        features_PD = features_SD.detach().index_select(0, rest.slots_P)
        return loss, scores, self.head.score(features_PD, rest.ids_P, entropy=objective.entropy)

    @torch.no_grad()
    def token_logprobs(self, inputs: Inputs, tokens: Tokens, *, entropy: bool, top: int = 0) -> TokenScores:
        """Return log-probabilities, and entropies (nats) and the likeliest ids if asked for."""
        features_PD = self._features(inputs).index_select(0, tokens.slots_P)
        return self.head.score(features_PD, tokens.ids_P, entropy=entropy, top=top)

    @torch.no_grad()
    def divergences(
        self, inputs: Inputs, tokens: Tokens, other: Callable[[], AbstractContextManager[Any]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return KL(these weights‖other) and KL(other‖these) [P] of the distributions over all ids; ``other`` shows the others."""
        own_PD = self._features(inputs).index_select(0, tokens.slots_P)
        with other():
            other_PD = self._features(inputs).index_select(0, tokens.slots_P)
        found = [(own_PD.new_zeros(0, dtype=torch.float32),) * 2]
        for chunk in self.head.chunks(own_PD):
            own_CV = torch.log_softmax(self.head.logits(own_PD[chunk]), dim=-1)
            with other():
                other_CV = torch.log_softmax(self.head.logits(other_PD[chunk]), dim=-1)
            found.append((_divergence(own_CV, other_CV), _divergence(other_CV, own_CV)))
        to, back = zip(*found, strict=True)
        return torch.cat(to), torch.cat(back)

    @torch.no_grad()
    def next_logits(self, inputs: Inputs, slots_A: torch.Tensor | None = None) -> torch.Tensor:
        """Return float32 logits [A, V] of what follows the token in each slot; in every slot [B * T, V] if none is named."""
        features_SD = self._features(inputs)
        return self.head.logits(features_SD if slots_A is None else features_SD.index_select(0, slots_A))

    @torch.no_grad()
    def find_head(self, vocab_size: int) -> None:
        """Find out, by trying, what the model does to its features; raise BAD_MODEL where they alone do not decide its logits."""
        self.eval()
        generator = torch.Generator().manual_seed(0)
        device = next(self.causal_lm.parameters()).device
        positions = getattr(self.causal_lm.config.get_text_config(), "max_position_embeddings", None) or 8
        ids_BT = torch.randint(vocab_size, (1, min(8, positions)), generator=generator).to(device)
        layer = self.causal_lm.get_output_embeddings()
        features_TD = self._find_backbone(ids_BT) if layer is not None else None
        if layer is None or features_TD is None:
            raise WorkerError(
                "BAD_MODEL",
                f"{type(self.causal_lm).__name__} computes its logits from more than the features of each token, which "
                "losses need. Only causal language models with one output layer can be used.",
            )
        features_TD = features_TD * (PROBED_LOGIT / float(layer(features_TD).abs().max()))
        own_TV = self._behind_backbone(features_TD).float()
        for finish in _known_finishes(self.causal_lm.config.get_text_config()):
            self.head = Head(layer, finish)
            if self._is_close(self.head.logits(features_TD), own_TV):
                return
        self.head = Head(layer, whole=self._behind_backbone)

    def _find_backbone(self, ids_BT: torch.Tensor) -> torch.Tensor | None:
        """Take the first part of the model whose features give its logits again, and return those; None where there is none."""
        causal_lm = self.causal_lm
        own_TV = causal_lm(input_ids=ids_BT, use_cache=False).logits[0].float()
        for part in (causal_lm.base_model, causal_lm.get_decoder(), getattr(causal_lm, "model", causal_lm)):
            if part is causal_lm:
                continue
            self._parts = (causal_lm, part)
            try:
                features_TD = self._features(Inputs(ids_BT))
                if self._is_close(self._behind_backbone(features_TD).float(), own_TV):
                    return features_TD
            except (AttributeError, TypeError, RuntimeError):  # this part cannot be called alone
                continue
        return None

    def _features(self, inputs: Inputs) -> torch.Tensor:
        """Return what the backbone makes of its input, flattened [B * T, D]."""
        attention = {"attention_mask": inputs.mask} if inputs.spans is None else inputs.spans.inputs()
        is_as_written = self.is_compiled and not torch.is_grad_enabled()
        with torch.compiler.set_stance("force_eager") if is_as_written else nullcontext():
            return self.backbone(
                input_ids=inputs.ids_BT,
                position_ids=inputs.position_ids_BT,
                past_key_values=inputs.cache,
                use_cache=inputs.cache is not None,
                **attention,
            ).last_hidden_state.flatten(0, 1)

    def _behind_backbone(self, features_CD: torch.Tensor) -> torch.Tensor:
        """Return the model's own logits for the features of single tokens."""
        ids_BT = torch.zeros((1, len(features_CD)), dtype=torch.int64, device=features_CD.device)
        with _answering(self.backbone, features_CD[None]):
            return self.causal_lm(input_ids=ids_BT, use_cache=False).logits[0]

    def _is_close(self, found: torch.Tensor, expected: torch.Tensor) -> bool:
        tolerance = 1e-6 if self.compute_dtype == torch.float32 else 2e-2
        return found.shape == expected.shape and float((found - expected).abs().max()) <= tolerance * float(
            expected.abs().max()
        )


class _Output(MoeModelOutputWithPast):
    """What a backbone returns, whatever else its model asks of it: nothing."""

    def __getattr__(self, name: str) -> None:
        """Say that there is none."""


@contextmanager
def _answering(backbone: nn.Module, features_BTD: torch.Tensor) -> Iterator[None]:
    """Make a backbone return these features."""
    backbone.forward = lambda *_, **__: _Output(last_hidden_state=features_BTD)  # type: ignore[arg-type]
    try:
        yield
    finally:
        del backbone.forward


def _divergence(of_CV: torch.Tensor, from_CV: torch.Tensor) -> torch.Tensor:
    """KL(of‖from) of log-probabilities; an id without probability in ``of`` counts nothing."""
    probability_CV = of_CV.exp()
    return torch.where(probability_CV > 0, probability_CV * (of_CV - from_CV), 0.0).sum(-1)


def _known_finishes(config: Any) -> list[Finish]:
    """Return what the fields of a configuration may mean, likeliest first; a trial decides."""
    cap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
    scales = [1.0]
    for name in ("logit_scale", "logits_scaling", "lm_head_multiplier"):
        value = getattr(config, name, None)
        scales += [value, 1.0 / value] if isinstance(value, (int, float)) and value else []
    return [Finish(float(scale), cap) for scale in scales] + [Finish(float(scale)) for scale in scales]
