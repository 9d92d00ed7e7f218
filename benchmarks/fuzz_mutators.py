"""Damages inputs in the ways that readers stumble over: bytes, the tree of a JSON or YAML document, binary headers."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[random.Random], bytes]
"""Makes one damaged input; the same generator state makes the same one."""

RAW = (
    "NaN", "-Infinity", "1e999", "-1e999", "1" * 400, "1" * 5000, "-0.0", "1e-999", "01", "0x10", "tru", "'a'", "",
    "[" * 3000, '{"a":' * 1500, '{"a": 1, "a": 2}', '"\\ud800"', '"\\u0000"', '"\\udc00\\ud800"', '"a', "[1,]", "/*",
)  # fmt: skip
"""What JSON's grammar has, or almost has, and no Python value is written as."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.5, 1e308, 1e-308, "", " ",
    "a", "none", "nan", "1", "-1", "1e3", "true", "\n", "a\nb", "\r", "\x1b[2J", "\u2028", "\u202e", "\x00", "é", "𝄞",
    "../../etc/passwd", "/dev/zero", "~", "$HOME", "a" * 5000, "a.b", "a/b", "{x}", "{", "%s", "*", "&a", "<<", [],
    {}, [[]], [{}], [None], {"a": []}, {"": 0}, [0] * 300, ["a"] * 300, [[0, 1], [2]], {"__class__": "x"},
)  # fmt: skip
"""Values of another type, at the ends of ranges, or with characters that a terminal or a path would obey."""
YAML_TOKENS = (
    "&a ", "*a", "<<: *a\n", "!!python/object/apply:os.getcwd []", "!!binary aGk=", "!!set {a, b}", "!!timestamp x",
    "? ", "| ", "> ", "---\n", "...\n", "\t", "{", "}", "[", "]", ": ", "- ", "# ", "'", '"', "%YAML 9.9\n", ".nan",
    "-.inf", "0o17", "1:30:00", "2001-02-30", "\u2028", "\x85", "~", "=", ", ", "\n", "\n  ", '"\\ud800"', "1e999",
    "9" * 400, "[" * 400, "a: " * 50, "- " * 200, "\x00", "\ufeff",
)  # fmt: skip
"""Pieces of YAML that mean something, in places where they do not belong."""
JSON_TOKENS = ("{", "}", "[", "]", ",", ":", '"', "\\", "null", "NaN", "1e999", "\\u0000", "\x00", "\n", "\xff", "\xc3")
BYTES = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\n",
    b"\r",
    b"\x1b",
    b"\xef\xbb\xbf",
    b"\x00" * 8,
    b"\xff" * 8,
    b"A" * 64,
)
WORDS = (
    0,
    1,
    2,
    7,
    8,
    2**7,
    2**8,
    2**15,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
"""Counts, sizes and offsets at which arithmetic goes wrong."""


def damaged(data: bytes, rng: random.Random, tokens: Sequence[bytes] = BYTES, most: int = 4) -> bytes:
    """`data` with up to `most` pieces flipped, cut, doubled, moved, overwritten or put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(out) + 1)
        size = min(rng.choice((1, 1, 2, 4, 8, 16, 64)), len(out) - at)
        way = rng.randrange(8)
        if way == 0 and size:
            out[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del out[at:]
        elif way == 2:
            del out[at : at + size]
        elif way == 3:
            out[at:at] = out[at : at + size] * rng.choice((1, 2, 50))
        elif way == 4:
            out[at:at] = rng.choice(tokens)
        elif way == 5:
            out[at : at + size] = rng.choice(tokens)
        elif way == 6:
            whole = struct.pack(rng.choice(("<I", "<Q", ">I")), rng.choice(WORDS) & 0xFFFFFFFF)
            out[at : at + len(whole)] = whole
        elif size:
            out[at : at + size] = rng.randbytes(size)
    return bytes(out)


def bytes_of(seeds: Sequence[bytes], tokens: Sequence[bytes] = BYTES) -> Mutator:
    """Damages one of `seeds`."""
    return lambda rng: damaged(rng.choice(seeds), rng, tokens)


def json_of(seeds: Sequence[Any], lines: bool = False) -> Mutator:
    """Damages the tree of one of `seeds`, sometimes its text too. lines: every seed is a list, and its entries become a
    line each."""
    texts = [json.dumps(seed) for seed in seeds]
    tokens = [token.encode("latin-1") for token in JSON_TOKENS]

    def mutate(rng: random.Random) -> bytes:
        value = damaged_tree(json.loads(rng.choice(texts)), rng)
        if lines and isinstance(value, list):
            text = "".join(with_raw(each, rng) + "\n" for each in value)
        else:
            text = with_raw(value, rng)
        data = text.encode("utf-8", "surrogatepass")
        return damaged(data, rng, tokens, 2) if rng.random() < 0.2 else data

    return mutate


def yaml_of(seeds: Sequence[str]) -> Mutator:
    """Damages the lines and tokens of one of `seeds`."""
    tokens = [token.encode("utf-8") for token in YAML_TOKENS]

    def mutate(rng: random.Random) -> bytes:
        lines = rng.choice(seeds).splitlines(keepends=True)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines)) if lines else 0
            way = rng.randrange(5)
            if way == 0 and lines:
                del lines[at]
            elif way == 1 and lines:
                lines.insert(at, lines[rng.randrange(len(lines))])
            elif way == 2 and lines:
                lines[at] = " " * rng.randint(0, 5) + lines[at]
            elif lines and ":" in lines[at]:
                key, _, _ = lines[at].partition(":")
                lines[at] = f"{key}: {rng.choice(YAML_TOKENS)}\n"
        data = "".join(lines).encode("utf-8")
        return damaged(data, rng, tokens, 2) if rng.random() < 0.5 else data

    return mutate


def damaged_tree(value: Any, rng: random.Random) -> Any:
    """A tree of lists and mappings with one to three nodes replaced, removed, renamed, doubled or nudged; it is changed
    in place where it can be."""
    root = [value]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder: Any = root
        key: Any = 0
        while isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.85:
            holder = holder[key]
            key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        _damage_node(holder, key, rng)
        if not root:
            return None
    return root[0]


def _damage_node(holder: Any, key: Any, rng: random.Random) -> None:
    found = holder[key]
    way = rng.randrange(9)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[rng.choice([v for v in VALUES if isinstance(v, str)])] = holder.pop(key)
    elif way == 2 and isinstance(holder, dict):
        holder[rng.choice(("extra", "a\nb", "\x1b[1m", "__proto__", key + "s"))] = _fresh(rng)
    elif way == 3 and isinstance(holder, list):
        holder[key:key] = [found] * rng.choice((1, 2, 200))
    elif way == 4 and isinstance(found, (int, float)) and not isinstance(found, bool):
        holder[key] = rng.choice((-found, found + 1, found - 1, found * 1000, found / 3, float(found), str(found)))
    elif way == 5 and isinstance(found, str):
        at = rng.randint(0, len(found))
        holder[key] = found[:at] + str(rng.choice(VALUES)) + found[at:]
    elif way == 6:
        holder[key] = f"\x00raw{rng.randrange(len(RAW))}"
    else:
        holder[key] = _fresh(rng)


def _fresh(rng: random.Random) -> Any:
    """One of VALUES as a copy: the next damage may go into it, and VALUES are the same for every input."""
    return json.loads(json.dumps(rng.choice(VALUES)))


def with_raw(value: Any, rng: random.Random) -> str:
    """The text of a tree, with pieces of RAW where the tree asks for them."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return _MARK.sub(lambda found: RAW[int(found[1]) % len(RAW)], text)


_MARK = re.compile(r'"\\u0000raw(\d+)"')
"""Where `_damage_node` wants a piece of RAW."""


def safetensors_of(seeds: Sequence[bytes]) -> Mutator:
    """Damages a safetensors file: the JSON of its header (its length mended, mostly), its numbers, or its bytes."""

    def mutate(rng: random.Random) -> bytes:
        data = rng.choice(seeds)
        size = int.from_bytes(data[:8], "little")
        header, body = data[8 : 8 + size], data[8 + size :]
        way = rng.random()
        if way < 0.45:
            text = with_raw(damaged_tree(json.loads(header), rng), rng).encode("utf-8", "surrogatepass")
            length = len(text) if rng.random() < 0.9 else rng.choice(WORDS)
            return struct.pack("<Q", length & (2**64 - 1)) + text + body
        if way < 0.7 and len(body) >= 8:  # numbers alone: the layout stays, so that they are read
            at = rng.randrange(len(body) // 4) * 4
            number = rng.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00"))
            return data[: 8 + size] + body[:at] + number + body[at + 4 :]
        return damaged(data, rng)

    return mutate


def gguf_of(seeds: Sequence[tuple[bytes, int]]) -> Mutator:
    """Damages a GGUF file mostly in its head. seeds: (file, bytes of its head)."""

    def mutate(rng: random.Random) -> bytes:
        data, head = rng.choice(seeds)
        out = bytearray(data)
        way = rng.random()
        if way < 0.2:
            return bytes(out[: rng.randrange(head + 64)])
        if way < 0.6:  # one count, size or type
            at = rng.randrange(max(head - 8, 1))
            word = struct.pack("<Q", rng.choice(WORDS))
            width = rng.choice((1, 4, 8))
            out[at : at + width] = word[:width]
            return bytes(out)
        return damaged(data[:head], rng) + data[head:]

    return mutate
