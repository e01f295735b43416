"""Structs of the wire protocol. GENERATED from src/worker/protocol.ts by `npm run protocol`: do not edit."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

PROTOCOL_VERSION = 1
MAX_HEADER_BYTES = 16777216
MAX_TENSORS = 64
MAX_TENSOR_BYTES = 1073741824

ErrorCode = Literal[
    "BAD_MESSAGE",
    "BAD_VERSION",
    "UNAUTHORIZED",
    "BUSY",
    "NO_HELLO",
    "UNKNOWN_VERB",
    "BAD_PARAMS",
    "NO_MODEL",
    "NOT_FOUND",
    "BAD_MODEL",
    "NON_FINITE",
    "DEPENDENCY_FAILED",
    "SAVE_FAILED",
    "OOM",
    "CANCELLED",
    "UNSERIALIZABLE",
    "INTERNAL",
    "TIMEOUT",
    "WORKER_DIED",
    "WORKER_STUCK",
    "SPAWN_FAILED",
    "CLOSED",
]


class Adapter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A new LoRA adapter; null target modules mean every linear layer but the head."""

    r: Annotated[int, msgspec.Meta(ge=1)]
    alpha: float
    dropout: Annotated[float, msgspec.Meta(ge=0, le=1)]
    target_modules: list[str] | None
    use_rslora: bool
    use_dora: bool
    modules_to_save: list[str] | None
    seed: Annotated[int, msgspec.Meta(ge=0, le=4294967295)]


class Quantization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Linear layers but the head in 4 bits, by bitsandbytes (arXiv 2305.14314); `doubleQuant`: their scales in 8 bits."""

    quant_type: Literal["nf4", "fp4"]
    double_quant: bool


class Blend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Another model of the same architecture, a revision where it is a hub id, and its share."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    revision: str | None
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class LoadParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `load`."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    compute_dtype: Literal["auto", "float32", "bfloat16"]
    rounding: Literal["stochastic", "nearest"]
    device: str
    attention: str
    trust_remote_code: bool
    adapter: Adapter | None
    quantization: Quantization | None
    gradient_checkpointing: bool | None
    torch_compile: bool | None
    token_budget: Annotated[int, msgspec.Meta(ge=1)] | None
    layout: Literal["auto", "bucket", "pack"]
    determinism: Literal["auto", "off", "seeded", "strict"]
    strict_sampling: bool | None
    threads: Annotated[int, msgspec.Meta(ge=1)] | None
    seed: Annotated[int, msgspec.Meta(ge=0, le=4294967295)]
    restore_training_state: bool
    digest: bool
    expected_digest: str | None
    blend: Blend | None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What was loaded; `filesDigest` is of all its files but the weights, `notes` has a sentence for every fallback taken."""

    architecture: str
    parameter_count: Annotated[int, msgspec.Meta(ge=0)]
    trainable_parameter_count: Annotated[int, msgspec.Meta(ge=0)]
    vocab_size: Annotated[int, msgspec.Meta(ge=0)]
    max_positions: Annotated[int, msgspec.Meta(ge=0)] | None
    eos_token_ids: list[Annotated[int, msgspec.Meta(ge=0)]]
    bos_token_id: Annotated[int, msgspec.Meta(ge=0)] | None
    pad_token_id: Annotated[int, msgspec.Meta(ge=0)] | None
    has_chat_template: bool
    dtype: str
    compute_dtype: str
    device: str
    attention: str
    layout: Literal["bucket", "pack"]
    token_budget: Annotated[int, msgspec.Meta(ge=0)]
    gradient_checkpointing: bool
    torch_compile: bool
    strict_sampling: bool
    optimizer_steps: Annotated[int, msgspec.Meta(ge=0)]
    weights_digest: str | None
    files_digest: str
    notes: list[str]


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A prompt with the answer to learn, both as text or both as chat messages; `tools` is JSON of a list for the template."""

    prompt: str | list[Message]
    completion: str | list[Message] | None
    tools: str | None


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One message; `learned`: the loss counts what stands in it. `fields` is JSON of what else the template takes, such as tool_calls: numbers keep their digits so."""

    role: str
    content: str | None
    learned: bool
    fields: str | None


class EncodeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `encode`."""

    examples: list[Example]
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None
    chat_template: str | None
    template_options: dict[str, str | bool | None]
    split_special_tokens: bool
    date: str | None


class EncodeWarning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Something about the examples that a person should know."""

    code: str
    message: str
    count: Annotated[int, msgspec.Meta(ge=0)]
    first_index: Annotated[int, msgspec.Meta(ge=0)]


class EncodeResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `encode`."""

    warnings: list[EncodeWarning]
    stop_ids: list[Annotated[int, msgspec.Meta(ge=0)]]
    reads_date: bool


class DecodeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `decode`."""

    skip_special_tokens: bool


class DecodeResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `decode`."""

    texts: list[str]


class OtherModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Another model of the same architecture, and a revision where it is a hub id."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    revision: str | None


class ForwardParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `forward`."""

    return_entropy: bool
    top_k: Annotated[int, msgspec.Meta(ge=0)]
    kept: bool
    other: OtherModel | None


class ForwardResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `forward`."""

    tokens: Annotated[int, msgspec.Meta(ge=0)]
    weights_digest: str | None


class KeepParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `keep`."""

    model: Annotated[str, msgspec.Meta(min_length=1)] | None
    revision: str | None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]


class KeepResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `keep`."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]


class CrossEntropy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Loss = −log p."""

    normalizer: Annotated[float, msgspec.Meta(gt=0)]


class DynamicFineTuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Loss = −sg[p]·log p (arXiv 2508.05629)."""

    normalizer: Annotated[float, msgspec.Meta(gt=0)]


class PolicyGradient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Loss = −advantage·ratio, PPO-clipped to [1 − clipLow, 1 + clipHigh], plus klCoefficient · k3(reference)."""

    normalizer: Annotated[float, msgspec.Meta(gt=0)]
    clip_low: float | None
    clip_high: float | None
    kl_coefficient: float


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Loss = forward: KL(given‖model), reverse: KL(model‖given), of a distribution given over k ids in the place of a token and one place for all other ids."""

    normalizer: Annotated[float, msgspec.Meta(gt=0)]
    direction: Literal["forward", "reverse"]


class ForwardBackwardParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `forwardBackward`."""

    ce: CrossEntropy | None
    dft: DynamicFineTuning | None
    policy_gradient: PolicyGradient | None
    match: Match | None
    dropout_seed: Annotated[int, msgspec.Meta(ge=0, le=4294967295)] | None
    return_logprobs: bool
    return_entropy: bool


class ComponentSums(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Σ weight·loss, Σ weight and the number of tokens with a nonzero weight."""

    loss_sum: float
    weight_sum: float
    token_count: Annotated[int, msgspec.Meta(ge=0)]


class ForwardBackwardResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `forwardBackward`."""

    ce: ComponentSums | None
    dft: ComponentSums | None
    policy_gradient: ComponentSums | None
    match: ComponentSums | None
    tokens: Annotated[int, msgspec.Meta(ge=0)]
    padded_tokens: Annotated[int, msgspec.Meta(ge=0)]
    micro_batches: Annotated[int, msgspec.Meta(ge=0)]


class Adamw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`eightBit`: moments in 8 bits, by bitsandbytes."""

    learning_rate: Annotated[float, msgspec.Meta(ge=0)]
    beta1: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    beta2: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    epsilon: Annotated[float, msgspec.Meta(ge=0)]
    weight_decay: Annotated[float, msgspec.Meta(ge=0)]
    eight_bit: bool


class Muon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """For 2-D weights other than embeddings and head; AdamW takes the rest."""

    learning_rate: Annotated[float, msgspec.Meta(ge=0)]
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    nesterov: bool
    ns_steps: Annotated[int, msgspec.Meta(ge=1, le=99)]
    weight_decay: Annotated[float, msgspec.Meta(ge=0)]
    adjust_learning_rate: Literal["original", "match_rms_adamw"]


class OptimStepParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `optimStep`."""

    depends_on: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=4294967295)]], msgspec.Meta(min_length=1)]
    adamw: Adamw
    muon: Muon | None
    max_grad_norm: Annotated[float, msgspec.Meta(gt=0)] | None
    count_updates: bool


class UpdateCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Of evenly spread trained weights: those with a gradient other than 0, and how many of them are bit for bit what they were."""

    counted: Annotated[int, msgspec.Meta(ge=0)]
    lost: Annotated[int, msgspec.Meta(ge=0)]


class OptimStepResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `optimStep`."""

    grad_norm: float
    step: Annotated[int, msgspec.Meta(ge=0)]
    updates: UpdateCounts | None


class GenerateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `generate`."""

    max_new_tokens: Annotated[int, msgspec.Meta(ge=1)]
    temperature: Annotated[float, msgspec.Meta(ge=0)]
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)]
    top_k: Annotated[int, msgspec.Meta(ge=0)]
    stop_ids: list[Annotated[int, msgspec.Meta(ge=0)]]
    stop_texts: list[Annotated[str, msgspec.Meta(min_length=1)]]
    max_rows: Annotated[int, msgspec.Meta(ge=1)] | None


class GenerateResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `generate`."""

    new_tokens: Annotated[int, msgspec.Meta(ge=0)]
    weights_digest: str | None


class SaveParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `save`."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Literal["weights", "trainingState"]
    stop_ids: list[Annotated[int, msgspec.Meta(ge=0)]] | None


class SavedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """SavedFile record."""

    name: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class SaveResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `save`."""

    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    files: list[SavedFile]
    weights_digest: str


class StatusParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Parameters of `status`."""

    digest: bool


class StatusResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Result of `status`."""

    pid: Annotated[int, msgspec.Meta(ge=0)]
    versions: dict[str, str]
    threads: Annotated[int, msgspec.Meta(ge=0)]
    resident_bytes: Annotated[int, msgspec.Meta(ge=0)]
    peak_resident_bytes: Annotated[int, msgspec.Meta(ge=0)]
    device_name: str
    device_total_bytes: Annotated[int, msgspec.Meta(ge=0)]
    device_peak_bytes: Annotated[int, msgspec.Meta(ge=0)]
    determinism: dict[str, str]
    model: ModelInfo | None


class Tensor(NamedTuple):
    """One tensor of a verb; `dtype` as on the wire."""

    dtype: str
    rank: int
    required: bool


class Verb(NamedTuple):
    """What a verb takes and gives."""

    params: type[msgspec.Struct]
    tensors: dict[str, Tensor]
    result: type[msgspec.Struct]
    result_tensors: dict[str, Tensor]


VERBS: dict[str, Verb] = {
    "load": Verb(LoadParams, {}, ModelInfo, {}),
    "encode": Verb(EncodeParams, {}, EncodeResult, {"ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True), "promptLengths": Tensor("i32", 1, True), "learned": Tensor("u8", 1, True)}),
    "decode": Verb(DecodeParams, {"ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True)}, DecodeResult, {}),
    "forward": Verb(ForwardParams, {"ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True), "starts": Tensor("i32", 1, False)}, ForwardResult, {"logprobs": Tensor("f32", 1, True), "entropy": Tensor("f32", 1, False), "topIds": Tensor("i32", 2, False), "topLogprobs": Tensor("f32", 2, False), "klToOther": Tensor("f32", 1, False), "klFromOther": Tensor("f32", 1, False)}),
    "keep": Verb(KeepParams, {}, KeepResult, {}),
    "forwardBackward": Verb(ForwardBackwardParams, {"ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True), "ceWeights": Tensor("f32", 1, False), "dftWeights": Tensor("f32", 1, False), "policyGradientWeights": Tensor("f32", 1, False), "advantages": Tensor("f32", 1, False), "oldLogprobs": Tensor("f32", 1, False), "referenceLogprobs": Tensor("f32", 1, False), "matchWeights": Tensor("f32", 1, False), "targetIds": Tensor("i32", 2, False), "targetLogprobs": Tensor("f32", 2, False)}, ForwardBackwardResult, {"logprobs": Tensor("f32", 1, False), "entropy": Tensor("f32", 1, False)}),
    "optimStep": Verb(OptimStepParams, {}, OptimStepResult, {}),
    "generate": Verb(GenerateParams, {"ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True), "seeds": Tensor("u32", 1, True)}, GenerateResult, {"rows": Tensor("i32", 1, True), "ids": Tensor("i32", 1, True), "offsets": Tensor("i32", 1, True), "logprobs": Tensor("f32", 1, True), "finished": Tensor("u8", 1, True), "textIds": Tensor("i32", 1, False), "textOffsets": Tensor("i32", 1, False)}),
    "save": Verb(SaveParams, {}, SaveResult, {}),
    "status": Verb(StatusParams, {}, StatusResult, {}),
}
