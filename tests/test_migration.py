"""The pages for those who come from another library: both programs of each end with the same numbers.

The programs of other libraries run where those are installed (diffusers always is); what is written out of a library's
formulas always runs, and of every page the program of this library, which is held against an exact answer.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

PAGES = Path(__file__).parent.parent / "docs" / "migration"
Names = dict[str, Any]


def blocks(name: str) -> dict[str, str]:
    """The programs under the headings of a page."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^## (Both|Before|After)\n\n```python\n(.*?)```", text, re.MULTILINE | re.DOTALL))


def ran(name: str, *parts: str) -> Names:
    """What is there after some of a page's programs."""
    code, names = blocks(name), {}
    with torch.enable_grad():
        for part in parts:
            exec(compile(code[part], f"{name}.md, {part}", "exec"), names)
    torch.set_grad_enabled(True)
    return names


def drawn_from_the_mixture(found: Names) -> None:
    x = found["x"]
    mean, second = found["law"].weights @ found["law"].means, 0.0
    assert x.shape == (1000, 2) and x.dtype == torch.float64
    second = found["law"].weights @ (found["law"].means - mean) ** 2 + 0.1
    assert ((x.mean(0) - mean).abs() < 4 * (second / 1000).sqrt() + 0.02).all()  # 0.02: of twenty steps


def of_the_energy(found: Names) -> None:
    x, scale = found["x"], found["scale"]
    exact = -scale.sum() + (scale * (x - 1)).square().sum(-1).mean() / 2
    torch.testing.assert_close(found["loss"], exact)
    expected = 1 / scale / (1 - 0.1 * scale / 2)
    assert ((found["variance"] / expected - 1).abs() < 4 * math.sqrt(2 / 2000)).all()


def of_the_simulator(found: Names) -> None:
    """Its few steps bring it near: within half a standard deviation of N(x_obs, 0.25), inside the prior."""
    draws, x_obs = found["draws"], found["x_obs"][0]
    assert draws.shape == (4000, 2) and (draws.abs() <= 3).all()
    assert ((draws.mean(0) - x_obs).abs() < 0.25).all() and ((draws.std(0) - 0.5).abs() < 0.25).all()


def of_the_graph(found: Names) -> None:
    scaled = found["interaction"] * torch.tensor([1.0, 10.0, 0.1]).outer(torch.tensor([1.0, 10.0, 0.1]))
    assert ((scaled - found["edges"]).abs() < 0.6).all() and abs(float(scaled[0, 2])) < 0.2


class Page(NamedTuple):
    """A page's package, where the first program needs one; what is compared, within what; and an exact answer."""

    package: str | None
    within: dict[str, float]
    exact: Callable[[Names], None]


CASES = {
    "k-diffusion": Page("k_diffusion", {"x": 1e-5}, drawn_from_the_mixture),  # its levels are float32
    "azula": Page("azula", {"x": 1e-10}, drawn_from_the_mixture),
    "diffusers": Page("diffusers", {"x": 2e-5}, lambda found: None),  # a random network in float32 has no law
    "torchebm": Page("torchebm", {"loss": 1e-12, "variance": 4 * math.sqrt(4 / 2000)}, of_the_energy),
    "sbi": Page("sbi", {}, of_the_simulator),
    "genscore": Page(None, {"interaction": 1e-6}, of_the_graph),
    "score_sde": Page(None, {"x": 1e-6}, drawn_from_the_mixture),
}


def test_every_page_is_tried() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *CASES}
    assert all(set(blocks(name)) == {"Both", "Before", "After"} for name in CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_program_after_is_right(name: str) -> None:
    CASES[name].exact(ran(name, "Both", "After"))


def test_the_program_before_is_right_where_no_numbers_can_be_compared() -> None:
    """sbi's network, held against the same exact posterior."""
    pytest.importorskip("sbi")
    CASES["sbi"].exact(ran("sbi", "Both", "Before"))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("sbi",)])
def test_both_programs_end_with_the_same_numbers(name: str) -> None:
    page = CASES[name]
    if page.package is not None and importlib.util.find_spec(page.package) is None:
        pytest.skip(f"{page.package} is not installed")
    if name == "k-diffusion":  # whose first line needs libraries that its samplers do not
        sys.path.insert(0, str(PAGES.parent.parent / "benchmarks"))
        from peers.kdiffusion import sampling

        sys.modules["k_diffusion.sampling"] = sampling
    before, after = ran(name, "Both", "Before"), ran(name, "Both", "After")
    for variable, within in page.within.items():
        old, new = before[variable], after[variable]
        assert old.shape == new.shape
        off = ((old - new) / new if variable == "variance" else (old - new) / new.abs().max()).abs().max()
        print(f"{name}: {variable} differs by {float(off):.1e}, by {float((old - new).abs().max()):.1e}")
        assert off < within
