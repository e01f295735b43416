"""What the engine's process is asked to do by name beside what vLLM offers. Imported there, so it stays light."""

from __future__ import annotations

from typing import Any


class Extension:
    """Mixed into vLLM's own worker class, which has ``model_runner``."""

    model_runner: Any

    def refresh_heads(self) -> int:
        """Let every head take over the weights that were reloaded; return how many there are.

        On a CPU a head keeps a packed copy, and a reload leaves one that is tied to the embedding as it was: no tensor of its name
        arrives.
        """
        heads = [
            module
            for module in self.model_runner.get_model().modules()
            if type(module).__name__ == "ParallelLMHead"
        ]
        for head in heads:
            head.quant_method.process_weights_after_loading(head)
        return len(heads)
