"""Formulas of docstrings and guides are typeset on the site: what is read as one, what is code, and nothing between."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _module(name: str) -> object:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


formulas = _module("formulas")
formulas_prose = _module("formulas_prose")
check_site = _module("check_site")

READ = {
    "x = alpha * x0 + sigma * eps": r"x = \alpha x_{0} + \sigma \varepsilon",
    "grad log p(x) = -eps / sigma": r"\nabla \log p(x) = -\varepsilon / \sigma",
    "|score(x + sigma eps) + eps / sigma|^2 / 2": (
        r"\left|\mathrm{score}(x + \sigma \varepsilon) + \varepsilon / \sigma\right|^{2} / 2"
    ),
    "E[|eps - E[eps | x]|^2 | x]": (
        r"\mathbb{E} [\left|\varepsilon - \mathbb{E} [\varepsilon \mid x]\right|^{2} \mid x]"
    ),
    "2 (snr |z| / |score|)^2 score": (
        r"2 (\mathrm{snr}\;\left|z\right| / \left|\mathrm{score}\right|)^{2}\;\mathrm{score}"
    ),
    "mean over v of v^T J v + (v . score)^2 / 2": (
        r"\operatorname{mean}_{v} v^{\top} J v + (v \cdot \mathrm{score})^{2} / 2"
    ),
    "y[k+1] = sum_j P[k, j] x0_j + sum_j E[k, j] eps_j": (
        r"y_{k + 1} = \sum_{j} P_{k,\, j} x_{0,j} + \sum_{j} E_{k,\, j} \varepsilon_{j}"
    ),
    "sigma = sigma_min * (sigma_max / sigma_min)**t": (
        r"\sigma = \sigma_{\mathrm{min}} (\sigma_{\mathrm{max}} / \sigma_{\mathrm{min}})^{t}"
    ),
    "prod_{j <= i} (1 - beta_j)": r"\prod_{j \le i} (1 - \beta_{j})",
    "1 - prod_(i=1..k) (n - i) / (n + m - i)": r"1 - \prod_{i = 1}^{k} (n - i) / (n + m - i)",
    "p(x) ~ exp(-energy(x))": r"p(x) \propto \exp(-\mathrm{energy}(x))",
    "y ~ N(0, 1)": r"y \sim \mathcal{N}(0,\, 1)",
    "<A x, y> = <x, A.T y>": r"\langle A x,\, y \rangle = \langle x,\, A^\top y \rangle",
    "x -> grad log p(x)": r"x \mapsto \nabla \log p(x)",
    "dx = f(t) x dt + g(t) dw": r"dx = f(t) x\, dt + g(t)\, dw",
    "(dalpha / dt, sigma')": r"(d\alpha / dt,\, \sigma')",
    "t = 1e-6": r"t = 10^{-6}",
}
CODE = (
    "sigma_max",
    "x0",
    "probes = 0",
    "(n, *shape)",
    "(n, d + 1)",
    "(n, *shape) -> (n,)",
    "model(x, total, condition=None) -> Estimate",
    "plans.ddim(levels.karras(30))",
    "sample(n)",
    "scorefield fit wine -o run",
    "--steps",
    "-o",
    "end=False",
    "01/02/2024",
    "lambda x: -x",
    "data/toys.py",
    "x (n, ...)",
    "15s",
)


@pytest.mark.parametrize("text", READ)
def test_a_formula_is_read(text: str) -> None:
    assert formulas.tex(text) == READ[text]
    assert not formulas.unclear(text)


@pytest.mark.parametrize("text", CODE)
def test_code_stays_code(text: str) -> None:
    assert formulas.tex(text) is None
    assert not formulas.unclear(text)


@pytest.mark.parametrize("text", ["n^-1/2", "sum_k q(y \\| k)", "y = x - ", "E[x | y", "a = the row's x^2"])
def test_what_is_neither_is_found(text: str) -> None:
    assert formulas.tex(text) is None and formulas.unclear(text)


def test_formulas_between_words() -> None:
    text = "A step to sigma = 0 returns x0 (up to O(step^2)), for a ratio sigma / alpha; theta\u2019s mean."
    assert [made for _, made in formulas_prose.prose(text) if made] == [
        r"\sigma = 0",
        "x_{0}",
        r"O(\mathrm{step}^{2})",
        r"\sigma / \alpha",
        r"\theta",
    ]
    assert "".join(piece for piece, _ in formulas_prose.prose(text)) == text
    for words in (
        "an 8 x 8 image with alpha",
        "a 0.8 s wait",
        "well-known, in 2011 - 2015",
        "A step and I",
        "scale - free",
    ):
        assert formulas_prose.prose(words) == [(words, None)]


def _docstrings() -> list[tuple[str, str]]:
    """All docstrings of the library, also those below attributes."""
    return [
        (str(path.relative_to(ROOT)), node.value.value)
        for path in sorted((ROOT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def test_every_formula_of_the_docstrings_can_be_read() -> None:
    """Nothing in backticks looks like a formula without being one that the site typesets."""
    read, wrong = 0, []
    for place, text in _docstrings():
        for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^\s*>>>.*\n(?:.+\n)*", "", text, flags=re.MULTILINE)):
            read += formulas.tex(code) is not None
            wrong += [f"{place}: {code}"] if formulas.unclear(code) else []
    assert wrong == []
    assert read > 400


def test_the_check_of_the_site_finds_formulas_that_are_code_or_plain(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code = '<p><code class="docutils literal notranslate"><span class="pre">{}</span></code></p>'
    shown = {"sigma / alpha": "shown as code", "n^-1/2": "neither", "(n, *shape)": None, "plans.ddim": None}
    for text, fault in shown.items():
        page.write_text(code.format(text), encoding="utf-8")
        found = list(check_site.faults(tmp_path))
        assert len(found) == bool(fault) and all(fault in line for line in found), text
    for text, faults in {"at sigma = 0": 1, "d^2 n numbers": 1, "a word": 0, "<code>x^2</code>": 0}.items():
        page.write_text(f"<p>{text}</p>", encoding="utf-8")
        assert len(list(check_site.faults(tmp_path))) == faults, text
