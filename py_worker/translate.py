"""Between the structs of the protocol and the records of the functions that do the work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from py_worker import protocol
from py_worker.answers import Answers
from py_worker.encode import Encoded
from py_worker.errors import WorkerError
from py_worker.loss import PolicyGradient
from py_worker.score import Divergence
from py_worker.sequences import WeightedSequences, locate
from py_worker.train import GradientOptions, GradientReport
from py_worker.wire import Tensors

COMPONENTS = {"ce": "ce", "dft": "dft", "policy_gradient": "policyGradient", "match": "match"}
"""Name of each loss component here and on the wire."""


def weighted_sequences(parts: dict[str, Any], tensors: Tensors) -> WeightedSequences:
    """Gather the tensors of the components that are asked for."""
    weights = {}
    for name in COMPONENTS.keys() - parts.keys():
        if f"{COMPONENTS[name]}Weights" in tensors:
            raise WorkerError(
                "BAD_PARAMS", f"tensor `{COMPONENTS[name]}Weights` came, but `{COMPONENTS[name]}` is null"
            )
    if "match" not in parts and ("targetIds" in tensors or "targetLogprobs" in tensors):
        raise WorkerError("BAD_PARAMS", "tensors `targetIds` or `targetLogprobs` came, but `match` is null")
    for name in parts:
        array = tensors.get(f"{COMPONENTS[name]}Weights")
        if array is None:
            raise WorkerError(
                "BAD_PARAMS", f"component {COMPONENTS[name]} needs tensor `{COMPONENTS[name]}Weights`"
            )
        weights[name] = array
    return WeightedSequences(
        tensors["ids"],
        tensors["offsets"],
        weights,
        advantages=tensors.get("advantages"),
        old_logprobs=tensors.get("oldLogprobs"),
        reference_logprobs=tensors.get("referenceLogprobs"),
        candidates=tensors.get("targetIds"),
        given=tensors.get("targetLogprobs"),
    )


def gradient_options(params: protocol.ForwardBackwardParams) -> GradientOptions:
    """Translate from the wire."""
    options = GradientOptions(
        dropout_seed=params.dropout_seed,
        logprobs=params.return_logprobs,
        entropy=params.return_entropy,
        is_reverse=params.match is not None and params.match.direction == "reverse",
    )
    if (policy := params.policy_gradient) is None:
        return options
    clip = PolicyGradient(
        clip_low=policy.clip_low, clip_high=policy.clip_high, kl_coefficient=policy.kl_coefficient
    )
    return replace(options, policy=clip)


def encode_result(encoded: Encoded) -> tuple[protocol.EncodeResult, Tensors]:
    """Translate to the wire."""
    warnings = [protocol.EncodeWarning(**warning) for warning in encoded.warnings]
    arrays = {"ids": encoded.ids, "offsets": encoded.offsets, "promptLengths": encoded.prompt_lengths}
    result = protocol.EncodeResult(
        warnings=warnings, stop_ids=encoded.stop_ids, reads_date=encoded.reads_date
    )
    return result, as_int32(arrays) | {"learned": encoded.learned}


def gradient_result(report: GradientReport) -> protocol.ForwardBackwardResult:
    """Translate to the wire."""
    sums = report.components
    return protocol.ForwardBackwardResult(
        ce=sums.get("ce"),
        dft=sums.get("dft"),
        policy_gradient=sums.get("policy_gradient"),
        match=sums.get("match"),
        tokens=report.useful_tokens,
        padded_tokens=report.padded_tokens,
        micro_batches=report.micro_batches,
    )


def require_finite(logprobs: np.ndarray, offsets: np.ndarray, what: str = "log-probability") -> None:
    """Raise NON_FINITE with the sequence: NaN weights must not pass for scores."""
    bad = np.flatnonzero(~np.isfinite(logprobs))
    if len(bad):
        sequence, token = locate(offsets, int(bad[0]))
        found = f"{what} of token {token} of sequence {sequence} is {logprobs[bad[0]]}"
        raise WorkerError("NON_FINITE", found, {"sequence": sequence})


def divergence_tensors(divergence: Divergence | None, offsets: np.ndarray) -> dict[str, np.ndarray | None]:
    """Translate to the wire; NON_FINITE where the two models share no id."""
    if divergence is None:
        return {}
    found = {"klToOther": divergence.to_other, "klFromOther": divergence.from_other}
    for values in found.values():
        assert values is not None
        require_finite(values, offsets, "divergence")
    return found


def saved_result(saved: dict[str, Any]) -> protocol.SaveResult:
    """Translate to the wire."""
    files = [protocol.SavedFile(**file) for file in saved["files"]]
    return protocol.SaveResult(**{**saved, "files": files})


def plain_example(example: protocol.Example) -> tuple[Any, Any, Any]:
    """Messages and tools as the dictionaries that chat templates read."""
    tools = None if example.tools is None else _parsed(example.tools, list)
    return _plain(example.prompt), _plain(example.completion), tools


def _plain(content: str | list[protocol.Message] | None) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"role": message.role, "content": message.content, "learned": message.learned}
        | ({} if message.fields is None else _parsed(message.fields, dict))
        for message in content
    ]


def _parsed(text: str, kind: type) -> Any:
    """Read JSON with numbers as Python has them: as many digits as were written."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise WorkerError("BAD_PARAMS", f"fields and tools are JSON, found {text!r:.80}: {error}") from error
    if not isinstance(value, kind):
        raise WorkerError("BAD_PARAMS", f"fields are a JSON object and tools a list, found {text!r:.80}")
    return value


def answer_tensors(answers: Answers) -> Tensors:
    """Translate to the wire."""
    ragged = {"textIds": answers.text_ids, "textOffsets": answers.text_offsets}
    whole = {"rows": answers.rows, "ids": answers.ids, "offsets": answers.offsets}
    return as_int32(whole | present(ragged)) | {"logprobs": answers.logprobs, "finished": answers.finished}


def as_int32(arrays: Tensors) -> Tensors:
    """Ids and offsets cross the wire as 32-bit integers."""
    return {name: array.astype(np.int32, copy=False) for name, array in arrays.items()}


def present(arrays: dict[str, np.ndarray | None]) -> Tensors:
    """Drop what was not asked for."""
    return {name: array for name, array in arrays.items() if array is not None}
