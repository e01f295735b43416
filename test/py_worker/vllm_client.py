"""A vLLM session asked as the wire asks it, without a socket."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from py_worker.job import Job
from py_worker.wire import DTYPE_NAMES, DTYPES, Request, Tensors

LOAD: dict[str, Any] = {
    "revision": None,
    "dtype": "float32",
    "computeDtype": "float32",
    "rounding": "stochastic",
    "device": "auto",
    "attention": "auto",
    "trustRemoteCode": False,
    "adapter": None,
    "quantization": None,
    "gradientCheckpointing": None,
    "torchCompile": None,
    "tokenBudget": None,
    "layout": "auto",
    "determinism": "auto",
    "strictSampling": None,
    "threads": None,
    "seed": 0,
    "restoreTrainingState": False,
    "digest": False,
    "expectedDigest": None,
    "blend": None,
}
GENERATE: dict[str, Any] = {
    "maxNewTokens": 8,
    "temperature": 1.0,
    "topP": 1.0,
    "topK": 0,
    "stopIds": [],
    "stopTexts": [],
    "maxRows": None,
}


class Client:
    """One session; ``sent`` has the messages beside the replies."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.sent: list[list[Any]] = []
        self._ids = itertools.count(1)

    def call(self, verb: str, params: dict[str, Any], tensors: Tensors | None = None) -> tuple[Any, Tensors]:
        arrays = tensors or {}
        table = [(name, DTYPE_NAMES[array.dtype], list(array.shape)) for name, array in arrays.items()]
        raw = msgspec.Raw(msgspec.msgpack.encode(params))
        request = Request(v=1, id=next(self._ids), op=verb, p=raw, tz=table)
        frames = [array.tobytes() for array in arrays.values()]
        return self.session.run(Job(b"client", request, frames, self.sent.append))

    def load(self, directory: Path, **options: Any) -> Any:
        return self.call("load", LOAD | {"model": str(directory)} | options)[0]

    def logprobs(self, *rows: Sequence[int]) -> list[np.ndarray]:
        """Log-probabilities of each row's ids but the first."""
        packed = _packed(rows)
        _, tensors = self.call(
            "forward", {"returnEntropy": False, "topK": 0, "kept": False, "other": None}, packed
        )
        return [row[1:] for row in np.split(tensors["logprobs"], packed["offsets"][1:-1])]

    def generate(
        self, rows: Sequence[Sequence[int]], seeds: Sequence[int], **options: Any
    ) -> tuple[list[list[int]], list[np.ndarray], list[int]]:
        """Ids, log-probabilities and reasons to end of all, whether they came in parts or with the reply."""
        packed = _packed(rows) | {"seeds": np.array(seeds, np.uint32)}
        self.sent.clear()
        _, last = self.call("generate", GENERATE | options, packed)
        answers: dict[int, tuple[list[int], np.ndarray, int]] = {}
        for found in [*self.parts(), last]:
            cuts = found["offsets"][1:-1]
            pieces = zip(
                np.split(found["ids"], cuts),
                np.split(found["logprobs"], cuts),
                found["finished"],
                strict=True,
            )
            for row, (ids, logprobs, ended) in zip(found["rows"].tolist(), pieces, strict=False):
                answers[row] = (ids.tolist(), logprobs, int(ended))
        ordered = [answers[row] for row in range(len(rows))]
        return (
            [ids for ids, *_ in ordered],
            [logprobs for _, logprobs, _ in ordered],
            [e for *_, e in ordered],
        )

    def parts(self) -> list[Tensors]:
        """Return the tensors of each part that was sent."""
        found = []
        for _, header, *frames in self.sent:
            facts = msgspec.msgpack.decode(header)
            if facts["t"] == "part":
                pairs = zip(facts["tz"], frames, strict=True)
                found.append({name: np.frombuffer(frame, DTYPES[kind]) for (name, kind, _), frame in pairs})
        return found


def _packed(rows: Sequence[Sequence[int]]) -> Tensors:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    return {"ids": np.concatenate([np.array(row, np.int32) for row in rows]), "offsets": offsets}
