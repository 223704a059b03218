"""The vision tower: patches of pictures to the features that take the place of pad tokens, and their DeepStack
companions.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from qwen3vl.checkpoints.config import VisionConfig
from qwen3vl.kernels.pictures import Segments, picture_attention

_NORM_EPS = 1e-6
_ROPE_THETA = 10_000.0

Grid = tuple[int, int]  # rows and columns of patches, both multiples of the merge size


class VisionAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, segments: Segments) -> torch.Tensor:
        qkv = self.qkv(x).view(len(x), 3, self.num_heads, self.head_dim)
        out: torch.Tensor = self.proj(picture_attention(qkv, cos, sin, segments, self.head_dim**-0.5).flatten(1))
        return out


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=_NORM_EPS)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=_NORM_EPS)
        self.attn = VisionAttention(config)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, segments: Segments) -> torch.Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, segments)
        out: torch.Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))
        return out


class PatchMerger(nn.Module):
    """Joins each 2x2 block of patches into one token. The main merger normalises before the join, DeepStack's after."""

    def __init__(self, config: VisionConfig, *, norm_after_join: bool) -> None:
        super().__init__()
        self.joined_size = config.hidden_size * config.merge_size**2
        self.norm_after_join = norm_after_join
        self.norm = nn.LayerNorm(self.joined_size if norm_after_join else config.hidden_size, eps=_NORM_EPS)
        self.fc1 = nn.Linear(self.joined_size, self.joined_size)
        self.fc2 = nn.Linear(self.joined_size, config.out_hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x.view(-1, self.joined_size)) if self.norm_after_join else self.norm(x).view(-1, self.joined_size)
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class VisionTower(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        # A convolution whose stride is its kernel is a linear map of each patch, and far faster as one.
        self.patch_embed = nn.Linear(config.patch_dim, config.hidden_size)
        self.pos_embed = nn.Embedding(config.num_position_embeddings, config.hidden_size)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config, norm_after_join=False)
        self.deepstack_mergers = nn.ModuleList(
            PatchMerger(config, norm_after_join=True) for _ in config.deepstack_indexes
        )

    def forward(self, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
        """Encodes pictures that do not see each other.

        patches: [sum of rows * columns, patch_dim] uint8 pixel values in merge-block order; grids: one for each
        picture. Returns [1 + taps, sum of rows * columns / merge_size^2, hidden of the decoder]: main features, then
        DeepStack's.
        """
        weight = self.patch_embed.weight
        x = self.patch_embed((patches.float() / 127.5 - 1).to(weight.dtype))
        runs = [(grid, len(list(same))) for grid, same in itertools.groupby(grids)]
        positions = torch.cat(
            [patch_positions(grid, self.config.merge_size, weight.device).repeat(count, 1) for grid, count in runs]
        )
        sizes = torch.cat([torch.tensor(grid).expand(count * grid[0] * grid[1], 2) for grid, count in runs])
        x = x + self._position_embeddings(positions, sizes.to(weight.device)).to(x.dtype)
        cos, sin = _rotary_angles(positions, self.config.head_dim)
        segments = [(count, rows * columns) for (rows, columns), count in runs]
        taps = []
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, segments)
            if index in self.config.deepstack_indexes:
                taps.append(self.deepstack_mergers[self.config.deepstack_indexes.index(index)](x))
        return torch.stack([self.merger(x), *taps])

    def _position_embeddings(self, positions: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """The learned square of embeddings, stretched over each picture's grid: bilinear, corners aligned."""
        side = round(self.config.num_position_embeddings**0.5)
        at = positions.float() * (side - 1) / (sizes - 1).clamp(min=1)  # [N, 2] in units of the table's cells
        low = at.floor()
        share = at - low
        low = low.long()
        high = (low + 1).clamp(max=side - 1)
        out = torch.zeros(len(at), self.config.hidden_size, device=at.device)
        for row, row_weight in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
            for column, column_weight in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
                out += self.pos_embed(row * side + column) * (row_weight * column_weight)[:, None]
        return out


def patch_positions(grid: Grid, merge_size: int, device: torch.device) -> torch.Tensor:
    """Row and column of each patch, [rows * columns, 2], block by block, and row by row within a block."""
    rows, columns = (torch.arange(n, device=device).view(-1, merge_size) for n in grid)
    row = rows[:, None, :, None].expand(-1, len(columns), -1, merge_size)
    column = columns[None, :, None, :].expand(len(rows), -1, merge_size, -1)
    return torch.stack([row.flatten(), column.flatten()], dim=-1)


def _rotary_angles(positions: torch.Tensor, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, [N, 1, head_dim / 2]: the first half of the frequencies turns with the row, the rest with
    the column.
    """
    quarter = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=positions.device) / (head_dim // 2)
    frequencies = 1.0 / _ROPE_THETA**quarter
    angles = (positions[..., None].float() * frequencies).flatten(1)[:, None]
    return angles.cos(), angles.sin()
