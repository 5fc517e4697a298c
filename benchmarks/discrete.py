"""Sequences of tokens beside exact entropies and n-grams: the figures of docs/discrete.md.

    python benchmarks/discrete.py [steps] [spread] [toy] [words] [text]

`steps`: how far what a sampler draws is from the data's law, exactly, with the exact model. `spread`: of one draw of
each loss. `toy`: masked diffusion and score entropy on a Markov chain whose entropy is known. `words` and `text`: from
the documentation that comes with Python (`pydoc_data.topics`), beside n-grams with Witten and Bell's interpolation, on
the same sequences held out.
"""

from __future__ import annotations

import math
import pydoc_data.topics as topics
import re
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import torch

from scorefield import discrete
from scorefield.data.splitting import split
from scorefield.discrete import Absorbing, Exact, Geometric, Joint, LogLinear, MarkovChain, Uniform
from scorefield.numerics.random import normal, uniform
from scorefield.objectives.batch import Draws

BITS = math.log(2)
SHORT = {"steps": 300, "learning_rate": 1e-2, "optimizer": "muon"}
TRANSITIONS = [[0.70, 0.10, 0.15, 0.05], [0.05, 0.60, 0.05, 0.30], [0.25, 0.05, 0.60, 0.10], [0.10, 0.20, 0.05, 0.65]]


def words() -> list[str]:
    """The different words of 3 to 12 small letters in Python's documentation, sorted."""
    return sorted(set(re.findall(r"\b[a-z]{3,12}\b", " ".join(topics.topics.values()))))


def text() -> str:
    """Python's documentation in small letters, spaces, commas and full stops."""
    whole = " ".join(topics.topics.values()).lower()
    return " ".join(re.sub(r"[^a-z.,]+", " ", whole).split())


class NGrams:
    """Characters given those before them, each order interpolated with the lower one (Witten and Bell 1991)."""

    def __init__(self, texts: list[str], most: int, characters: str) -> None:
        self.characters = characters
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        for one in texts:
            for i, c in enumerate(one):
                for k in range(min(most, i + 1)):
                    self.counts[one[i - k : i]][c] += 1
        self.totals = {before: found.total() for before, found in self.counts.items()}

    def probability(self, before: str, c: str) -> float:
        """Of a character after those before."""
        p = 1 / len(self.characters)
        for k in range(len(before) + 1):
            found = self.counts.get(before[len(before) - k :])
            if found is None:
                break
            p = (found[c] + len(found) * p) / (self.totals[before[len(before) - k :]] + len(found))
        return p

    def bits(self, texts: list[str], n: int) -> float:
        """Per character, by n-grams."""
        each = [-math.log2(self.probability(one[max(0, i - n + 1) : i], c)) for one in texts for i, c in enumerate(one)]
        return sum(each) / len(each)


def trained(source: Any, name: str, **given: Any) -> discrete.TrainedSequences:
    begun = time.process_time()
    model = discrete.fit_sequences(source, **given)
    print(f"{name}: {time.process_time() - begun:.0f} s of one thread", flush=True)
    return model


def steps() -> None:
    """The distance in total variation of what is drawn from a law of 3^3 sequences, by enumeration."""
    g = torch.Generator().manual_seed(0)
    law = Joint(torch.randn(3, 3, 3, generator=g, dtype=torch.float64).mul(1.5).exp())
    print(
        "| evaluations | masks, analytic | masks, euler | uniform, analytic | uniform, euler |\n|---|---|---|---|---|"
    )
    for n in (4, 8, 16, 32, 64, 128):
        cells = []
        for corruption in (Absorbing(3), Uniform(3)):
            for step in (discrete.analytic, discrete.euler):
                totals = Geometric().grid(n)
                if isinstance(corruption, Absorbing):
                    totals = LogLinear(left=0.0 if step is discrete.analytic else 1e-6).grid(n)
                found = discrete.law_of_steps(Exact(law, corruption), 3, totals, step)[:3, :3, :3]
                cells.append(0.5 * float((found - law.probabilities).abs().sum() + 1 - found.sum()))
        print(f"| {n} | " + " | ".join(f"{v:.1e}" for v in cells) + " |", flush=True)


def spread() -> None:
    """How much one draw of each training loss varies, at the exact model of the chain."""
    law, draws = MarkovChain.of([0.25] * 4, TRANSITIONS, length=32), 2000
    x, number = law.sample(draws, seed=3), torch.arange(draws)
    u = uniform(draws, (), 0, "spread")
    noise = Draws(normal(draws, (32,), 0, "spread"), u, number)
    print(f"entropy {law.entropy:.2f} nats")
    for loss in (
        discrete.OrderCrossEntropy(Absorbing(4)),
        discrete.ScoreEntropy(Absorbing(4), LogLinear()),
        discrete.ScoreEntropy(Absorbing(4), Geometric()),
        discrete.ScoreEntropy(Uniform(4), Geometric()),
        discrete.ScoreEntropy(Uniform(4), LogLinear()),
    ):
        each = loss(Exact(law, loss.corruption), x.float(), noise)
        print(f"  {loss}: mean {float(each.mean()):.2f}, standard deviation {float(each.std()):.1f}", flush=True)


