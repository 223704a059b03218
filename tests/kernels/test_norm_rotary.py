"""Norm and rotary against their definitions and the reference library's functions."""

from __future__ import annotations

import pytest
import torch
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm, apply_rotary_pos_emb

from qwen3vl.kernels.norm import rms_norm, rms_norm_reference
from qwen3vl.kernels.rotary import apply_rotary


@pytest.mark.parametrize("shape", [(1, 7), (3, 256), (2, 5, 33)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_rms_norm(shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(shape, generator=generator) * 3).to(dtype)
    library = Qwen3VLTextRMSNorm(shape[-1], eps=1e-6).to(dtype)
    with torch.no_grad():
        library.weight.copy_(torch.randn(shape[-1], generator=generator))
        expected = library(x)
        for norm in (rms_norm, rms_norm_reference):
            torch.testing.assert_close(norm(x, library.weight, 1e-6), expected, rtol=tolerance, atol=tolerance)


def test_rotary_equals_the_reference_library() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, 16, generator=generator)
    angles = torch.randn(5, 8, generator=generator)
    both = torch.cat([angles, angles], dim=-1)
    expected, _ = apply_rotary_pos_emb(
        x[None].transpose(1, 2), x[None].transpose(1, 2), both.cos()[None], both.sin()[None]
    )
    out = apply_rotary(x, angles.cos()[:, None], angles.sin()[:, None])
    torch.testing.assert_close(out, expected[0].transpose(0, 1))
