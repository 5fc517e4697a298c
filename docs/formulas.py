r"""Formulas of docstrings and guides, written so that a terminal shows them well, as TeX.

`alpha * x0 + sigma * eps` is read here, and the site shows it typeset. What is in backticks is

    a formula   it reads as one and has a sign of one: a relation, an operation, a power, bars, a mean, a function of
                analysis
    code        a name or a number alone, a call, a setting (`probes = 0`), a shape (`(n, *shape)`), a map of shapes
                or of names (`(x, sigma) -> raw`), a line of Python or of a shell

and nothing else: `unclear` finds what is neither, and the check of the site complains about it. The notation is that of
the docstrings: `x0`, `x_l`, `sigma_max` have subscripts, `^` or `**` a power, ` . ` an inner product, `^T` a
transposition, `grad`, `div`, `laplacian`, `tr` are operators, words of many letters stand upright. A fraction in a
power needs brackets, `n^(-1/2)`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache

GREEK = {
    name: f"\\{name}"
    for name in (
        "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
        "Gamma Delta Theta Lambda Sigma Phi Psi Omega"
    ).split()
} | {"eps": r"\varepsilon"}
FUNCTIONS = {name: f"\\{name}" for name in ("log", "exp", "sin", "cos", "tanh", "min", "max", "det")} | {
    "atan": r"\arctan",
    "softplus": r"\operatorname{softplus}",
    "tr": r"\operatorname{tr}",
    "diag": r"\operatorname{diag}",
    "clip": r"\operatorname{clip}",
    "Cov": r"\operatorname{Cov}",
    "Var": r"\operatorname{Var}",
    "KL": r"\mathrm{KL}",
    "grad": r"\nabla",
    "div": r"\nabla \cdot",
    "laplacian": r"\Delta",
    "sum": r"\sum",
    "prod": r"\prod",
    "int": r"\int",
    "integral": r"\int",
}
INDEXED = {"sum", "prod", "int", "grad", "min", "max"}
MEANS = {"E": r"\mathbb{E}", "N": r"\mathcal{N}"}
"""Letters that are signs of a formula before a bracket."""
RELATIONS = {
    "=": "=",
    "<": "<",
    ">": ">",
    "<=": r"\le",
    ">=": r"\ge",
    "<-": r"\leftarrow",
    "~": r"\propto",
    "->": r"\mapsto",
}
TOKEN = re.compile(
    r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?|[sv][+-](?= [-+=/)]|\))|[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*'*(?!'|_(?![({]))"
    r"|\*\*|<-|->|<=|>=|\.\.\.|\.\.|\.T\b|[-+*/^=<>~|,;.()\[\]{}'_])"
)
SHAPE = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
OPERATION = re.compile(r"\^|\*\*| [-+*/=~.<>|] |\|\w.*\||\bgrad |\bE\[|\\\||\b(?:sum|prod)_| <= | >= | <- ")
"""What makes a reader think of a formula."""


@dataclass
class Reader:
    """A text's tokens, where the reading stands, and whether a sign of a formula was seen."""

    text: str
    tokens: list[tuple[str, bool, bool]] = field(default_factory=list)  # with: a space before, a space or the end after
    at: int = 0
    marked: bool = False
    bars: list[str] = field(default_factory=list)  # the brackets that are open

    def __post_init__(self) -> None:
        place = 0
        while place < len(self.text.rstrip()):
            match = TOKEN.match(self.text, place)
            if not match:
                raise ValueError(self.text[place:])
            place = match.end()
            self.tokens.append((match[1], match.start(1) > match.start(), self.text[place : place + 1] in ("", " ")))

    @property
    def next(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    @property
    def spaces(self) -> tuple[bool, bool]:
        return self.tokens[self.at][1:]

    def take(self, *wanted: str) -> str:
        token = self.next
        if not token or (wanted and token not in wanted):
            raise ValueError(f"{token!r} in {self.text!r}")
        self.at += 1
        return token

    # ------------------------------------------------------------------------------------------ from loose to tight

    def listed(self, close: str) -> str:
        """What stands between brackets: relations, with commas, semicolons and the bar of a condition between."""
        self.bars.append(close)
        parts = [self.relation()]
        while self.next != close:
            if self.next == "|":
                self.marked |= True
                parts.append(r" \mid " + self._after(self.relation))
            else:
                parts.append(self.take(",", ";") + r"\, " + self.relation())
        self.bars.pop()
        return "".join(parts)

    def _after(self, read: object) -> str:
        self.take()
        return read()  # type: ignore[operator]

    def relation(self) -> str:
        parts = [self.sum()]
        while self.next in RELATIONS:
            if self.next == ">" and "angle" in self.bars[-1:]:
                break
            if self.spaces != (True, True) and "}" not in self.bars:
                raise ValueError("a relation without spaces")
            sign, self.marked = self.take(), True
            right = self.sum()
            law = sign == "~" and re.match(r"\\mathcal|\\mathrm\{[A-Z]", right)
            shown = r"\sim" if law else RELATIONS[sign]
            parts.append(f" {shown} {right}")
        return "".join(parts)

    def sum(self) -> str:
        parts = [f"{self.take()}{self.term()}" if self.next == "+" and not self.spaces[1] else self.term()]
        while self.next in ("+", "-"):
            if self.spaces[0] != self.spaces[1] or not (self.spaces[0] or "}" in self.bars):
                raise ValueError("a hyphen")
            self.marked = True
            parts.append(f" {self.take()} {self.term()}")
        return "".join(parts)

    def term(self) -> str:
        parts = [self.factor()]
        while self.next and not self._ends_term():
            if self.next == "|" and not self._opens():
                break
            before = self.tokens[self.at - 1][0]
            if self.next == "*":
                self.take()
                self.marked = True
                right = self.factor()
                parts.append(
                    (r" \times " if parts[-1][-1:].isdigit() and right[:1].isdigit() else _beside(parts[-1], right))
                    + right
                )
            elif self.next == "/":
                if not self.spaces[0] and len(before) > 3 and before not in GREEK:
                    raise ValueError("a path")
                spaced = self.spaces[0]
                self.take()
                parts.append(f" / {self.factor()}")
                self.marked |= spaced or not (before[0].isdigit() and parts[-1][3:].isdigit())
            elif self.next == "." and self.spaces == (True, True):
                self.take()
                self.marked = True
                parts.append(rf" \cdot {self.factor()}")
            else:
                spaced = self.spaces[0]
                called = self.next == "(" and not spaced
                count = before[0].isdigit() and len(self.next) == 1
                if not (spaced or called or count or before in ("E", ")", "1", "Cov")):
                    raise ValueError("two things without a space")
                right = self.factor()
                signs = before[0].isalpha() if called else spaced
                self.marked |= signs and not (_is_word(parts[-1]) or _is_word(right))
                parts.append(right if called else _beside(parts[-1], right) + right)
        return "".join(parts)

    def factor(self) -> str:
        if self.next == "-":
            self.take()
            if self.next == "-" or self.tokens[self.at][1]:
                raise ValueError("a hyphen, or an option")
            inner = self.factor()
            self.marked |= inner.startswith("\\") and not _is_word(inner)
            return f"-{inner}"
        made = self.primary()
        while True:
            if self.next in ("^", "**"):
                self.take()
                self.marked = True
                made = f"{made}^{{{self.raised()}}}"
            elif self.next == ".T":
                self.take()
                self.marked = True
                made = rf"{made}^\top"
            elif self.next == "'" and not self.spaces[0]:
                self.take()
                made += "'"
            elif self.next == "_" and not self.spaces[0]:
                self.take()
                made += self.below() if self.next in ("(", "{") else f"_{{{_below(self.take())}}}"
            elif self.next == "." and self.spaces == (False, False) and self.tokens[self.at - 1][0] == ")":
                self.take()
                made += rf".\mathtt{{{self.take()}}}"
            elif self.next == "[" and not self.spaces[0] and self.tokens[self.at - 1][0][-1].isalpha():
                made += self.indexed()
            else:
                return made

    def raised(self) -> str:
        if self.next in ("(", "{"):
            close = {"(": ")", "{": "}"}[self.take()]
            self.bars.append("}")
            inner = self.listed(close)
            self.bars.pop()
            self.take(close)
            return inner
        sign = self.take() if self.next == "-" else ""
        token = self.take()
        if self.next == "/" and not self.spaces[0]:
            raise ValueError("a fraction in a power needs brackets")
        return sign + (r"\top" if token == "T" else named(token))

    def below(self) -> str:
        """`_(i=1..k)` and `_{j <= i}`."""
        close = {"(": ")", "{": "}"}[self.take()]
        self.bars.append("}")
        inner, top = self.relation(), ""
        if self.next == "..":
            self.take()
            top = f"^{{{self.relation()}}}"
        self.bars.pop()
        self.take(close)
        return f"_{{{inner}}}{top}"

    def mean(self, sign: str) -> str:
        if self.next != "[":
            return sign
        return f"{sign} {self.primary()}"

    def indexed(self) -> str:
        """`P[k, j]`, an entry."""
        self.take()
        marked = self.marked
        self.bars.append("}")
        inner = self.listed("]")
        self.bars.pop()
        self.take("]")
        self.marked = marked
        return f"_{{{inner}}}"

    def over(self) -> str:
        """What a sum or a mean goes over: `over l in A of`."""
        self.take("over")
        words = []
        while self.next != "of":
            word = self.take()
            words.append({"in": r"\in", ",": ","}.get(word) or named(word))
        self.take("of")
        return "_{" + r"\;".join(words).replace(r"\;\in\;", r" \in ").replace(r"\;,", ",") + "}"

    def primary(self) -> str:
        if self.next == "(":
            self.take()
            return f"({self.listed(')')}{self.take(')')}"
        if self.next == "[":
            self.take()
            return f"[{self.listed(']')}{self.take(']')}"
        if self.next == "|":
            self.take()
            self.marked = True
            inner = self.listed("|")
            self.take("|")
            return rf"\left|{inner}\right|"
        if self.next == "<" and not self.spaces[1]:
            self.take()
            self.marked = True
            inner = self.listed_angle()
            self.take(">")
            return rf"\langle {inner} \rangle"
        if self.next == "...":
            self.take()
            return r"\ldots"
        if self.next == "." and self.tokens[self.at + 1 :] and self.tokens[self.at + 1][0] in (",", ")"):
            self.take()
            return r"\cdot"
        if re.match(r"[-+*/^=<>~|,;.()\[\]{}'_]", self.next) or not self.next:
            raise ValueError(f"{self.next!r} in {self.text!r}")
        return self.named()

    def listed_angle(self) -> str:
        self.bars.append("angle")
        parts = [self.relation()]
        while self.next == ",":
            parts.append(self.take() + r"\, " + self.relation())
        self.bars.pop()
        return "".join(parts)

    def named(self) -> str:
        token = self.take()
        head = token.split("_")[0].rstrip("'")
        bracket = self.next == "(" and not self.spaces[0]
        if head == "sqrt" and bracket:
            self.take()
            self.marked = True
            inner = self.listed(")")
            self.take(")")
            return rf"\sqrt{{{inner}}}"
        if token in ("sum", "mean") and self.next == "over":
            self.marked = True
            return (r"\sum" if token == "sum" else r"\operatorname{mean}") + self.over()
        if (token in FUNCTIONS or head in INDEXED) and (bracket or self.next not in ("", ")", ",")):
            self.marked = True
        entry = re.match(r"[A-Za-z],[A-Za-z]\]", "".join(piece for piece, *_ in self.tokens[self.at + 1 : self.at + 5]))
        if (
            head in MEANS
            and not (entry and self.next == "[")
            and (self.next in ("[", "|", "<", "(") and not self.spaces[0])
        ):
            self.marked = True
            return self.mean(MEANS[head] + named(token)[1:])
        if token == "1" and self.next == "[":
            return r"\mathbf{1}"
        if token == "gamma" and bracket:
            self.marked = True
            return r"\Gamma"
        return named(token)

    def _ends_term(self) -> bool:
        if self.next == "<" and self.tokens[self.at - 1][0] == "E" and not self.spaces[0]:
            return False
        return self.next in RELATIONS or self.next in (",", ";", ")", "]", "}", "+", "-", "..")

    def _opens(self) -> bool:
        """Whether a bar begins something, where an operation could stand: `snr |z|`, `E|x|`, not `x | y` or `|x|`."""
        before, after = self.spaces
        if self.bars[-1:] == ["|"] and not before:
            return False
        return (before and not after) or (not before and self.tokens[self.at - 1][0] == "E")


def _is_word(tex: str) -> bool:
    return bool(re.search(r"\\math(?:rm|tt)\{[^}]*\}'*$|^\\math(?:rm|tt)\{", tex))


def _beside(left: str, right: str) -> str:
    """What stands between factors: words need room."""
    if re.fullmatch(r"d[a-z]", right):
        return r"\, "
    if right.startswith(r"\left|") and left.endswith(")"):
        return r"\,"
    return r"\;" if _is_word(left) or (_is_word(right) and not left.startswith("\\nabla")) else " "


def named(token: str) -> str:
    """A name, with its subscripts and primes."""
    plain = token.rstrip("'")
    primes = token[len(plain) :]
    if plain[-1] in "+-":
        return f"{plain[0]}_{plain[-1]}"
    if plain[0].isdigit():
        mantissa, _, exponent = plain.partition("e")
        if not exponent:
            return plain
        power = f"10^{{{int(exponent)}}}"
        return power if mantissa == "1" else rf"{mantissa} \times {power}"
    head, *subs = plain.split("_")
    letters, digits = (
        re.fullmatch(r"([A-Za-z]+?)(\d*)", head).groups() if re.fullmatch(r"[A-Za-z]+\d*", head) else (head, "")
    )
    if letters in GREEK:
        base = GREEK[letters]
    elif letters in FUNCTIONS and subs and letters not in INDEXED:
        return rf"\mathtt{{{plain.replace('_', chr(92) + '_')}}}{primes}"
    elif letters in FUNCTIONS and not digits:
        base = FUNCTIONS[letters]
    elif len(letters) == 1:
        base = letters
    elif re.fullmatch(r"d[a-zA-Z]", letters) and not digits:
        base = f"d{letters[1]}"
    elif letters[0] == "d" and letters[1:] in GREEK:
        base = rf"\dot{{{GREEK[letters[1:]]}}}"
    elif all(len(sub) == 1 or sub.isdigit() for sub in subs):
        base, digits = rf"\mathrm{{{head}}}", ""
    else:
        return rf"\mathtt{{{plain.replace('_', chr(92) + '_')}}}{primes}"
    below = [digits] * bool(digits) + [_below(sub) for sub in subs]
    return base + primes + (f"_{{{','.join(below)}}}" if below else "")


def _below(sub: str) -> str:
    if sub in GREEK:
        return GREEK[sub]
    return (
        sub
        if (len(sub) <= 2 and sub not in ("in", "SM")) or sub.isdigit() or re.fullmatch(r"\d[a-z]", sub)
        else rf"\mathrm{{{sub}}}"
    )


# --------------------------------------------------------------------------------------------------------- kinds


@cache
def tex(text: str) -> str | None:
    """The formula as TeX, None of what is no formula."""
    text = " ".join(text.split())
    if _is_setting(text) or _is_shape(text) or re.search(r"\(\)|\w\.\w(?!\w*\s)(?<!\d\.\d)(?<!A\.T)", text):
        return None
    try:
        reader = Reader(text)
        made = _whole(reader)
    except (ValueError, IndexError):
        return None
    if reader.at < len(reader.tokens) or not reader.marked:
        return None
    return re.sub(r"\\dot\{(\\\w+)\}(?= / d)", r"d\1", made)


def _whole(reader: Reader) -> str:
    """Where no bracket is open: `theta | variance ~ N(0, 1)`, and equations with commas between them."""
    made = reader.relation()
    if reader.next == "|" and reader.spaces == (True, True):
        reader.take()
        made += r" \mid " + reader.relation()
    while reader.next == "," and reader.text.count(" = ") == reader.text.count(",") + 1:
        made += reader.take() + r"\; " + reader.relation()
    return made


def _is_setting(text: str) -> bool:
    """An argument and its value: `probes = 0`."""
    match = re.fullmatch(r"([a-z]\w+) = (?:[\d.e-]+|True|False|None|\w{2,})", text)
    return bool(match) and re.sub(r"[\d_].*", "", match[1]) not in GREEK and not re.fullmatch(r"[a-z]\d", match[1])


def _is_shape(text: str) -> bool:
    """A shape, a tuple of names, or a map between such: what has a comma in brackets and no letter of mathematics."""
    sides = [side.strip() for side in text.split(" -> ")]
    if len(sides) > 1 and re.search(r"\w=\w", text):  # a signature
        return True
    if re.fullmatch(r"\w+ \((?:\w+|\.\.\.)(?:, (?:\*?\w+|\.\.\.))*\)", text):  # an argument with its shape
        return True
    if "..." in text and "," in text and text.startswith("("):
        return True
    if len(sides) > 1:
        return not any(re.search(r"[-/*^]|\bgrad\b|\blog\b", re.sub(r"\*\w|\(.*?\)", "", side)) for side in sides[1:])
    if not SHAPE.fullmatch(text) or "," not in text:
        return False
    return not any(name in GREEK for name in re.findall(r"[A-Za-z]+", text))


def _is_python(text: str) -> bool:
    """A line of Python that no formula is: with attributes, keywords, strings, calls of nothing, or a lambda."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return False
    nodes = (
        ast.Attribute,
        ast.keyword,
        ast.Lambda,
        ast.Import,
        ast.ImportFrom,
        ast.Dict,
        ast.List,
        ast.FloorDiv,
        ast.MatMult,
    )
    if any(isinstance(node, ast.Name) and node.id.endswith("_") for node in ast.walk(tree)):
        return True
    return any(
        isinstance(node, nodes) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        for node in ast.walk(tree)
    )


def unclear(text: str) -> bool:
    """Whether this looks like a formula but is neither read as one nor code of a stated kind."""
    text = " ".join(text.split())
    if not OPERATION.search(text) or tex(text) is not None:
        return False
    return not (_is_setting(text) or _is_shape(text) or _is_python(text))
