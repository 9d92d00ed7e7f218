"""llama.cpp's Llama in torch, for training and gradients: embeddings in, hidden states out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from rarrl.llama.gguf import Gguf
from rarrl.llama.shape import LlamaShape


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Block(nn.Module):
    """Attention, then SwiGLU, each around a residual. The layers bear their GGUF names."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        kv = shape.kv_heads * shape.head_width
        self.head_width = shape.head_width
        self.grouped = shape.heads != shape.kv_heads
        self.attn_norm = RMSNorm(shape.width, shape.norm_eps)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv, bias=False)
        self.attn_v = nn.Linear(shape.width, kv, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = RMSNorm(shape.width, shape.norm_eps)
        self.ffn_gate = nn.Linear(shape.width, shape.ffn, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.ffn, bias=False)
        self.ffn_down = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(
        self, x: torch.Tensor, rotation: torch.Tensor, mask: torch.Tensor | None, first: int = 0
    ) -> torch.Tensor:
        """The rows from `first` on, which still look at all rows: enough for the last block where only the last
        tokens are read."""
        h = self.attn_norm(x)
        q = self._heads(self.attn_q(h[:, first:]))
        k = self._heads(self.attn_k(h))
        v = self._heads(self.attn_v(h))
        q, k = rotate(q, rotation[:, first:]), rotate(k, rotation)
        mask = mask if mask is None else mask[..., first:, :]
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=self.grouped)
        x = x[:, first:] + self.attn_output(mixed.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)

        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (-1, self.head_width)).transpose(1, 2)  # (batch, heads, tokens, head_width)


def rotate(x: torch.Tensor, rotation: torch.Tensor | tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions on neighbouring pairs (0, 1), (2, 3)...: llama.cpp's order; Hugging Face's rotates halves.

    Args:
        x: (..., tokens, head_width)
        rotation: cosines and sines, (tokens, head_width / 2) each
    """
    cos, sin = rotation
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def block_mask(blocks: Sequence[int]) -> torch.Tensor:
    """(tokens, tokens) bool, True where a row may look: a token may look at its own block and the blocks before.

    One block is bidirectional, blocks of one token are causal. llama.cpp does the same in one decode for each block,
    with causal attention off."""
    index = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor(blocks))
    return index[:, None] >= index[None, :]


class Llama(nn.Module):
    """Embeddings in, hidden states after the last norm out; agrees with llama.cpp (see tests/llama)."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RMSNorm(shape.width, shape.norm_eps)
        frequency = shape.rope_base ** (-torch.arange(0, shape.head_width, 2).double() / shape.head_width)
        self.register_buffer("frequency", frequency.float(), persistent=False)

        for name, linear in self.linears().items():
            # Layers that write into the residual start smaller, so that its size does not grow with depth (GPT-2).
            writes = name.split(".")[2] in ("attn_output", "ffn_down")
            nn.init.normal_(linear.weight, std=0.02 / (2 * shape.layers) ** 0.5 if writes else 0.02)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, layers: int | None = None) -> torch.Tensor:
        """Hidden states (batch, tokens, width) of embeddings (batch, tokens, width).

        Args:
            mask: bool, True where a row may look, (tokens, tokens) or (batch, 1, tokens, tokens); None: everywhere
            layers: stop after so many blocks (the last norm is applied still); None: all
        """
        rotation = self.rotation(x.shape[1])
        for block in self.blk[:layers]:
            x = block(x, rotation, mask)
        return self.output_norm(x)

    def rotation(self, tokens: int) -> torch.Tensor:
        """(2, tokens, head_width / 2): what `Block` turns queries and keys by at positions 0, 1, ..."""
        angle = torch.arange(tokens, device=self.frequency.device)[:, None] * self.frequency
        return torch.stack((angle.cos(), angle.sin()))

    def linears(self) -> dict[str, nn.Linear]:
        """GGUF name -> linear layer, in the order in which they are computed; hang torch hooks on these."""
        return {name: self.get_submodule(name.removesuffix(".weight")) for name in self.shape.linears()}

    @classmethod
    def from_gguf(cls, gguf: Gguf) -> Llama:
        """The model of a file, with its weights dequantized to float32; the token tables are left in the file."""
        model = cls(gguf.shape)
        model.load_state_dict({name: torch.from_numpy(gguf.values(name)) for name in model.state_dict()})
        if "rope_freqs.weight" in gguf.tensors:  # long contexts of Llama 3
            model.frequency /= torch.from_numpy(gguf.values("rope_freqs.weight"))
        return model.eval()
