"""The Python side of the wire against golden fixtures, hostile bytes and wrong tensors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from py_worker import wire
from py_worker.errors import WorkerError
from py_worker.protocol import VERBS, Tensor

FIXTURES = Path(__file__).parent.parent / "fixtures" / "protocol"
EXAMPLES = json.loads((FIXTURES / "examples.json").read_text())


def camel_values(struct):
    return msgspec.to_builtins(struct)


@pytest.mark.parametrize("verb", VERBS)
def test_structs_read_the_fixtures_and_write_the_same_values(verb):
    for part, struct in (("params", VERBS[verb].params), ("result", VERBS[verb].result)):
        read = msgspec.msgpack.decode((FIXTURES / f"{verb}.{part}.msgpack").read_bytes(), type=struct)
        assert camel_values(read) == EXAMPLES[verb][part]


def request(**changes):
    return {
        "v": 1,
        "t": "req",
        "id": 3,
        "op": "forward",
        "p": {"returnEntropy": True, "topK": 0, "kept": False, "other": None},
        "tz": [],
        **changes,
    }


def pack(value):
    return msgspec.msgpack.encode(value)


def test_a_request_is_read_with_its_parameters():
    header = wire.decode_header(pack(request()))
    assert isinstance(header, wire.Request)
    params = wire.decode_params(header.p, VERBS["forward"].params)
    assert params == VERBS["forward"].params(return_entropy=True, top_k=0, kept=False, other=None)


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (request(v=2), "BAD_VERSION", "version 2, this worker speaks 1"),
        (request(id="x"), "BAD_MESSAGE", r"`\$.id`"),
        (request(id=2**32), "BAD_MESSAGE", "unsigned 32-bit"),
        (request(t="nonsense"), "BAD_MESSAGE", "nonsense"),
        (request(tz=[["ids", "i32"]]), "BAD_MESSAGE", r"\$.tz"),
        ([1, 2], "BAD_MESSAGE", "Expected `object`, got `array`"),
    ],
)
def test_a_wrong_header_is_refused_with_its_path(value, code, message):
    with pytest.raises(WorkerError, match=message) as raised:
        wire.decode_header(pack(value))
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing required field `returnEntropy`"),
        (
            {"returnEntropy": 1, "topK": 0, "kept": False, "other": None},
            r"Expected `bool`, got `int` - at `\$.returnEntropy`",
        ),
        ({"returnEntropy": True, "topK": 0, "kept": False, "colour": 1}, "unknown field `colour`"),
    ],
)
def test_wrong_parameters_are_refused_with_their_path(params, message):
    with pytest.raises(WorkerError, match=message) as raised:
        wire.decode_params(pack(params), VERBS["forward"].params)
    assert raised.value.code == "BAD_PARAMS"


def test_a_number_that_is_not_finite_is_refused_with_its_path():
    params = EXAMPLES["optimStep"]["params"]
    params = {**params, "adamw": {**params["adamw"], "learningRate": float("nan")}}
    with pytest.raises(
        WorkerError, match=r"finite number, got nan - at `\$.adamw.learning_rate`|learningRate"
    ):
        wire.decode_params(pack(params), VERBS["optimStep"].params)


def test_tensors_are_viewed_with_their_shape_and_checked_against_the_verb():
    ids = np.arange(6, dtype=np.int32)
    specs = {"ids": Tensor("i32", 1, True), "weights": Tensor("f32", 1, False)}
    tensors = wire.decode_tensors([("ids", "i32", [6])], [ids.tobytes()], specs)
    assert tensors["ids"].tolist() == [0, 1, 2, 3, 4, 5]
    assert tensors["ids"].flags.writeable
    for table, frames, code, message in [
        ([("ids", "i32", [6])], [], "BAD_MESSAGE", "1 tensors announced, 0 frames came"),
        ([("ids", "i32", [7])], [ids.tobytes()], "BAD_MESSAGE", "needs 28 bytes, got 24"),
        ([("ids", "i32", [-6])], [ids.tobytes()], "BAD_MESSAGE", "bad shape"),
        ([("ids", "i64", [3])], [ids.tobytes()], "BAD_MESSAGE", "unknown element type"),
        ([], [], "BAD_PARAMS", "`ids` is missing"),
        ([("ids", "f32", [6])], [ids.tobytes()], "BAD_PARAMS", "must be i32 of rank 1, got f32"),
        ([("ids", "i32", [2, 3])], [ids.tobytes()], "BAD_PARAMS", "got i32 of rank 2"),
        ([("idz", "i32", [6])], [ids.tobytes()], "BAD_PARAMS", "unknown tensor `idz`"),
    ]:
        with pytest.raises(WorkerError, match=message) as raised:
            wire.decode_tensors(table, frames, specs)
        assert raised.value.code == code


def test_reply_frames_hold_header_then_raw_arrays():
    frames = wire.encode_message(
        "res", 9, {"r": {"tokens": 2}}, {"logprobs": np.array([0.5], dtype=np.float32)}
    )
    assert msgspec.msgpack.decode(frames[0]) == {
        "v": 1,
        "t": "res",
        "id": 9,
        "r": {"tokens": 2},
        "tz": [["logprobs", "f32", [1]]],
    }
    assert bytes(frames[1]) == b"\x00\x00\x00\x3f"
    assert wire.encode_message("res", 9, {"r": {}}, {"none": np.zeros(0, dtype=np.int32)})[1] == b""


def test_ten_thousand_mutilated_headers_raise_nothing_but_worker_errors():
    generator = random.Random(1)
    whole = pack(request())
    for _ in range(10_000):
        data = bytearray(whole[: generator.randrange(1, len(whole) + 1)])
        for _ in range(generator.randrange(4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            wire.decode_header(bytes(data))
        except WorkerError as error:
            assert error.code in ("BAD_MESSAGE", "BAD_VERSION")  # noqa: PT017 - most of them do raise
    for hostile in (b"\x91" * 1_000_000, b"\xdd\xff\xff\xff\xff", b"\xc1", b"\xdb\xff\xff\xff\xff", b""):
        with pytest.raises(WorkerError):
            wire.decode_header(hostile)
