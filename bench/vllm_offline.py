"""What vLLM alone takes for the prompts of bench/vllm.ts: a JSON line of seconds for each round.

PY -m bench.vllm_offline MODEL PROMPTS_JSON NEW_TOKENS ROUNDS
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(model: str, prompts_file: str, new_tokens: int, rounds: int) -> None:
    """Ask the same engine, built as the worker builds it, through ``LLM.generate``."""
    from py_worker.vllm.__main__ import set_defaults

    set_defaults(os.environ)
    from py_worker.vllm.engine import EngineOptions, engine_arguments
    from py_worker.vllm.library import LLM, SamplingParams

    prompts = json.loads(Path(prompts_file).read_text())
    longest = max(map(len, prompts)) + new_tokens + 1
    options = EngineOptions("float32", longest, trust_remote_code=False, seed=0)
    llm = LLM(**engine_arguments(Path(model), options))
    asked = [{"prompt_token_ids": prompt} for prompt in prompts]
    for round_ in range(rounds + 1):
        params = [
            SamplingParams(
                temperature=1,
                max_tokens=new_tokens,
                seed=round_ * len(prompts) + i,
                ignore_eos=True,
                logprobs=0,
                detokenize=False,
            )
            for i in range(len(prompts))
        ]
        llm.reset_prefix_cache()
        began = time.perf_counter()
        made = llm.generate(asked, params, use_tqdm=False)
        took = time.perf_counter() - began
        assert all(len(one.outputs[0].token_ids) == new_tokens for one in made)
        print(json.dumps({"round": round_, "seconds": took}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
