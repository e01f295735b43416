"""Optimiser steps whose hyper-parameters come with every step, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from py_worker.eight_bit import eight_bit_adamw
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.protocol import Adamw, Muon, UpdateCounts
from py_worker.rounding import RoundingAdamw
from py_worker.update_counts import count_lost


@dataclass
class OptimizerState:
    """The optimisers of a model; empty until the first step decides their kind. An optimiser without parameters is None."""

    kind: str | None = None
    """``adamw``, ``adamw_8bit`` or ``muon``."""
    adamw: torch.optim.Optimizer | None = None
    muon: torch.optim.Muon | None = None

    def update(self) -> None:
        """Take a step on the gradients that are there."""
        for optimizer in (self.muon, self.adamw):
            if optimizer is not None:
                optimizer.step()


@dataclass(frozen=True)
class StepReport:
    """What a step tells of itself."""

    grad_norm: float
    """Global, before clipping."""
    updates: UpdateCounts | None
    """Where they were asked for."""


def step(
    model: Model,
    state: OptimizerState,
    adamw: Adamw,
    muon: Muon | None,
    max_grad_norm: float | None,
    *,
    count_updates: bool = False,
) -> StepReport:
    """Update the parameters from their gradients, and clear these.

    AdamW is arXiv 1711.05101, Muon torch.optim.Muon. Weight decay is for matrices, LoRA's too: norms and biases have none, as in TRL.

    Raises WorkerError BAD_PARAMS where there is no gradient or the kind differs from the first step's, and NON_FINITE
    where the norm is not finite. Then weights and state are as before; gradients are cleared in every case.
    """
    parameters = trainable_parameters(model)
    try:
        kind = "muon" if muon is not None else "adamw_8bit" if adamw.eight_bit else "adamw"
        if state.kind not in (None, kind):
            raise WorkerError(
                "BAD_PARAMS", f"this model is being trained with {state.kind}; a step asked for {kind}"
            )
        norm = _clip(list(parameters.values()), max_grad_norm)
        if state.kind is None:
            _create(model, state, kind)
        _set_hyperparameters(state, adamw, muon)
        updates = None
        if count_updates and not isinstance(state.adamw, RoundingAdamw):  # whose losses even out
            updates = count_lost(parameters.values(), state.update)
        else:
            state.update()
        model.network.take_over()
    finally:
        model.network.clear_gradients()
    return StepReport(norm, updates)


def trainable_parameters(model: Model) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name, tied ones once: float32 originals where the network computes in less."""
    return model.network.trainable()


def muon_parameters(model: Model) -> dict[str, nn.Parameter]:
    """Return the trained two-dimensional matrices that belong to no embedding and not to the head."""
    outer_names = _outer_names(model)
    trained = trainable_parameters(model).items()
    return {name: p for name, p in trained if p.ndim == 2 and name not in outer_names}


def _outer_names(model: Model) -> set[str]:
    """Return the names of embeddings and head."""
    outer = [m for m in model.trained.modules() if isinstance(m, nn.Embedding)]
    outer += [
        m for m in (model.causal_lm.get_input_embeddings(), model.causal_lm.get_output_embeddings()) if m
    ]
    excluded = {id(parameter) for module in outer for parameter in module.parameters()}
    return {name for name, p in model.trained.named_parameters() if id(p) in excluded}


