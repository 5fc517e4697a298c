"""Texts as sequences of tokens, and back: one token for each character."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield._files import shown
from scorefield._ranges import whole

_LENGTH = whole(1, 1 << 20)


@dataclass(frozen=True)
class Vocabulary:
    """The characters of texts, in order, and whether texts of different lengths end in a token of their own.

    A text that is shorter than the sequences is followed by end tokens up to their length. Read back, a text ends
    before its first one.

    Args:
        characters: that tokens stand for; the end, where there is one, comes after them.
        ends: whether there is an end token.

    Example:
        >>> found = Vocabulary.of(["ACGT", "GA"])
        >>> found.encode(["GA"], 4)
        tensor([[2, 0, 4, 4]])
        >>> found.decode(torch.tensor([[2, 0, 4, 4]]))
        ['GA']
    """

    characters: str
    ends: bool

    def __post_init__(self) -> None:
        if len(set(self.characters)) != len(self.characters) or not self.characters:
            raise ValueError(f"a vocabulary has different characters, at least one, got {shown(self.characters)}.")

    @staticmethod
    def of(texts: Sequence[str]) -> Vocabulary:
        """The characters that occur; an end token if lengths differ."""
        check_texts(texts)
        return Vocabulary("".join(sorted(set("".join(texts)))), len({len(text) for text in texts}) > 1)

    @property
    def size(self) -> int:
        """K, the end token included."""
        return len(self.characters) + self.ends

    def encode(self, texts: Sequence[str], length: int, blank: str | None = None, mask: int = -1) -> Tensor:
        """Tokens `(n, length)` int64.

        Args:
            texts: none longer than length; shorter ones only where there is an end token.
            length: of the sequences.
            blank: a character that stands for a token to be filled.
            mask: the number of these.

        Raises:
            ValueError: for characters that are not in the vocabulary and texts of another length, with row and place.
        """
        check_texts(texts)
        number = {c: k for k, c in enumerate(self.characters)}
        if blank is not None:
            if len(blank) != 1 or blank in number:
                raise ValueError(f"blank is one character that no text has, got {shown(blank)}.")
            number[blank] = mask
        rows = []
        for i, text in enumerate(texts):
            if len(text) > length or (len(text) < length and not self.ends):
                most = "at most " if self.ends else ""
                raise ValueError(f"the text in row {i} has {len(text)} characters; this model takes {most}{length}.")
            unknown = [j for j, c in enumerate(text) if c not in number]
            if unknown:
                raise ValueError(
                    f"the text in row {i} has the character {shown(text[unknown[0]])} in place {unknown[0]}, which the "
                    "vocabulary does not have; leave such texts out, or fit on texts that have it."
                )
            rows.append([number[c] for c in text] + [len(self.characters)] * (length - len(text)))
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), length)

    def decode(self, x: Tensor) -> list[str]:
        """Texts of tokens `(n, L)`, up to the first end token each."""
        names = [*self.characters, None]
        texts = []
        for row in x.tolist():
            ended = row.index(len(self.characters)) if self.ends and len(self.characters) in row else len(row)
            texts.append("".join(names[k] or "" for k in row[:ended]))
        return texts

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {"characters": self.characters, "ends": self.ends}

    @staticmethod
    def from_json(value: object) -> Vocabulary:
        """The inverse of `to_json`.

        Raises:
            ValueError: for anything else.
        """
        fields = value if isinstance(value, dict) else {}
        characters, ends = fields.get("characters"), fields.get("ends")
        if not isinstance(characters, str) or not isinstance(ends, bool):
            raise ValueError(f"a vocabulary has characters and whether texts end, got {shown(value)}.")
        return Vocabulary(characters, ends)


def windows(text: str, length: int) -> list[str]:
    """A long text cut into pieces of a length, one after the other; what is left at its end is no whole piece.

    Example:
        >>> windows("abcdefg", 3)
        ['abc', 'def']
    """
    _LENGTH("windows(length=...)", length)
    if not isinstance(text, str):
        raise TypeError(f"windows takes one text, got {type(text).__name__}.")
    if len(text) < 2 * length:
        raise ValueError(
            f"a text of {len(text)} characters does not make two pieces of {length}; take a shorter length."
        )
    return [text[i : i + length] for i in range(0, len(text) - length + 1, length)]


def check_texts(texts: Iterable[str]) -> None:
    """Raise unless all are texts of at least one character; the message names the first row that is not."""
    if isinstance(texts, str):
        raise TypeError("texts are a list, got one text; cut it into pieces by discrete.windows(text, length).")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"row {i} must be a text, got {type(text).__name__}.")
        if not text:
            raise ValueError(f"the text in row {i} is empty; leave it out.")
