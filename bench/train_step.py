"""The other side of bench/train-step.ts: the worker's own functions, called in one Python process without a bridge.

Reads a number of steps a line, takes them and prints the seconds they took and the processor seconds of the process.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from bench.records import adamw_params, load_params
from py_worker.load import load_model
from py_worker.mkl import set_branch
from py_worker.optim import OptimizerState, step
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients


def main(model_directory: str, device: str, dtype: str, threads: str, rows: str, tokens: str) -> None:
    set_branch()
    model = load_model(load_params(model_directory, dtype=dtype, device=device, threads=int(threads) or None))
    count, length = int(rows), int(tokens)
    weights = np.ones((count, length), np.float32)
    weights[:, 0] = 0
    ids = np.arange(count * length, dtype=np.int32) * 7 % model.vocab_size
    offsets = np.arange(0, count * length + 1, length, dtype=np.int32)
    batch = WeightedSequences(ids, offsets, {"ce": weights.reshape(-1)})
    normalizers = {"ce": float(weights.sum())}
    state = OptimizerState()
    print("ready", flush=True)
    for line in sys.stdin:
        started, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            accumulate_gradients(model, batch, normalizers, GradientOptions(), lambda: None)
            step(model, state, adamw_params(1e-5), None, 1.0)
        took = {"seconds": time.perf_counter() - started, "cpuSeconds": time.process_time() - processor}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
