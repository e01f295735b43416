"""Log-probabilities and entropies of given sequences. N ragged tokens, P predicted tokens of a micro-batch."""

from __future__ import annotations

import numpy as np
import torch

from py_worker.batch import collate, plan_micro_batches
from py_worker.model import Check, Model, mode
from py_worker.network import Tokens
from py_worker.sequences import validate_sequences


@torch.inference_mode()
def score(
    model: Model, ids: np.ndarray, offsets: np.ndarray, entropy: bool, check: Check
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return float32 [N] log-probabilities, and entropies (nats) if asked for; 0 at the first token of each sequence.

    Raises WorkerError BAD_PARAMS for sequences that the model cannot take.
    """
    lengths = validate_sequences(model, ids, offsets)
    logprobs_N = np.zeros(len(ids), dtype=np.float32)
    entropy_N = np.zeros(len(ids), dtype=np.float32) if entropy else None
    with mode(model, training=False):
        for micro_batch in plan_micro_batches(model, lengths):
            check()
            collated = collate(micro_batch, ids, offsets, model.device)
            if not len(collated.predicted_P):
                continue
            slots_P = torch.from_numpy(collated.predictor_slots_P).to(model.device)
            ids_P = torch.from_numpy(ids[collated.predicted_P].astype(np.int64)).to(model.device)
            scores = model.network.token_logprobs(collated.inputs, Tokens(slots_P, ids_P), entropy=entropy)
            logprobs_N[collated.predicted_P] = scores.logprobs_P.cpu().numpy()
            if entropy_N is not None and scores.entropy_P is not None:
                entropy_N[collated.predicted_P] = scores.entropy_P.cpu().numpy()
    return logprobs_N, entropy_N
