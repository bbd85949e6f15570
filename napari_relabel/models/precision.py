"""Which number formats the processor computes in by itself."""

from __future__ import annotations

import torch


def native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX).

    Returns
    -------
    bool
        False where torch cannot tell, too: without such hardware bfloat16 is many times slower
        than float32.
    """
    # Private names of torch, which may go: then float32 is the safe answer.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)
