"""Damage to files: bits, ends, insertions, other files' content, numbers and headers out of all proportion."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2, 7, 10**9, 10**12, 2**63, 10**30, -(10**30), 0.0, -0.5, 1e-300, 1e308, float("nan"),
    float("inf"), float("-inf"), "", "x", "1", "é\u2028\x00", "9" * 5000, [], [1], {}, {"a": 1}, [[1, 2], [3]],
)  # fmt: skip
"""What a value of a document is replaced by."""
_SIZES = (b"\xff" * 4, b"\xff" * 8, b"\x7f" * 4, struct.pack("<I", 1 << 31), struct.pack("<Q", 1 << 40), b"\x00" * 8)
_SHAPES = ("(1099511627776, 3)", "(30, -3)", "(2, 99999999999999999999)", "()", "(0, 3)", "(30,)", "(True, 3)",
           "(30, 3.5)", "('a', 3)", "(1, 90)", "(30, 3" + ", 1" * 70 + ")", "((30, 3))", "[30, 3]")  # fmt: skip
_TYPES = ("|O", "<f8", ">f4", "<U9", "<c16", "<M8[ns]", "|V24", "[('a', '<f8')]", "'*'", "<f16", "nonsense", "<i8")


def damaged(content: bytes, others: list[bytes], random: Random) -> bytes:
    """The content with one to three faults."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_FAULTS)(content, others, random)
    return content


def _flipped(content: bytes, others: list[bytes], random: Random) -> bytes:
    out = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if out else 0):
        out[_place(out, random)] ^= 1 << random.randrange(8)
    return bytes(out)


def _cut(content: bytes, others: list[bytes], random: Random) -> bytes:
    return content[: _place(content, random)] if random.random() < 0.8 else content[_place(content, random) :]


def _inserted(content: bytes, others: list[bytes], random: Random) -> bytes:
    k = _place(content, random)
    new = random.choice(
        (random.randbytes(random.randrange(1, 40)), b"\x00" * 9, b"[" * 3000, b'"', b"\n", b",", b"nan")
    )
    return content[:k] + new + content[k:]


def _overwritten(content: bytes, others: list[bytes], random: Random) -> bytes:
    k, new = _place(content, random), random.choice(_SIZES)
    return content[:k] + new + content[k + len(new) :]


def _removed(content: bytes, others: list[bytes], random: Random) -> bytes:
    k = _place(content, random)
    return content[:k] + content[k + random.choice((1, 2, 8, 100)) :]


def _doubled(content: bytes, others: list[bytes], random: Random) -> bytes:
    j, k = sorted((_place(content, random), _place(content, random)))
    return content[:k] + content[j:k] + content[k:]


def _swapped(content: bytes, others: list[bytes], random: Random) -> bytes:
    other = random.choice(others)
    if random.random() < 0.5:
        return other
    return content[: _place(content, random)] + other[_place(other, random) :]


_FAULTS = (_flipped, _flipped, _flipped, _cut, _inserted, _overwritten, _removed, _doubled, _swapped)


def _place(content: bytes | bytearray, random: Random) -> int:
    """Mostly anywhere, often near one of the ends, where headers and directories are."""
    n = len(content)
    if n < 2:
        return 0
    where = random.random()
    return random.randrange(min(n, 200)) if where < 0.35 else n - 1 - random.randrange(min(n, 200)) if where < 0.5 \
        else random.randrange(n)  # fmt: skip


def edited_json(content: bytes, random: Random) -> bytes:
    """A document with one to three of its values replaced, removed, renamed, or nested without end."""
    value = _unpacked(json.loads(content))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = random.choice(places)
        what = random.random()
        if what < 0.65:
            holder[key] = random.choice(LEAVES)
        elif what < 0.75:
            del holder[key]
        elif what < 0.85 and isinstance(holder, dict):
            holder[random.choice(("", "x", "kind", "name", "config"))] = holder.pop(key)
        elif what < 0.95 and isinstance(holder[key], list) and holder[key]:
            holder[key] = random.choice((holder[key] * 3, holder[key][:-1], holder[key][::-1]))
        else:
            text = json.dumps(_packed(value)).encode()
            return text[:-1] + b', "deep": ' + b"[" * 5000 + b"]" * random.choice((5000, 0)) + b"}"
    return json.dumps(_packed(value)).encode()


