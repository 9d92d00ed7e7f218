"""The sizes of a Llama, and the names and shapes of its tensors in a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass

from rarrl.errors import InputError

LINEARS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The linear layers of a block, in the order in which they are computed."""


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a Llama.

    Args:
        layers: transformer blocks
        width: of embeddings and hidden states
        heads: attention heads; `width / heads`, the size of a head, must be even (rotary positions)
        kv_heads: key and value heads; divides `heads`
        ffn: inner width of the feed-forward part
        context: largest number of tokens at once
        vocab: rows of the token table; a model that is fed embeddings needs one row
        rope_base: base of the rotary positions' frequencies
        norm_eps: added to the mean square in the norms

    Raises: InputError that names the size that is not allowed.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn: int
    context: int = 512
    vocab: int = 1
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "kv_heads", "ffn", "context", "vocab"):
            if getattr(self, name) < 1:
                raise InputError(f"llama.{name}: must be 1 or more, got {getattr(self, name)}")

        if self.width % (2 * self.heads):
            raise InputError(f"llama.width: must be a multiple of 2 * heads = {2 * self.heads}, got {self.width}")
        if self.heads % self.kv_heads:
            raise InputError(f"llama.kv_heads: must divide heads = {self.heads}, got {self.kv_heads}")
        if not (self.rope_base > 0 and self.norm_eps > 0):
            raise InputError(f"llama: rope_base and norm_eps must be > 0, got {self.rope_base}, {self.norm_eps}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def linears(self) -> dict[str, tuple[int, int]]:
        """Returns the name of every linear layer's tensor -> (outputs, inputs), in the order of the computation."""
        kv = self.kv_heads * self.head_width
        d = self.width
        f = self.ffn
        sizes = dict(zip(LINEARS, ((d, d), (kv, d), (kv, d), (d, d), (f, d), (f, d), (d, f)), strict=True))
        return {f"blk.{i}.{name}.weight": size for i in range(self.layers) for name, size in sizes.items()}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Returns the name of every tensor that a GGUF file of this shape must hold -> its shape, rows first."""
        norms = {
            f"blk.{i}.{name}.weight": (self.width,) for i in range(self.layers) for name in ("attn_norm", "ffn_norm")
        }
        table = {"token_embd.weight": (self.vocab, self.width)}
        return {**table, **self.linears(), **norms, "output_norm.weight": (self.width,)}
