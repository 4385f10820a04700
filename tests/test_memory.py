"""Memory that ran out is known by how each device says so."""

import pytest
import torch

from detr_attnviz.memory import give_back_freed, is_out_of_host_memory, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.OutOfMemoryError(""),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "MPS backend out of memory (MPS allocated: 18.00 GB, other allocations: 1.0 GB, max allowed: 18 GB)"
        ),
        RuntimeError("Invalid buffer size: 45.20 GB"),
    ],
)
def test_a_devices_ways_to_say_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_host_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_the_hosts_ways_to_say_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_host_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit"),
        RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_something_else(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_a_real_allocation_that_is_too_large_is_known() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


@pytest.mark.parametrize(("device", "calls"), [("cuda", 1), ("cpu", 0)])
def test_a_gpus_cache_is_given_back(device: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(None))
    give_back_freed(torch.device(device))
    assert len(emptied) == calls