_INSIDE = "document in a text"


def _unpacked(value: Any) -> Any:
    """A document with the documents that its texts hold as parts of it."""
    if isinstance(value, str) and value.startswith("{"):
        return {_INSIDE: _unpacked(json.loads(value))}
    if isinstance(value, dict):
        return {key: _unpacked(part) for key, part in value.items()}
    return [_unpacked(part) for part in value] if isinstance(value, list) else value


def _packed(value: Any) -> Any:
    """The inverse of `_unpacked`."""
    if isinstance(value, dict):
        if set(value) == {_INSIDE}:
            return json.dumps(_packed(value[_INSIDE]))
        return {key: _packed(part) for key, part in value.items()}
    return [_packed(part) for part in value] if isinstance(value, list) else value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def edited_npy(content: bytes, random: Random) -> bytes:
    """A .npy file whose header tells another shape or type."""
    import ast
    import re

    length = struct.unpack("<H", content[8:10])[0]
    header = content[10 : 10 + length].decode("latin-1")
    fields = ast.literal_eval(header)
    if random.random() < 0.6:
        header = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {random.choice(_SHAPES)}", header)
    elif random.random() < 0.7:
        kind = random.choice(_TYPES)
        header = header.replace(repr(fields["descr"]), kind if kind.startswith(("[", "'")) else repr(kind))
    else:
        header = random.choice(
            ("{}", "[" * 900, "{'descr': " * 90, "9" * 9000, "{'a'", "\x00" * 40, header * 3, "(" * 99)
        )
    text = header.encode("latin-1", "replace").rstrip() + b"\n"
    return content[:8] + struct.pack("<H", len(text)) + text + content[10 + length :]


def edited_npz(content: bytes, random: Random) -> bytes:
    """An archive of arrays, of one of which the header is edited."""
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = random.choice(names)
        for name in names:
            member = old.read(name)
            new.writestr(name, edited_npy(member, random) if name == chosen else member)
    return out.getvalue()


def edited_safetensors(content: bytes, random: Random) -> bytes:
    """A .safetensors file whose header is edited, its own length right or not."""
    length = struct.unpack("<Q", content[:8])[0]
    header = edited_json(content[8 : 8 + length], random)
    told = random.choice((len(header),) * 6 + (1 << 40, 0))
    return struct.pack("<Q", told) + header + content[8 + length :]


def edited_toml(content: bytes, random: Random) -> bytes:
    """A schema with one of its settings replaced."""
    lines = content.decode().split("\n")
    settings = [i for i, line in enumerate(lines) if " = " in line]
    values = (
        '"x"', "nan", "-1", "[]", "true", "1e400", "1e-320", '"log"', '"logit"', '"integer"', '"copy"', "2024-05-01",
        "{}", '["a", 1]', "[[1]]", "9" * 5000, "0.1", "[nan]", "[1, 2]", '"ordinal"', "1_0", "0x" + "f" * 99,
        "07:32:00", "[" * 3000,
    )  # fmt: skip
    names = (
        "kind",
        "transform",
        "low",
        "high",
        "atoms",
        "values",
        "resolution",
        "bound",
        "centre",
        "scale",
        "above",
        "of",
        "x",
    )
    for _ in range(random.choice((1, 1, 2, 3))):
        i = random.choice(settings)
        name = lines[i].split(" = ")[0]
        new = f"{random.choice((name, *names))} = {random.choice(values)}"
        if random.random() < 0.3:
            lines[i] += "\n" + new
        else:
            lines[i] = new
    return "\n".join(lines).encode()
