"""Draw one token per row from its logits, with one uniform number per row.

Shape suffixes: A active rows, V vocabulary, N blocks of the vocabulary, K tokens of one block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

BLOCK_TOKENS = 256
"""Weights are summed by blocks of this size, and only the drawn block token by token: a tenth of the cost for a large
vocabulary. One of at most four blocks is not divided."""

LIKELIEST = 256
"""Tokens of a large vocabulary among which the nucleus of ``top_p`` is looked for before everything is sorted."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Filters apply in the order of transformers: temperature, top-k, top-p."""

    temperature: float = 1.0
    """0 takes the most likely token, the lowest id among equals."""
    top_p: float = 1.0
    """Keep the fewest most likely tokens whose probabilities reach this; 1 keeps all."""
    top_k: int = 0
    """Keep the tokens at least as likely as the k-th; 0 keeps all."""


def uniforms(seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return float64 numbers in [0, 1), a pure function of each seed and step (both uint64).

    SplitMix64 (Steele, Lea, Flood 2014), started for each seed at the mixed seed: token t of an answer reads draw t.
    """
    return (
        _mix(_mix(seeds + _WEYL_INCREMENT) + (steps + np.uint64(1)) * _WEYL_INCREMENT) >> np.uint64(11)
    ) * 2.0**-53


def draw(
    logits_AV: torch.Tensor, uniforms_A: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and float64 log-probabilities [A] of the tokens drawn by inverse CDF.

    Log-probabilities are of the logits as given, before temperature and filters; not finite where logits are NaN or +inf.
    Weights are exponentials in float32, cumulative sums float64. Every row is computed by itself: at four rows or more its
    bits do not depend on the others.
    """
    shifted_AV = logits_AV - logits_AV.amax(-1, keepdim=True)
    weights_ANK, reached_AN = _blocks(shifted_AV)
    log_total_A = reached_AN[:, -1].log()
    if sampling.temperature == 0:
        ids_A = logits_AV.argmax(-1)
    else:
        if sampling != Sampling():
            weights_ANK, reached_AN = _blocks(_filter(shifted_AV / sampling.temperature, sampling))
        ids_A = _invert(weights_ANK, reached_AN, uniforms_A).clamp_(max=logits_AV.shape[-1] - 1)
    return ids_A, shifted_AV.gather(-1, ids_A[:, None])[:, 0].double() - log_total_A


_WEYL_INCREMENT = np.uint64(0x9E3779B97F4A7C15)  # 2^64 × (√5 − 1) / 2, odd


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _blocks(shifted_AV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exponentials, filled up with zeros to whole blocks, as [A, N, K], and their float64 sums up to each block."""
    rows, vocabulary = shifted_AV.shape
    size = BLOCK_TOKENS if vocabulary > 4 * BLOCK_TOKENS else vocabulary
    missing = -vocabulary % size
    if missing:
        shifted_AV = torch.nn.functional.pad(shifted_AV, (0, missing), value=-torch.inf)
    weights_ANK = shifted_AV.exp().view(rows, -1, size)
    return weights_ANK, weights_ANK.sum(-1).double().cumsum(-1)


def _filter(scaled_AV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    vocabulary = scaled_AV.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        least_A1 = scaled_AV.topk(sampling.top_k).values[:, -1:]
        scaled_AV = scaled_AV.masked_fill(scaled_AV < least_A1, -torch.inf)
    if sampling.top_p < 1:
        # To look whether the likeliest are enough is to wait for a GPU.
        is_short = scaled_AV.device.type == "cpu" and vocabulary > 4 * LIKELIEST
        is_beyond_AV = _beyond_likeliest(scaled_AV, sampling.top_p) if is_short else None
        if is_beyond_AV is None:
            is_beyond_AV = _beyond_sorted(scaled_AV, sampling.top_p)
        scaled_AV = scaled_AV.masked_fill(is_beyond_AV, -torch.inf)
    return scaled_AV


def _beyond_sorted(scaled_AV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Say which tokens lie behind the fewest likeliest that reach ``top_p``; among equals the lowest ids come first."""
    sorted_AV, order_AV = torch.sort(scaled_AV, dim=-1, descending=True, stable=True)
    weights_AV = sorted_AV.exp()
    reached_AV = weights_AV.double().cumsum(-1)
    is_beyond_AV = reached_AV - weights_AV >= top_p * reached_AV[:, -1:]
    is_beyond_AV[:, 0] = False
    return is_beyond_AV.scatter(-1, order_AV, is_beyond_AV)


def _beyond_likeliest(scaled_AV: torch.Tensor, top_p: float) -> torch.Tensor | None:
    """Say the same from the likeliest tokens alone; None where some row has more of them."""
    likeliest_AK = scaled_AV.topk(LIKELIEST).values
    weights_AK = likeliest_AK.exp()
    reached_AK = weights_AK.double().cumsum(-1)
    total_A1 = scaled_AV.exp().sum(-1, keepdim=True, dtype=torch.float64)
    is_kept_AK = reached_AK - weights_AK < top_p * total_A1
    is_kept_AK[:, 0] = True
    if is_kept_AK[:, -1].any():
        return None
    least_A1 = likeliest_AK.gather(-1, is_kept_AK.sum(-1, keepdim=True) - 1)
    ties_A1 = ((likeliest_AK == least_A1) & is_kept_AK).sum(-1, keepdim=True)
    is_tied_AV = scaled_AV == least_A1
    if (is_tied_AV.sum(-1, keepdim=True) == ties_A1).all():
        return scaled_AV < least_A1
    return (scaled_AV < least_A1) | (is_tied_AV & (is_tied_AV.cumsum(-1) > ties_A1))


def _invert(weights_ANK: torch.Tensor, reached_AN: torch.Tensor, uniforms_A: torch.Tensor) -> torch.Tensor:
    """Return the first id whose cumulative weight exceeds u × total: first its block, then its place in the block."""
    _, blocks, size = weights_ANK.shape
    if blocks == 1:
        reached_AK = weights_ANK[:, 0].double().cumsum(-1)
        return _first_above(reached_AK, uniforms_A[:, None] * reached_AK[:, -1:])[:, 0]
    target_A1 = uniforms_A[:, None] * reached_AN[:, -1:]
    block_A1 = _first_above(reached_AN, target_A1)
    before_A1 = torch.where(block_A1 > 0, reached_AN.gather(-1, (block_A1 - 1).clamp(min=0)), 0.0)
    block_AK = weights_ANK.gather(1, block_A1[:, :, None].expand(-1, 1, size))[:, 0]
    return (block_A1 * size + _first_above(block_AK.double().cumsum(-1), target_A1 - before_A1))[:, 0]


def _first_above(reached: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the first place whose cumulative weight exceeds the target; rounding cannot carry it past the last weight."""
    last = reached[:, -1:]
    below_last = torch.minimum(target, torch.nextafter(last, torch.zeros_like(last)))
    # NaN weights find no place; such a row is known by its log-probability.
    return torch.searchsorted(reached, below_last, right=True).clamp_(max=reached.shape[-1] - 1)
