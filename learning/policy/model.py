"""The policy in torch, for training: convolutions and tables embed, a Llama mixes, a head gives the actions.

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

from rarrl.errors import InputError
from rarrl.policy.serve import GGUF, checked_gguf, load_card, load_outer
from rarrl.policy.spec import PAD, UNKNOWN, PolicySpec

from ..torch_llama import Llama, block_mask

STEM_WIDTHS = (32, 64, 128)  # channels after each halving convolution of the image
HIDDEN = 128  # width between the two layers of the proprioception
PRIVILEGED = 6  # numbers of the auxiliary target: positions that only the simulator knows


class PolicyModel(nn.Module):
    """Actions in the network's units; `serve.py` computes the same from the exported weights.

    `locate` names the places of things for the training's auxiliary loss; it is not exported."""

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        width = spec.width
        self.word = nn.Embedding(2 + len(spec.vocabulary), width)
        sizes = (3, *STEM_WIDTHS)

        # Overlapping windows: separate patches lose where within a patch an object is.
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
        self.register_buffer("mask", block_mask(spec.blocks), persistent=False)
        for table in (self.word.weight, self.place, self.slot):
            nn.init.normal_(table, std=0.3)  # about as large as the embedded pictures

    def embed(
        self, words: torch.Tensor, images: torch.Tensor, proprio: torch.Tensor, patches: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, tokens, width) of words (batch, max_words), images (batch, cameras, 3, size, size) in -0.5..0.5, and
        scaled proprio (batch, p). patches: (batch, k), those to keep, rising; None: all."""
        pictures = self.pictures(images)
        if patches is not None:
            pictures = pictures.gather(1, patches[:, :, None].expand(-1, -1, pictures.shape[2]))
        return self.joined(words, pictures, proprio)

    def pictures(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, patches, width) of images: what of them enters the transformer."""
        x = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for layer in self.stem:
            x = functional.relu(layer(x))
        return self.patch(x).flatten(2).transpose(1, 2).reshape(len(images), self.spec.image_tokens, -1) + self.place

    def joined(self, words: torch.Tensor, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width): words, (batch, k, width) of patches, proprioception, slots."""
        own = self.proprio_out(functional.relu(self.proprio_in(proprio)))
        slots = self.slot.expand(len(words), -1, -1)
        return torch.cat((self.word(words), pictures, own[:, None], slots), dim=1)

    def forward(
        self, words: torch.Tensor, images: torch.Tensor, proprio: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions (batch, horizon, a) in the network's units, and places (batch, PRIVILEGED)."""
        hidden = self.slots_after(self.embed(words, images, proprio))[-1]
        return self.act(hidden), self.locate(hidden.mean(dim=1))

    def act(self, hidden: torch.Tensor) -> torch.Tensor:
        """The head: actions (batch, horizon, a) of the slots' hidden states."""
        return self.head_out(functional.relu(self.head_in(hidden)))

    def slots_after(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The action slots' hidden states (batch, horizon, width) after each block of the transformer, normalised: the
        exits. In the last block only the slots are queries, which makes the transformer a fifth cheaper."""
        llama = self.llama
        n = self.spec.horizon
        tokens = x.shape[1]
        words, _, rest = self.spec.blocks
        mask = self.mask if tokens == len(self.mask) else block_mask((words, tokens - words - rest, rest))
        rotation = llama.rotation(tokens)

        mask = mask.to(x.device)
        found = []
        for block in llama.blk:
            x = block(x, rotation, mask, first=tokens - n if block is llama.blk[-1] else 0)
            found.append(llama.output_norm(x[:, -n:]))
        return found


def adopted(start: PolicyModel, spec: PolicySpec) -> PolicyModel:
    """A policy for other words, scales and sentences that begins with what `start` knows: words by their name, new ones
    as the unknown word, and first and last layers such that its actions on known words are those of `start`.

    Raises: InputError where cameras, proprioception, actions or sizes differ."""
    for name in (
        "cameras",
        "image_size",
        "proprio_names",
        "action_names",
        "horizon",
        "layers",
        "width",
        "heads",
        "ffn",
    ):
        had, asked = getattr(start.spec, name), getattr(spec, name)
        if had != asked:
            raise InputError(f"start: that policy has {name} {had}, the new one needs {asked}; name another")

    old = start.spec
    model = PolicyModel(spec)
    state = start.state_dict()
    rows = [PAD, UNKNOWN]
    rows += [old.vocabulary.index(word) + 2 if word in old.vocabulary else UNKNOWN for word in spec.vocabulary]
    state["word.weight"] = state["word.weight"][rows]

    def tensor(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    weight, bias = (state[f"proprio_in.{part}"].double() for part in ("weight", "bias"))
    moved = (tensor(spec.proprio_mean) - tensor(old.proprio_mean)) / tensor(old.proprio_scale)
    state["proprio_in.bias"] = (bias + weight @ moved).float()
    state["proprio_in.weight"] = (weight * tensor(spec.proprio_scale) / tensor(old.proprio_scale)).float()

    weight, bias = (state[f"head_out.{part}"].double() for part in ("weight", "bias"))
    span, new_span = (tensor(s.action_high) - tensor(s.action_low) for s in (old, spec))
    middles = (tensor(s.action_high) + tensor(s.action_low) for s in (old, spec))
    offset = next(middles) - next(middles)
    state["head_out.weight"] = (weight * (span / new_span)[:, None]).float()
    state["head_out.bias"] = ((bias * span + offset) / new_span).float()
    model.load_state_dict(state)
    return model


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
