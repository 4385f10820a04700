"""Memory that ran out: how every device says so, and giving back what is free again."""

import gc

import torch

OUT_OF_MEMORY = (MemoryError, RuntimeError)
"""What ``is_out_of_memory`` should see."""

_OF_THE_HOST = ("DefaultCPUAllocator", "bad_alloc")
_OF_ONEDNN = ("could not create a primitive", "could not execute a primitive", "could not create a memory object")
"""All that it says when it gets no memory for the code of a kernel or for what that works in."""

_OF_A_DEVICE = ("out of memory", "ALLOC_FAILED", "Invalid buffer size")
"""CUDA, HIP, XPU and MPS say the first when they do not raise ``torch.OutOfMemoryError``, cuBLAS and cuDNN the second,
MPS the third of a tensor that is larger than it can have."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a forward, or whatever it was, would have gone well with more memory."""
    return is_out_of_host_memory(error) or isinstance(error, torch.OutOfMemoryError) or _says(error, _OF_A_DEVICE)


def is_out_of_host_memory(error: BaseException) -> bool:
    """Whether it was the machine's own memory, not a GPU's."""
    if isinstance(error, MemoryError) or _says(error, _OF_THE_HOST):
        return True
    return isinstance(error, RuntimeError) and str(error) in _OF_ONEDNN


def give_back_freed(device: torch.device) -> None:
    """Gives ``device`` what was freed; call it when the error is gone, which holds all that its frames had made."""
    gc.collect()  # frames and what they hold may refer to each other in circles
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps" and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