def state_tensors(model: Model, state: OptimizerState) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the state as tensors named ``<optimizer>/<entry>/<parameter name>``, and what else ``restore`` needs.

    The tensors are the live ones: write them before the next step.
    """
    tensors: dict[str, torch.Tensor] = {}
    for title, optimizer in (("adamw", state.adamw), ("muon", state.muon)):
        if optimizer is None:
            continue
        for name, parameter in trainable_parameters(model).items():
            for entry, tensor in optimizer.state.get(parameter, {}).items():
                tensors[f"{title}/{entry}/{name}"] = torch.as_tensor(tensor)  # some count steps in an int
    return tensors, {"kind": state.kind}


def restore(model: Model, tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> OptimizerState:
    """Rebuild the state that ``state_tensors`` described; steps then continue bit-equal.

    Raises WorkerError BAD_PARAMS where a tensor fits no trained parameter of ``model``.
    """
    state = OptimizerState()
    if description["kind"] is None:
        return state
    _create(model, state, description["kind"])
    optimizers = {"adamw": state.adamw, "muon": state.muon}
    parameters = trainable_parameters(model)
    owners = {
        id(p): title for title, o in optimizers.items() if o for g in o.param_groups for p in g["params"]
    }
    for key, tensor in tensors.items():
        title, entry, name = key.split("/", 2)
        parameter, optimizer = parameters.get(name), optimizers.get(title)
        if parameter is None or optimizer is None or owners[id(parameter)] != title:
            raise WorkerError(
                "BAD_PARAMS", f"optimiser state {key} belongs to no trained parameter of this model"
            )
        is_of_blocks = entry.startswith(("qmap", "absmax"))  # of moments in 8 bits
        if tensor.shape not in (parameter.shape, torch.Size([])) and not is_of_blocks:
            found = f"optimiser state {key} has shape {list(tensor.shape)}"
            raise WorkerError("BAD_PARAMS", f"{found}, the parameter {list(parameter.shape)}")
        if entry == "step" and state.kind == "adamw_8bit":
            optimizer.state[parameter][entry] = int(tensor)
            continue
        on_device = entry != "step" or optimizer.param_groups[0].get("fused")
        device = parameter.device if on_device else torch.device("cpu")
        optimizer.state[parameter][entry] = tensor.detach().to(device, copy=True)
    return state


def _create(model: Model, state: OptimizerState, kind: str) -> None:
    matrices = muon_parameters(model) if kind == "muon" else {}
    rest = {name: p for name, p in trainable_parameters(model).items() if name not in matrices}
    is_rounding = model.rounding == "stochastic" and any(p.dtype != torch.float32 for p in rest.values())
    if is_rounding and (matrices or kind == "adamw_8bit"):
        raise WorkerError(
            "BAD_PARAMS",
            f"{kind} has no stochastic rounding: load the weights in float32, or with rounding nearest",
        )
    groups = [{"params": part} for part in _by_decay(rest.values()) if part]
    eight_bit = None
    if kind == "adamw_8bit":
        outer_names = _outer_names(model)
        outer = [p for name, p in rest.items() if name in outer_names]
        eight_bit = eight_bit_adamw(groups, outer, model.device)
    state.kind = kind
    state.muon = torch.optim.Muon(list(matrices.values())) if matrices else None
    if groups and is_rounding:
        state.adamw = RoundingAdamw(rest, groups)
    elif groups:
        state.adamw = eight_bit or torch.optim.AdamW(groups, fused=True)


def _by_decay(parameters: Iterable[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Part what decays from norms, biases and other vectors."""
    parameters = list(parameters)
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


def _clip(parameters: list[nn.Parameter], max_grad_norm: float | None) -> float:
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        raise WorkerError("BAD_PARAMS", "a step needs gradients; none were accumulated since the last step")
    total = nn.utils.get_total_norm(gradients)
    norm = float(total)
    if norm != norm or norm == float("inf"):
        raise WorkerError(
            "NON_FINITE", f"the global gradient norm is {norm}; the step is refused, gradients cleared"
        )
    if max_grad_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, max_grad_norm, total)
    return norm


def _set_hyperparameters(state: OptimizerState, adamw: Adamw, muon: Muon | None) -> None:
    if state.adamw is not None:
        for group in state.adamw.param_groups:
            group["lr"] = adamw.learning_rate
            group["betas"] = (adamw.beta1, adamw.beta2)
            group["eps"] = adamw.epsilon
            group["weight_decay"] = adamw.weight_decay if group["params"][0].ndim > 1 else 0.0
    if state.muon is not None and muon is not None:
        for group in state.muon.param_groups:
            group["lr"] = muon.learning_rate
            group["momentum"] = muon.momentum
            group["nesterov"] = muon.nesterov
            group["ns_steps"] = muon.ns_steps
            group["weight_decay"] = muon.weight_decay
            group["adjust_lr_fn"] = muon.adjust_learning_rate
