"""Tiny random models of the architectures that people fine-tune, one of each way in which they differ.

What differs is what a worker can get wrong: rotary scaling, windows, experts, soft caps and scales of the head, norms, tied
heads, recurrent layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

VOCAB_SIZE = 211
POSITIONS = 256
SPECIAL_IDS = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 4}
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.2,
}


@dataclass(frozen=True)
class Family:
    """One architecture, and what the worker must find out about it by trying."""

    config: str
    """Name of its configuration class in transformers."""
    fields: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=lambda: SHAPE)
    packs: bool = True
    """Sequences in one row of it leave each other alone, as far as plain transformers makes masks for it."""
    attention: str = "sdpa"


def rope(kind: str, **fields: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **fields}}


SCALED = {"factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
NARROW = {"head_dim": 8}
GEMMA2 = NARROW | {"sliding_window": 8, "query_pre_attn_scalar": 8}
WINDOW_THEN_FULL = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
LINEAR_THEN_FULL: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
SMALL_EXPERTS = EXPERTS | {"moe_intermediate_size": 16}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 16,
}
GPT2_SHAPE = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": POSITIONS,
    "initializer_range": 0.2,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "resid_pdrop": 0.0,
}
OPT_SHAPE = {
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
    "init_std": 0.2,
    "dropout": 0.0,
}
BLOOM_SHAPE = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
FALCON_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}
MAMBA_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}

FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig"),
    "llama-llama3-rope": Family("LlamaConfig", rope("llama3", original_max_position_embeddings=64, **LLAMA3)),
    "llama-yarn": Family("LlamaConfig", rope("yarn", **SCALED)),
    "llama-dynamic-rope": Family(
        "LlamaConfig", rope("dynamic", factor=4.0) | {"max_position_embeddings": 64}
    ),
    "qwen2-tied": Family("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2-window": Family(
        "Qwen2Config", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    ),
    "qwen3": Family("Qwen3Config", {"head_dim": 16}),
    "qwen3-moe": Family("Qwen3MoeConfig", NARROW | SMALL_EXPERTS | {"decoder_sparse_step": 1}),
    "qwen3-next": Family(
        "Qwen3NextConfig",
        NARROW | SMALL_EXPERTS | LINEAR_THEN_FULL | {"shared_expert_intermediate_size": 16},
        packs=False,
    ),
    "qwen3.5": Family("Qwen3_5TextConfig", NARROW | LINEAR_THEN_FULL, packs=False),
    "mixtral": Family("MixtralConfig", LOCAL_EXPERTS),
    "olmoe": Family("OlmoeConfig", EXPERTS),
    "olmo2": Family("Olmo2Config"),
    "gemma": Family("GemmaConfig", NARROW),
    "gemma2": Family("Gemma2Config", GEMMA2),
    "gemma2-low-caps": Family(
        "Gemma2Config", GEMMA2 | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
    ),
    "gemma3": Family("Gemma3TextConfig", GEMMA2 | WINDOW_THEN_FULL),
    "mistral": Family("MistralConfig", NARROW | {"sliding_window": None}),
    "mistral-window": Family("MistralConfig", NARROW | {"sliding_window": 8}),
    "mistral-window-beyond": Family("MistralConfig", NARROW | {"sliding_window": 4096}),
    "phi": Family("PhiConfig"),
    "phi3": Family("Phi3Config", {"sliding_window": None}),
    "phi3-mini": Family("Phi3Config", {"sliding_window": 2047}),
    "gpt2": Family("GPT2Config", shape=GPT2_SHAPE),
    "gpt-neox": Family("GPTNeoXConfig"),
    "gpt-oss": Family(
        "GptOssConfig",
        NARROW | LOCAL_EXPERTS | WINDOW_THEN_FULL | rope("default"),
        packs=False,
        attention="eager",
    ),
    "opt": Family("OPTConfig", shape=OPT_SHAPE, packs=False),
    "bloom": Family("BloomConfig", shape=BLOOM_SHAPE, packs=False, attention="eager"),
    "falcon": Family("FalconConfig", shape=FALCON_SHAPE, packs=False),
    "granite": Family(
        "GraniteConfig",
        {
            "logits_scaling": 4.0,
            "embedding_multiplier": 2.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.3,
        },
    ),
    "cohere": Family("CohereConfig", {"logit_scale": 0.25}),
    "cohere2": Family("Cohere2Config", {"logit_scale": 0.25, "sliding_window": 8}),
    "smollm3": Family("SmolLM3Config"),
    "stablelm": Family("StableLmConfig"),
    "starcoder2": Family("Starcoder2Config"),
    "glm4": Family("Glm4Config", NARROW),
    "nemotron": Family("NemotronConfig"),
    "exaone4": Family("Exaone4Config", WINDOW_THEN_FULL),
    "deepseek-v3": Family("DeepseekV3Config", LATENT),
    "lfm2": Family("Lfm2Config", {"layer_types": ["conv", "full_attention"]}, packs=False),
    "minimax": Family("MiniMaxConfig", {"num_local_experts": 2, "num_experts_per_tok": 1}, packs=False),
    "llama4": Family(
        "Llama4TextConfig",
        NARROW | {"num_local_experts": 2, "intermediate_size_mlp": 64, "attention_chunk_size": 16},
        packs=False,
    ),
    "mamba": Family("MambaConfig", shape=MAMBA_SHAPE, packs=False, attention="eager"),
}


def write_family(name: str, directory: Path) -> Path:
    """Write the model of a family, without a tokenizer, and return its directory."""
    family = FAMILIES[name]
    kind = getattr(transformers, family.config)
    torch.manual_seed(0)
    causal_lm: Any = AutoModelForCausalLM.from_config(
        kind(vocab_size=VOCAB_SIZE, **SPECIAL_IDS, **family.shape | family.fields)
    )
    with torch.no_grad():
        for parameter in causal_lm.parameters():
            if parameter.ndim == 1:  # norms and biases as training leaves them: a norm left out must show
                parameter.add_(0.05 * torch.randn_like(parameter))
    causal_lm.save_pretrained(directory)
    return directory
