"""What turns features into logits, and the losses over it: full logits of a micro-batch never exist.

Every loss is a function of the log-probabilities of few ids: the token itself, and candidates in its place. The slope dL/dlogp in
each gives the whole gradient with respect to the logits, slope * (onehot - softmax), and the softmax of one chunk is all that is
ever held. Shapes: P predicted tokens, C tokens of a chunk, D features, V vocabulary, K loss components, J candidates of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from py_worker.loss import Objective, Targets, TokenScores, join, part, weigh

CHUNK_BYTES = {"cpu": 64 * 2**20, "cuda": 512 * 2**20}
"""Size of one chunk of float32 logits. CPU: measured on SmolLM2-135M (341 rows)."""


@dataclass(frozen=True)
class Finish:
    """What a model does to its logits after the last product, element by element: ``cap · tanh(scale · x / cap)``."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return finished logits."""
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def pull_back(self, gradient: torch.Tensor, finished: torch.Tensor) -> torch.Tensor:
        """Turn the gradient of finished logits into that of raw ones, in place; uses up ``finished``."""
        if self.cap is not None:
            gradient.mul_(finished.div_(self.cap).square_().neg_().add_(1.0))
        return gradient if self.scale == 1.0 else gradient.mul_(self.scale)


@dataclass(frozen=True)
class Head:
    """From features [C, D] to float32 logits [C, V]."""

    layer: nn.Module
    """The last layer; it is called where it is more than a plain linear one (adapters)."""
    finish: Finish = Finish()
    whole: Callable[[torch.Tensor], torch.Tensor] | None = None
    """All that the model does after its backbone, called instead where that is none of the functions we know."""

    @property
    def product(self) -> nn.Linear | None:
        """The layer where it is one matrix product, whose gradient is written down instead of traced."""
        return self.layer if type(self.layer) is nn.Linear and self.whole is None else None

    def logits(self, features_CD: torch.Tensor) -> torch.Tensor:
        """Return float32 logits, which a GPU's matrix product gives unrounded."""
        if self.whole is not None:
            return self.whole(features_CD).float()
        linear = self.product
        if linear is None or not features_CD.is_cuda:
            return self.finish(self.layer(features_CD).float())
        return self.finish(_product(features_CD, linear.weight, linear.bias))

    def parameters(self) -> list[nn.Parameter]:
        """Return what a loss has a gradient of, besides the features."""
        return [parameter for parameter in self.layer.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def score(
        self, features_PD: torch.Tensor, ids_P: torch.Tensor, *, entropy: bool, top: int = 0
    ) -> TokenScores:
        """Return log-probabilities, and entropies and the ``top`` likeliest ids if asked for, of tokens predicted from ``features_PD``."""
        scores = [] if len(features_PD) else [TokenScores(torch.zeros(0, device=features_PD.device), None)]
        for chunk in self.chunks(features_PD):
            log_softmax_CV = torch.log_softmax(self.logits(features_PD[chunk]), dim=-1)
            scores.append(_read(log_softmax_CV, ids_P[chunk], entropy=entropy, top=top))
        return join(scores)

    def losses(
        self, features_PD: torch.Tensor, targets: Targets, objective: Objective
    ) -> tuple[torch.Tensor, TokenScores]:
        """Return the sum over components of (weighted losses / normaliser), differentiable, and the values of each token."""
        loss, logprobs_P, losses_KP, entropy_P = _HeadLoss.apply(
            self, targets, objective, features_PD, *self.parameters()
        )
        return loss, TokenScores(logprobs_P, entropy_P, losses_KP)

    def chunks(self, features_PD: torch.Tensor) -> Iterator[slice]:
        """Return spans of tokens whose logits together take ``CHUNK_BYTES``."""
        vocabulary = cast(torch.Tensor, self.layer.weight).shape[0]  # adapters pass that of their layer on
        size = CHUNK_BYTES.get(features_PD.device.type, CHUNK_BYTES["cpu"])
        rows = max(1, size // (4 * vocabulary))
        return (slice(start, start + rows) for start in range(0, len(features_PD), rows))


class _HeadLoss(torch.autograd.Function):
    """Makes the gradients of features and parameters in the forward pass, chunk by chunk, and hands them out in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        head: Head,
        targets: Targets,
        objective: Objective,
        features_PD: torch.Tensor,
        *parameters: nn.Parameter,
    ) -> tuple[torch.Tensor | None, ...]:
        gradients = _Gradients(head, features_PD, ctx.needs_input_grad[3], parameters)
        total = torch.zeros((), device=features_PD.device)
        scores = []
        for chunk in head.chunks(features_PD):
            targets_C = part(targets, chunk)
            logits_CV, push = gradients.logits(chunk)
            log_softmax_CV = torch.log_softmax(logits_CV, dim=-1)
            read = _read(log_softmax_CV, targets_C.ids_P, entropy=objective.entropy)
            candidates_CJ = targets_C.candidates_PJ
            weighed = weigh(
                read.logprobs_P,
                None if candidates_CJ is None else log_softmax_CV.gather(1, candidates_CJ),
                targets_C,
                objective,
                has_rest=candidates_CJ is None or candidates_CJ.shape[1] < log_softmax_CV.shape[1],
            )
            slope_C, slope_CJ = weighed.slope_C, weighed.slope_CJ
            all_C = slope_C if slope_CJ is None else slope_C + slope_CJ.sum(-1)
            gradient_CV = log_softmax_CV.exp_().mul_(-all_C[:, None])
            gradient_CV.scatter_add_(1, targets_C.ids_P[:, None], slope_C[:, None])
            if candidates_CJ is not None and slope_CJ is not None:
                gradient_CV.scatter_add_(1, candidates_CJ, slope_CJ)
            push(gradient_CV)
            total += weighed.total
            scores.append(TokenScores(read.logprobs_P, read.entropy_P, weighed.losses_KC))
        joined = join(scores)
        ctx.gradients = gradients.results()
        outputs = (joined.logprobs_P, joined.losses_KP, joined.entropy_P)
        ctx.mark_non_differentiable(*(output for output in outputs if output is not None))
        return total, *outputs

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        is_one = slopes[0].device.type == "cpu" and float(slopes[0]) == 1.0  # asking a GPU would wait for it
        return (
            None,
            None,
            None,
            *(g if g is None or is_one else g.mul_(slopes[0].to(g.dtype)) for g in gradients),
        )


class _Gradients:
    """Gradients of one micro-batch's features and head, in float32 until they are handed out."""

    def __init__(
        self, head: Head, features_PD: torch.Tensor, of_features: bool, parameters: tuple[nn.Parameter, ...]
    ) -> None:
        self._head, self._features_PD, self._parameters = head, features_PD, parameters
        self._of_features_PD = torch.empty_like(features_PD) if of_features else None
        self._of_parameters: list[torch.Tensor | None] = [None] * len(parameters)

    def logits(self, chunk: slice) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        """Return the logits of a chunk, and what takes their gradient and adds up those behind it."""
        product = self._head.product
        return self._traced(chunk) if product is None else self._written(product, chunk)

    def results(self) -> list[torch.Tensor | None]:
        """Return the gradients of the features and of each parameter."""
        own = zip(self._of_parameters, self._parameters, strict=True)
        return [self._of_features_PD, *(None if g is None else g.to(p.dtype) for g, p in own)]

    def _written(
        self, linear: nn.Linear, chunk: slice
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        features_CD = self._features_PD[chunk]
        weight_VD = linear.weight.detach()
        finish = self._head.finish
        logits_CV = finish(_product(features_CD, weight_VD, linear.bias))

        def push(gradient_CV: torch.Tensor) -> None:
            gradient_CV = finish.pull_back(gradient_CV, logits_CV)
            of_products_CV = gradient_CV.to(features_CD.dtype)
            if self._of_features_PD is not None:
                torch.mm(of_products_CV, weight_VD, out=self._of_features_PD[chunk])
            for index, parameter in enumerate(self._parameters):
                if parameter is linear.bias:
                    self._add(index, gradient_CV.sum(0))
                else:
                    self._add_product(index, of_products_CV.t(), features_CD)

        return logits_CV, push

    def _traced(self, chunk: slice) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        leaf_CD = self._features_PD[chunk].detach().requires_grad_()
        with torch.enable_grad():
            logits_CV = self._head.logits(leaf_CD)

        def push(gradient_CV: torch.Tensor) -> None:
            found = torch.autograd.grad(
                logits_CV, [leaf_CD, *self._parameters], gradient_CV, allow_unused=True
            )
            if self._of_features_PD is not None and found[0] is not None:
                self._of_features_PD[chunk] = found[0]
            for index, gradient in enumerate(found[1:]):
                if gradient is not None:
                    self._add(index, gradient.float())

        return logits_CV.detach(), push

    def _add(self, index: int, gradient: torch.Tensor) -> None:
        held = self._of_parameters[index]
        self._of_parameters[index] = gradient if held is None else held.add_(gradient)

    def _add_product(self, index: int, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add a matrix product, in float32 where the device can: partial sums in bfloat16 bias training (trl#7244)."""
        held = self._of_parameters[index]
        if left.dtype == torch.float32 and held is not None:
            held.addmm_(left, right)
        else:
            self._add(index, _product(left, right.t(), None))


def _product(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return ``left @ right.T + bias`` in float32; on a GPU the products of half precision come out unrounded."""
    if left.is_cuda and left.dtype != torch.float32:
        product = torch.mm(left, right.t(), out_dtype=torch.float32)
        return product if bias is None else product + bias
    return nn.functional.linear(left, right, None if bias is None else bias.to(left.dtype)).float()


def _read(log_softmax_CV: torch.Tensor, ids_C: torch.Tensor, *, entropy: bool, top: int = 0) -> TokenScores:
    logprobs_C = log_softmax_CV.gather(1, ids_C[:, None])[:, 0]
    # entr is right for logits of -inf too
    entropy_C = torch.special.entr(log_softmax_CV.exp()).sum(-1) if entropy else None
    if top == 0:
        return TokenScores(logprobs_C, entropy_C)
    likeliest = log_softmax_CV.topk(min(top, log_softmax_CV.shape[1]), dim=-1)
    return TokenScores(logprobs_C, entropy_C, top_ids_PJ=likeliest.indices, top_logprobs_PJ=likeliest.values)
