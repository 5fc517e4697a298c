"""Formulas between the words of a text, `at sigma = 0`, `n^2 numbers`: found by their letters and signs."""

from __future__ import annotations

import re
from functools import cache

from formulas import FUNCTIONS, GREEK, named, tex

PICTURES = re.compile(r"no alpha|keeps? alpha|grey|image|picture|pixel|channel|opaque|transparent|background")
"""Where alpha is no letter of mathematics but how opaque a pixel is."""
ALONE = {"alpha", "sigma", "theta", "eps", "phi", "psi", "rho", "kappa", "tau", "eta", "Omega", "x0"}
"""Names that are letters of mathematics wherever they stand."""
PLAIN = "alpha beta gamma eps eta theta kappa lambda mu rho sigma tau phi psi 0 1 sqrt - ^2".split()
WRITTEN = dict(zip("αβγεηθκλμρστφψ₀₁√−²", PLAIN, strict=True))
"""Signs that authors write as they are."""
LETTERS = "|".join(sorted(GREEK))
SURE = re.compile(rf"\b(?:{LETTERS}|x0)\b|(?:{LETTERS})_|\^|\bsqrt\(|\S [=<>+*~-] |<=|>=|<-|\bN\(|\b[EO]\[|\bO\(")
"""What words alone do not have."""
FIRST = re.compile(
    r"[(\[]*[-+|]?(?:[A-Za-z]\b|[A-Za-z]\d|\d|sqrt|log|exp|tanh|[α-ω]|[A-Za-z]+[_^(]|"
    rf"(?:{LETTERS})(?![a-z]))"
)
"""How a formula begins."""
ARTICLES = {"a", "A", "I"}
LONGEST = 24


def prose(text: str) -> list[tuple[str, str | None]]:
    """The text cut at what reads as a formula between words, each piece with its TeX, None of words."""
    found: list[tuple[str, str | None]] = []
    done, words, picture = 0, list(re.finditer(r"\S+", text)), bool(PICTURES.search(text))
    k = 0
    while k < len(words):
        hit = _run(text, [word.span() for word in words[k : k + LONGEST]])
        if hit and not (picture and text[slice(*hit[:2])] == "alpha"):
            start, end, made, used = hit
            found += [(text[done:start], None), (text[start:end], made)]
            done, k = end, k + used - 1
        k += 1
    return [(piece, made) for piece, made in [*found, (text[done:], None)] if piece]


def _run(text: str, words: list[tuple[int, int]]) -> tuple[int, int, str, int] | None:
    """The longest formula that begins in the first word: start, end, TeX, and how many words it takes."""
    first = text[slice(*words[0])]
    if not FIRST.match(first):
        return None
    for count in range(len(words), 0, -1):
        whole = text[words[0][0] : words[count - 1][1]]
        opened = re.match(r"[(\[]*", whole)[0]  # type: ignore[index]
        for skip in range(len(opened) + 1):
            for cut in _endings(whole):
                piece = whole[skip:cut]
                made = _said(piece)
                if made:
                    return words[0][0] + skip, words[0][0] + cut, made, count
    return None


def _endings(whole: str) -> list[int]:
    """Where a formula at the end of these words may end: before stops, brackets and a genitive's s."""
    bare = re.sub(r"[\u2019']s(?=[.,;:)]*$)", "", whole)
    ends = [len(bare)]
    while bare and bare[-1] in ".,;:)]":
        bare = bare[:-1]
        ends.append(len(bare))
    return ends


@cache
def _said(piece: str) -> str | None:
    """The TeX of words that are a formula beyond doubt: letters of mathematics and signs, no other words."""
    piece = re.sub("\u2019(?![a-z])", "'", " ".join(piece.split()))
    piece = "".join(WRITTEN.get(letter, letter) for letter in piece)
    if re.fullmatch(r"\d+\^\w+", piece):
        return tex(piece)
    if piece.rstrip("'") in ALONE:
        return named(piece)
    if not SURE.search(piece) or not re.search("[A-Za-z]", piece) or {piece.split()[0], piece.split()[-1]} & ARTICLES:
        return None
    called = re.search(r"[A-Za-z]\(", piece)
    for name in re.findall(r"[A-Za-z][A-Za-z0-9_]*", piece):
        if not (_is_letter(name) or (called and name in ("step", "score"))):
            return None
    if piece.split()[-1] in FUNCTIONS or re.search(r"[A-Za-z] \d|[a-z]{2,}-[a-z]", piece):
        return None
    return tex(piece)


def _is_letter(name: str) -> bool:
    """A letter of mathematics with its subscripts, or a function of analysis."""
    head = re.sub(r"\d.*", "", name.split("_")[0])
    return len(head) == 1 or head in GREEK or head in FUNCTIONS or bool(re.fullmatch("sqrt|d[a-zA-Z]", head))