def toy() -> None:
    """Bits per token on a chain of A, C, G, T beside its entropy, for two trainings of the same length."""
    law = MarkovChain.of([0.25] * 4, TRANSITIONS, length=16)
    x, new = law.sample(2000, seed=0), law.sample(200, seed=1)
    print(f"entropy rate {law.entropy_rate / BITS:.4f}, per token of 16 {law.entropy / 16 / BITS:.4f}")
    print(f"exact bits per token of these {-float(law.log_prob(new).mean()) / 16 / BITS:.4f}")
    for name, corruption in (("masked", Absorbing), ("uniform", Uniform)):
        model = trained(x, name, corruption=corruption, size="small", settings={**SHORT, "steps": 200})
        print(f"  {name}: {model.log_prob(new)}")
        drawn = model.sample(400, seed=0, steps=32)
        assert isinstance(drawn, torch.Tensor)
        pairs = torch.bincount((drawn[:, :-1] * 4 + drawn[:, 1:]).flatten(), minlength=16).reshape(4, 4)
        apart = float((pairs / pairs.sum(1, keepdim=True) - law.transition).abs().max())
        print(f"  {name}: exact log-probability of what it draws {-float(law.log_prob(drawn).mean()) / 16 / BITS:.4f} "
              f"bits per token; its transitions are off by at most {apart:.3f}", flush=True)  # fmt: skip


def held_out(texts: list[str]) -> tuple[list[str], list[str]]:
    """Texts trained on and held out, as `fit_sequences` cuts them."""
    train, held = split(len(texts), 0.1, 0)
    return [texts[i] for i in train], [texts[i] for i in held]


def of_words() -> None:
    """Bits per character of held-out words, their ends included, exactly."""
    source = words()
    train, held = held_out(source)
    length = max(map(len, source))
    print(f"{len(train)} words to train on, {len(held)} held out")
    ends = [[w + "." for w in part] for part in (train, held)]
    characters = "".join(sorted(set("".join(ends[0]))))
    grams = NGrams(ends[0], 6, characters)
    for n in range(1, 7):
        print(f"  {n}-grams: {grams.bits(ends[1], n):.3f} bits per character")
    model = trained(source, "words", size="small", settings={**SHORT, "steps": 1200})
    some = held[:20]
    tokens = sum(len(w) + 1 for w in some)
    exact, bound = model.exact_log_prob(some), model.log_prob(held, draws=4)
    print(f"  20 held-out words: exact {-float(exact.sum()) / tokens / BITS:.3f} bits per character, "
          f"bound {-float(model.log_prob(some, draws=16).value.sum()) / tokens / BITS:.3f}")  # fmt: skip
    print(f"  all: bound {-float(bound.value.sum()) / sum(len(w) + 1 for w in held) / BITS:.3f} bits per character")
    drawn = model.sample(500, seed=0)
    known = set(train)
    print(f"  {sum(w in known for w in drawn) / 5:.0f} % of 500 drawn words are training words (longest {length})")
    print("  drawn:", " ".join(w for w in drawn[:40] if isinstance(w, str) and w not in known))
    print("  filled in:", model.infill(["com__t___ed", "____tion", "re____"], seed=0), flush=True)


def of_text(steps: int = 600) -> None:
    """Bits per character of pieces of 64 characters."""
    pieces = discrete.windows(text(), 64)
    train, held = held_out(pieces)
    print(f"{len(train)} pieces of 64 characters to train on, {len(held)} held out")
    characters = "".join(sorted(set("".join(train))))
    grams = NGrams(train, 7, characters)
    for n in range(1, 8):
        print(f"  {n}-grams: {grams.bits(held, n):.3f} bits per character", flush=True)
    model = trained(pieces, "text", size="small", settings={**SHORT, "batch": 32, "steps": steps})
    print(f"  {model.log_prob(held[:200], draws=2, levels=8)}")
    for one in model.sample(4, seed=0):
        print("  drawn:", one)
    print("  filled in:", *model.infill([held[0][:20] + "_" * 24 + held[0][44:]], seed=0), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = {"steps": steps, "spread": spread, "toy": toy, "words": of_words, "text": of_text}
    for chosen in sys.argv[1:] or parts:
        print(f"\n{chosen}")
        parts[chosen]()
