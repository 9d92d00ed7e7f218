"""The policy in torch, for training: convolutions and tables make embeddings, a Llama mixes them, a head acts.

OpenVLA-OFT's recipe in small (Kim et al. 2025, arXiv 2502.19645): parallel action slots, L1 regression of a chunk.
Attention is bidirectional within a block of tokens and looks back at the blocks before it (as in pi0), so that
llama.cpp can keep the words and the pictures that did not change.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from rarrl.llama.model import Llama, rotate
from rarrl.policy.serve import GGUF, checked_gguf, load_card, load_outer
from rarrl.policy.spec import PolicySpec

STEM_WIDTHS = (32, 64, 128)
HIDDEN = 128  # of the proprioception's two layers
PRIVILEGED = 6


def block_causal_mask(blocks: tuple[int, ...]) -> torch.Tensor:
    """(tokens, tokens) bool, True where a row may look: at its own block and at those before it."""
    index = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor(blocks))
    return index[:, None] >= index[None, :]


class PolicyModel(nn.Module):
    """Actions in the network's units; `serve.py` computes the same from the exported weights.

    `locate` names the places of things for the training's auxiliary loss; it is not exported."""

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        width = spec.width
        self.word = nn.Embedding(2 + len(spec.vocabulary), width)
        sizes = (3, *STEM_WIDTHS)
        # Overlapping windows: a plain cut into patches loses where within a patch a thing is.
        self.stem = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes))
        self.patch = nn.Conv2d(STEM_WIDTHS[-1], width, 2, stride=2)
        self.place = nn.Parameter(torch.zeros(spec.image_tokens, width))
        self.proprio_in = nn.Linear(len(spec.proprio_names), HIDDEN)
        self.proprio_out = nn.Linear(HIDDEN, width)
        self.slot = nn.Parameter(torch.zeros(spec.horizon, width))
        self.llama = Llama(spec.llama)
        self.head_in = nn.Linear(width, width)
        self.head_out = nn.Linear(width, len(spec.action_names))
        self.locate = nn.Linear(width, PRIVILEGED)
        self.register_buffer("mask", block_causal_mask(spec.blocks), persistent=False)
        for table in (self.word.weight, self.place, self.slot):
            nn.init.normal_(table, std=0.3)  # about as large as the embedded pictures

    def embed(self, words: torch.Tensor, images: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) of words (batch, max_words), images (batch, cameras, 3, size, size) in -0.5..0.5, and
        scaled proprio (batch, p)."""
        x = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for layer in self.stem:
            x = functional.relu(layer(x))
        pictures = self.patch(x).flatten(2).transpose(1, 2).reshape(len(words), self.spec.image_tokens, -1)
        own = self.proprio_out(functional.relu(self.proprio_in(proprio)))
        slots = self.slot.expand(len(words), -1, -1)
        return torch.cat((self.word(words), pictures + self.place, own[:, None], slots), dim=1)

    def forward(
        self, words: torch.Tensor, images: torch.Tensor, proprio: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions (batch, horizon, a) in the network's units, and places (batch, PRIVILEGED)."""
        hidden = self._of_slots(self.embed(words, images, proprio))
        actions = self.head_out(functional.relu(self.head_in(hidden)))
        return actions, self.locate(hidden.mean(dim=1))

    def _of_slots(self, x: torch.Tensor) -> torch.Tensor:
        """`self.llama(x, self.mask)[:, -horizon:]`, a fifth cheaper: in the last block, only the action slots ask."""
        llama, n = self.llama, self.spec.horizon
        angle = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None] * llama.frequency
        rotation = torch.stack((angle.cos(), angle.sin()))
        *blocks, last = llama.blk
        for block in blocks:
            x = block(x, rotation, self.mask)

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.unflatten(2, (-1, last.head_width)).transpose(1, 2)

        h = last.attn_norm(x)
        q, k = rotate(heads(last.attn_q(h[:, -n:])), rotation[:, -n:]), rotate(heads(last.attn_k(h)), rotation)
        mixed = functional.scaled_dot_product_attention(q, k, heads(last.attn_v(h)))
        x = x[:, -n:] + last.attn_output(mixed.transpose(1, 2).flatten(2))
        h = last.ffn_norm(x)
        return llama.output_norm(x + last.ffn_down(functional.silu(last.ffn_gate(h)) * last.ffn_up(h)))


def load_model(folder: Path) -> PolicyModel:
    """The torch form of a policy folder (`serve.py`), its weights as float32; `locate` was not kept.

    Raises: InputError."""
    spec, hashes = load_card(folder)
    model = PolicyModel(spec)
    state = {name: torch.from_numpy(value) for name, value in load_outer(folder, spec, hashes).items()}
    llama = Llama.from_gguf(checked_gguf(folder / GGUF, spec, hashes.get(GGUF)))
    state |= {f"llama.{name}": value for name, value in llama.state_dict().items()}
    model.load_state_dict({**model.state_dict(), **state})
    return model.eval()
