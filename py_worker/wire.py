"""Messages ⇄ ZeroMQ frames: one msgpack header, then one raw frame a tensor. Mirror of src/worker/wire.ts; no sockets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from py_worker.errors import WorkerError
from py_worker.protocol import MAX_HEADER_BYTES, MAX_TENSOR_BYTES, MAX_TENSORS, PROTOCOL_VERSION, Tensor

DTYPES = {"f64": np.float64, "f32": np.float32, "i32": np.int32, "u32": np.uint32, "u8": np.uint8}
DTYPE_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
COPY_BELOW = 16 * 1024
"""Bytes. libzmq hands out small frames as pieces of its receive buffer, mostly unaligned."""

Tensors = dict[str, np.ndarray]
TensorTable = list[tuple[str, str, list[int]]]
Uint32 = msgspec.Meta(ge=0, le=2**32 - 1)


class Hello(msgspec.Struct, tag_field="t", tag="hello"):
    """Opens a session; nothing else is answered before it."""

    v: int
    id: int
    proto: tuple[int, int]
    client: str
    token: str
    nonces: list[str] = []
    """Files of the client that a worker elsewhere must see."""


class Request(msgspec.Struct, tag_field="t", tag="req"):
    """Asks for one verb."""

    v: int
    id: int
    op: str
    p: msgspec.Raw
    tz: TensorTable


class Cancel(msgspec.Struct, tag_field="t", tag="cancel"):
    """Ends request ``id`` early; has no answer of its own."""

    v: int
    id: int


class Ping(msgspec.Struct, tag_field="t", tag="ping"):
    """Is answered beside the queue."""

    v: int
    id: int


class Bye(msgspec.Struct, tag_field="t", tag="bye"):
    """Ends the worker once its queue is empty."""

    v: int
    id: int


Header = Hello | Request | Cancel | Ping | Bye
_decoder = msgspec.msgpack.Decoder(Header)
_encoder = msgspec.msgpack.Encoder()
ReplyKind = Literal["welcome", "res", "part", "err", "evt", "pong"]


def encode_message(
    kind: ReplyKind, request_id: int, fields: Mapping[str, Any], tensors: Tensors | None = None
) -> list[Any]:
    """Return the frames of one message to the client."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (tensors or {}).items()}
    header: dict[str, Any] = {"v": PROTOCOL_VERSION, "t": kind, "id": request_id, **fields}
    if kind in ("res", "part"):
        header["tz"] = [(name, DTYPE_NAMES[array.dtype], list(array.shape)) for name, array in arrays.items()]
    return [
        _encoder.encode(header),
        *(array.data.cast("B") if array.size else b"" for array in arrays.values()),
    ]


def decode_header(frame: bytes | memoryview) -> Header:
    """Decode and validate the first frame; raises BAD_MESSAGE with the failing path."""
    if len(frame) > MAX_HEADER_BYTES:
        raise WorkerError(
            "BAD_MESSAGE", f"header has {len(frame)} bytes, at most {MAX_HEADER_BYTES} are taken"
        )
    try:
        header = _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WorkerError("BAD_MESSAGE", f"header: {error}") from error
    if header.v != PROTOCOL_VERSION:
        raise WorkerError(
            "BAD_VERSION", f"message has protocol version {header.v}, this worker speaks {PROTOCOL_VERSION}"
        )
    if not 0 <= header.id < 2**32:
        raise WorkerError("BAD_MESSAGE", f"id {header.id} is not an unsigned 32-bit integer")
    return header


def decode_params(raw: bytes | msgspec.Raw, struct: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a verb's parameters; raises BAD_PARAMS with the failing path."""
    try:
        params = msgspec.msgpack.decode(raw, type=struct)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WorkerError("BAD_PARAMS", str(error)) from error
    _reject_non_finite(msgspec.structs.asdict(params), "$")
    return params


def _reject_non_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise WorkerError("BAD_PARAMS", f"expected a finite number, got {value} - at `{path}`")
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for key, item in value.items():
            _reject_non_finite(item, f"{path}.{key}")


def decode_tensors(table: TensorTable, frames: Sequence[Any], specs: Mapping[str, Tensor]) -> Tensors:
    """View raw frames as arrays, checked against the verb's tensors; raises BAD_MESSAGE or BAD_PARAMS."""
    if len(table) != len(frames) or len(table) > MAX_TENSORS:
        raise WorkerError("BAD_MESSAGE", f"{len(table)} tensors announced, {len(frames)} frames came")
    tensors = {
        name: _view(name, dtype, shape, frame)
        for (name, dtype, shape), frame in zip(table, frames, strict=True)
    }
    for name in tensors.keys() - specs.keys():
        raise WorkerError(
            "BAD_PARAMS", f"unknown tensor `{name}`; the verb takes {', '.join(specs) or 'none'}"
        )
    for name, spec in specs.items():
        array = tensors.get(name)
        if array is None:
            if spec.required:
                raise WorkerError("BAD_PARAMS", f"tensor `{name}` is missing")
        elif array.dtype != DTYPES[spec.dtype] or array.ndim != spec.rank:
            found = f"{DTYPE_NAMES[array.dtype]} of rank {array.ndim}"
            raise WorkerError(
                "BAD_PARAMS", f"tensor `{name}` must be {spec.dtype} of rank {spec.rank}, got {found}"
            )
    return tensors


def _view(name: str, dtype: str, shape: list[int], frame: Any) -> np.ndarray:
    data = frame.buffer if hasattr(frame, "buffer") else memoryview(frame)
    if dtype not in DTYPES or len(shape) > 8 or any(size < 0 for size in shape):
        raise WorkerError(
            "BAD_MESSAGE", f"tensor `{name}` has unknown element type {dtype!r} or a bad shape {shape}"
        )
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if data.nbytes != expected or expected > MAX_TENSOR_BYTES:
        raise WorkerError(
            "BAD_MESSAGE", f"tensor `{name}` {shape} {dtype} needs {expected} bytes, got {data.nbytes}"
        )
    array = np.frombuffer(data, dtype=DTYPES[dtype]).reshape(shape)
    return array.copy() if data.nbytes < COPY_BELOW or not array.flags.writeable else array
