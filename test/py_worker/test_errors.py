import errno

import pytest
import torch

from py_worker.errors import WorkerError, from_library, is_device_lost, is_out_of_memory


def test_a_lack_of_memory_is_recognised_however_it_is_raised() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 50)
    with pytest.raises(MemoryError) as of_python:
        bytearray(1 << 61)
    assert is_out_of_memory(of_torch.value)
    assert is_out_of_memory(of_python.value)
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
        "can't start new thread",
        "libtorch_cpu.so: failed to map segment from shared object",
        "Cannot allocate memory (os error 12)",
        "std::bad_alloc",
        "memory allocation of 80 bytes failed",
    ],
)
def test_the_words_of_every_allocator_are_known(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))
    wrapped = ValueError("could not load")
    wrapped.__cause__ = RuntimeError(words)
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(WorkerError("BAD_PARAMS", words))


@pytest.mark.parametrize(
    "error", [KeyError("memory"), OSError(errno.ENOSPC, "No space left"), RuntimeError("shape mismatch")]
)
def test_other_failures_are_no_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_a_broken_context_of_the_device_is_told_from_a_failed_request() -> None:
    lost = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported late")
    assert is_device_lost(lost)
    assert is_device_lost(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_device_lost(RuntimeError("CUDA out of memory"))
    assert not is_device_lost(ValueError("index out of range"))


class PanicException(BaseException):  # as Rust's, which is no Exception either
    pass


@pytest.mark.parametrize(
    "raised", [Exception("bare"), ZeroDivisionError(), RecursionError(), PanicException()]
)
def test_whatever_a_library_raises_is_translated(raised: BaseException) -> None:
    with (
        pytest.raises(WorkerError, match="explained") as caught,
        from_library(lambda error: WorkerError("BAD_MODEL", f"explained {type(error).__name__}")),
    ):
        raise raised
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [MemoryError(), WorkerError("NOT_FOUND", "ours"), KeyboardInterrupt()])
def test_our_own_errors_and_a_lack_of_memory_pass_untranslated(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, from_library(lambda _: ValueError("explained")):
        raise raised
    assert caught.value is raised
