"""The report of a posterior: what it says of the parameters, and whether it can be believed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from scorefield.metrics.comparison import Finding
from scorefield.posterior.evaluate import Proved
from scorefield.posterior.proof.local import Local
from scorefield.posterior.proof.observation import Place
from scorefield.posterior.proof.predictive import DISTANCE, Predictive
from scorefield.posterior.proof.proof import Proof
from scorefield.posterior.proof.ranks import Ranks
from scorefield.posterior.proof.uniformity import p_text
from scorefield.posterior.trained import TrainedPosterior
from scorefield.report import posterior_figures as drawing
from scorefield.report.facts import Facts, complete, lines
from scorefield.report.page import figure, table, verdict_box, write_page

_LOCAL_LEVEL = 0.01


def describe(model: TrainedPosterior) -> str:
    """What is known of a run, a line each."""
    return lines(facts(model))


def facts(model: TrainedPosterior) -> Facts:
    """What is known of a run, as (name, value) pairs."""
    data = complete(model.info.get("data"), "source", "rows", "held", "columns")
    found = [("parameters", ", ".join(model.names)), ("prior", _prior(model))]
    if data:
        found.insert(0, ("simulations", f"{data['source']}: {data['rows']:,} fitted to, {data['held']:,} held out"))
        found.append(("observed", _few(data["columns"])))
    count = sum(p.numel() for p in model.score.parameters())
    time = f", fitted in {model.info['fit_seconds']:.0f} s" if "fit_seconds" in model.info else ""
    found.append(("networks", f"{count:,} weights{time}"))
    if "version" in model.info:
        found.append(("written by", f"scorefield {model.info['version']}, torch {model.info.get('torch')}"))
    return found


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more


def _prior(model: TrainedPosterior) -> str:
    """The edges of the parameters."""
    c = model.coordinates
    ends = zip(model.names, c.low.tolist(), c.high.tolist(), strict=True)
    told = [f"{name} from {low:g} to {high:g}" for name, low, high in ends if max(-low, high) < np.inf]
    half = [f"{name} {'>' if low > -np.inf else '<'} {low if low > -np.inf else high:g}"
            for name, low, high in zip(model.names, c.low.tolist(), c.high.tolist(), strict=True)
            if (low > -np.inf) != (high < np.inf)]  # fmt: skip
    return "; ".join([*told, *half]) or "as the simulations show it, without edges"


def write_report(path: Path, model: TrainedPosterior, result: Proved) -> None:
    """Write the page about a posterior's proof.

    Args:
        path: file to write, .html.
        model: the posterior.
        result: its proof.
    """
    title = f"{Path(result.source).name}: is the posterior of {_few(model.names)} calibrated?"
    write_posterior(path, title, PosteriorReport(model.names, proof=result.proof, facts=facts(model)))


@dataclass(frozen=True, eq=False)
class PosteriorReport:
    """What a page about a posterior is made of; what is None has no section.

    Args:
        names: of the parameters, d of them.
        draws: given the observation, `(n, d)`; None: a page about the proof alone.
        prior: draws of the prior, `(m, d)`.
        truth: the true parameters, where they are known, `(d,)`.
        proof: of the posterior's calibration.
        place: where the observation lies among the simulations.
        local: the classifier test at the observation.
        predictive: what the posterior predicts.
        untold: what could not be compared, and why, in sentences.
        facts: of the run.
    """

    names: tuple[str, ...]
    _: KW_ONLY
    draws: np.ndarray | None = None
    prior: np.ndarray | None = None
    truth: np.ndarray | None = None
    proof: Proof | None = None
    place: Place | None = None
    local: Local | None = None
    predictive: Predictive | None = None
    untold: tuple[str, ...] = ()
    facts: Facts = ()  # type: ignore[assignment]

    @property
    def headline(self) -> str:
        """What the page opens with."""
        if self.proof is not None:
            return self.proof.verdict
        what = "No fault found at this observation" if not self._faults() else "Not to be believed as it is"
        return f"{what}; whether intervals hold what they say was not proved here."

    def findings(self) -> list[Finding]:
        """What else is said there, faults at the observation first."""
        found = [Finding(False, text) for text in self._faults()]
        if self.place is not None and not self.place.warnings:
            found.append(Finding(True, "The observation lies among the simulations."))
        if self.local is not None and self.local.p > _LOCAL_LEVEL:
            text = f"At the observation no classifier tells truths from draws (p = {self.local.p:.2g})."
            found.append(Finding(True, text))
        if self.predictive is not None and not self.predictive.off:
            found.append(Finding(True, "What was observed is what the posterior predicts, as far as was compared."))
        found += [Finding(None, text) for text in self.untold]
        return found + list(self.proof.findings if self.proof is not None else ())

    def _faults(self) -> list[str]:
        told = list(self.place.warnings) if self.place is not None else []
        if self.local is not None and self.local.p <= _LOCAL_LEVEL:
            told.append(_local_words(self.local, self.names))
        if self.predictive is not None and self.predictive.off:
            names = ", ".join(self.predictive.off[:4])
            told.append(f"The posterior does not explain what was observed of: {names}.")
        return told


def write_posterior(path: str | Path, title: str, found: PosteriorReport) -> None:
    """Write the page.

    Args:
        path: file to write, .html.
        title: as text.
        found: what it is made of.
    """
    sections = (
        verdict_box(found.headline, found.findings()),
        _parameters(found),
        _corner(found),
        _predictive(found),
        _local(found),
        _proof(found),
        _facts(found),
    )
    write_page(path, title, sections)


def _parameters(found: PosteriorReport) -> str:
    if found.draws is None:
        return ""
    sd = found.draws.std(0, ddof=1)
    quantiles = np.quantile(found.draws, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    header = ["parameter", "mean", "standard deviation", "median", "50 % interval", "90 % interval"]
    header += ["contraction"] if found.prior is not None else []
    header += ["true value"] if found.truth is not None else []
    rows = []
    for j, name in enumerate(found.names):
        low, lower, middle, upper, high = (_rounded(q, sd[j]) for q in quantiles[:, j])
        row = [html.escape(name), _rounded(found.draws[:, j].mean(), sd[j]), f"{sd[j]:.3g}", middle]
        row += [f"{lower} to {upper}", f"{low} to {high}"]
        row += [_contraction(found.prior[:, j], sd[j])] if found.prior is not None else []
        row += [_rounded(found.truth[j], sd[j])] if found.truth is not None else []
        rows.append(row)
    text = f"{len(found.draws):,} draws of the parameters given the observation."
    more = " Contraction: by how much of its variance the observation narrows the prior, 0 to 1."
    return f"<h2>Parameters</h2><p>{text}{more if found.prior is not None else ''}</p>{table(header, rows)}"


def _contraction(prior: np.ndarray, sd: float) -> str:
    variance = float(prior.var())
    return f"{1 - sd**2 / variance:.2f}" if variance > 0 else "&ndash;"


def _rounded(value: float, sd: float) -> str:
    """A number with the digits that its spread leaves."""
    digits = int(np.clip(1 - np.floor(np.log10(sd)), 0, 12)) if sd > 0 else 6
    return f"{value:,.{digits}f}" if 1e-4 < max(abs(value), sd) < 1e7 else f"{value:.4g}"


def _corner(found: PosteriorReport) -> str:
    if found.draws is None:
        return ""
    few = slice(0, drawing.MOST)
    prior, truth = (None if v is None else v[..., few] for v in (found.prior, found.truth))
    picture = drawing.corner_svg(found.draws[:, few], found.names[few], prior, truth)
    caption = "Dark: the 50 % region, pale: the 90 % region (on the diagonal: central intervals)."
    caption += " Dashed: the prior, of pairs its 90 % region." if prior is not None else ""
    caption += " Orange: the true value." if truth is not None else ""
    d = len(found.names)
    caption += f" The first {drawing.MOST} of {d} parameters." if d > drawing.MOST else ""
    return f"<h2>Each parameter, and each two</h2>{figure(picture, caption, kind='wide' if d > 3 else '')}"


def _predictive(found: PosteriorReport) -> str:
    if found.predictive is None:
        return ""
    p = found.predictive
    text = (
        "Blue: what parameters drawn from the posterior predict; the line: what was observed. A p of 0.01 says that "
        "one prediction in a hundred is as extreme."
    )
    distance = (
        " The distance is that from the predictions' mean, in their standard deviations." if DISTANCE in p.names else ""
    )
    note = f"<p>{html.escape(p.note)}</p>" if p.note else ""
    kind = "wide" if len(p.names) > 3 else ""
    picture = figure(drawing.predictive_svg(p), "", kind=kind, alt="observed and predicted")
    return f"<h2>Does it explain what was observed?</h2><p>{text}{distance}</p>{note}{picture}"


def _local(found: PosteriorReport) -> str:
    if found.local is None:
        return ""
    local = found.local
    text = (
        "A classifier learned to tell true parameters from draws, given their observations; here is what it makes of "
        "the observation, beside classifiers that learned from exchanged labels: for a right posterior the line lies "
        f"among them (p = {local.p:.2g}; local C2ST)."
    )
    rows = [
        (html.escape(name), f"{shift:+.2f}", f"{ratio:.2f}")
        for name, shift, ratio in zip(found.names, local.shift, local.ratio, strict=True)
    ]
    header = ("parameter", "truth above the draws' mean (their standard deviations)", "truth's width over the draws'")
    shown = table(header, rows) if local.p <= _LOCAL_LEVEL else ""
    picture = figure(drawing.local_svg(local), "", alt="the classifier's statistic and its null")
    return f"<h2>Is it right at this observation?</h2><p>{text}</p>{picture}{shown}"


def _proof(found: PosteriorReport) -> str:
    proof = found.proof
    if proof is None:
        return ""
    m, n = proof.simulations, proof.parameters[0].draws
    intro = (
        f"{m:,} simulations that the posterior was not fitted to, with {n} draws for each of their observations. If "
        "the posterior is right, the true parameters are as any of the draws: nothing below leaves its grey band, but "
        f"in {100 * proof.level:g} of 100 proofs."
    )
    chosen = _worst_first(proof)
    wide = "wide" if len(chosen) > 3 else ""
    ranks = figure(
        drawing.ranks_svg(chosen, proof.own_level),
        "Where the truth ranks among the draws. High at both ends: over-confident; in the middle: too wide; at one "
        "end: biased. Below, the same as a curve, with the band that decides.",
        kind=wide,
    )
    coverage = figure(
        drawing.coverage_svg(proof),
        "Regions of the whole posterior, and central intervals of each parameter. A curve below the diagonal: "
        "over-confident; above: too wide.",
        kind="wide",
    )
    contraction = figure(
        drawing.contraction_svg(proof.contraction[: drawing.MOST]),
        "Each simulation: how much narrower its posterior is than the prior (1: the observation tells all), and how "
        "far the posterior's mean is from the truth, in posterior standard deviations.",
        kind=wide,
    )
    return (
        f"<h2>Is it calibrated?</h2><p>{intro}</p>{coverage}{ranks}{_tests(proof)}"
        f"<h2>What do observations tell?</h2>{contraction}"
    )


def _worst_first(proof: Proof) -> list[Ranks]:
    """The parameters to show: all in their order, or the worst."""
    shown = sorted(range(len(proof.parameters)), key=lambda j: proof.parameters[j].test.p)[: drawing.MOST]
    return [proof.parameters[j] for j in sorted(shown)]


def _tests(proof: Proof) -> str:
    rows = []
    for one in proof.all:
        mark = "off" if one.test.p < proof.own_level else ""
        rows.append((html.escape(one.name), *(html.escape(p_text(p)) for p in one.test), mark))
    header = ("", "p of the curve", "p of Kolmogorov and Smirnov", "p of the histogram (chi-square)", "")
    text = (
        f"{len(proof.all)} tests; the curve decides, at {proof.own_level:.2g} each, so that all of them together find "
        f"a right posterior at fault in {100 * proof.level:g} of 100 proofs (Bonferroni)."
    )
    return f"<details><summary>All tests</summary><p>{text}</p>{table(header, rows)}</details>"


def _local_words(local: Local, names: tuple[str, ...]) -> str:
    j = int(np.argmax(np.abs(np.log(np.maximum(local.ratio, 1e-3))) + np.abs(local.shift)))
    return (
        f"At this observation truths and draws differ (p = {local.p:.2g}): most of all {names[j]}, where the truth is "
        f"expected {local.shift[j]:+.2f} of the draws' standard deviations from their mean, and to spread "
        f"{local.ratio[j]:.2f} times as wide."
    )


def _facts(found: PosteriorReport) -> str:
    if not found.facts:
        return ""
    rows = [(html.escape(name), html.escape(value)) for name, value in found.facts]
    return f"<h2>Settings</h2>{table((), rows)}"
