"""A trained model of sequences, in the user's texts or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield._ranges import STEPS
from scorefield.discrete.corruptions import CORRUPTIONS, Absorbing, Corruption, Substitutions
from scorefield.discrete.likelihood import LogProbBound, exact_log_prob, log_prob_bound
from scorefield.discrete.network import TokenDenoiser, TokenTransformer
from scorefield.discrete.noise import Geometric
from scorefield.discrete.sampling import sample, unmask
from scorefield.discrete.vocabulary import Vocabulary
from scorefield.nets import rebuilt
from scorefield.progress import Report, silent
from scorefield.training import model_folder, parallel

FORM, FORMAT = "scorefield sequences", 1
_STEPS = 128
_PART = 256  # sequences that are drawn together

Records = Sequence[str] | Tensor | np.ndarray


@dataclass(frozen=True, eq=False)
class TrainedSequences:
    """A model with its vocabulary: it takes and gives texts, or int64 tensors `(n, L)` if it was fitted to numbers.

    Args:
        model: of tokens; a `TokenModel` for all that this package does.
        vocabulary: of texts, None for numbers.
        info: of data and training, JSON-able.
    """

    model: TokenDenoiser
    vocabulary: Vocabulary | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def corruption(self) -> Corruption:
        """Whose noise the model knows."""
        return self.model.corruption

    @property
    def length(self) -> int:
        """L, tokens in a sequence."""
        return int(self.model.network.length)  # type: ignore[arg-type]

    def sample(
        self, n: int, *, seed: int, steps: int | None = None, first: int = 0, report: Report = silent
    ) -> list[str] | Tensor:
        """New sequences.

        Args:
            n: how many.
            seed: sequence i is a pure function of (seed, first + i), up to rounding.
            steps: evaluations of the model; with masks by default one for each token, and with fewer several tokens are
                drawn at once; else 128, of `analytic` steps.
            first: number of the first sequence.
            report: hears how far it is.
        """
        if steps is not None:
            STEPS("steps", steps)
        parts = []
        for at in range(0, n, _PART):
            count, number = min(_PART, n - at), first + at
            parts.append(self._drawn(count, seed, steps, number))
            report((at + count) / n, "sequences")
        x = torch.cat(parts) if parts else torch.zeros(0, self.length, dtype=torch.int64)
        return self._out(x)

    def _drawn(self, n: int, seed: int, steps: int | None, first: int) -> Tensor:
        if not isinstance(self.corruption, Absorbing):
            totals = Geometric().grid(_STEPS if steps is None else steps)
            return sample(self.model, n, self.length, totals, seed=seed, first=first)
        masks = torch.full((n, self.length), self.corruption.mask)
        at_once = 1 if steps is None else -(-self.length // steps)
        return unmask(self.model, masks, seed=seed, at_once=at_once, first=first)

    def infill(
        self, records: Records, *, seed: int, blank: str = "_", at_once: int = 1, first: int = 0
    ) -> list[str] | Tensor:
        """The sequences with their blanks filled, by the law of these given the rest.

        Args:
            records: texts in which `blank` stands where a token is wanted; numbers with -1 there.
            seed: as `sample`.
            blank: a character that the vocabulary does not have.
            at_once: tokens that are drawn together.
            first: number of the first sequence.

        Raises:
            ValueError: for a model without masks, or characters that it does not know.
        """
        if not isinstance(self.corruption, Absorbing):
            raise ValueError("infill needs a model of masked tokens; fit with corruption=Absorbing.")
        x = self._in(records, blank)
        x = torch.where(x == -1, self.corruption.mask, x)
        return self._out(unmask(self.model, x, seed=seed, at_once=at_once, first=first))

    def log_prob(
        self, records: Records, *, seed: int = 0, draws: int = 4, levels: int = 16, given: Tensor | None = None
    ) -> LogProbBound:
        """A lower bound of the log-probability of each sequence, in nats, with its standard error.

        It is of the whole sequence of tokens: of a text that ends early, with its end tokens. Arguments as
        `log_prob_bound`.
        """
        return log_prob_bound(self.model, self._in(records), seed=seed, draws=draws, levels=levels, given=given)

    def exact_log_prob(self, records: Records, *, given: Tensor | None = None) -> Tensor:
        """The log-probability itself of sequences of at most 16 tokens, `(n,)`, as `discrete.exact_log_prob`."""
        return exact_log_prob(self.model, self._in(records), given=given)

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `model.safetensors`, atomically each, the weights first."""
        state = self.model.network.state_dict()
        tensors = {name: parallel.whole(value).contiguous() for name, value in state.items()}
        name = next(name for name, kind in CORRUPTIONS.items() if type(self.corruption) is kind)
        rows = self.corruption.rows if isinstance(self.corruption, Substitutions) else None
        header = {
            "network": self.model.network.config,
            "corruption": {"name": name, "size": self.corruption.size, "rates": rows},
            "vocabulary": None if self.vocabulary is None else self.vocabulary.to_json(),
            "info": dict(self.info),
        }
        model_folder.save(Path(folder), FORM, FORMAT, header, tensors)

    @staticmethod
    def load(folder: str | Path) -> TrainedSequences:
        """Read the folder that `save` or `fit` wrote.

        Raises:
            FileError: for a missing, truncated or foreign file, or weights that belong to another model.json.
        """
        return model_folder.load(Path(folder), FORM, FORMAT, "model of sequences", _made)

    def _in(self, records: Records, blank: str | None = None) -> Tensor:
        if self.vocabulary is not None:
            if isinstance(records, (Tensor, np.ndarray)):
                raise TypeError("this model was fitted to texts; give a list of texts.")
            return self.vocabulary.encode(records, self.length, blank)
        x = torch.as_tensor(np.asarray(records) if not isinstance(records, Tensor) else records)
        if x.is_floating_point() or x.ndim != 2 or x.shape[1] != self.length:
            raise ValueError(f"this model takes whole numbers (n, {self.length}), got {x.dtype} {tuple(x.shape)}.")
        return x.long()

    def _out(self, x: Tensor) -> list[str] | Tensor:
        return x if self.vocabulary is None else self.vocabulary.decode(x)

    def __repr__(self) -> str:
        of = f"{self.length} tokens of {self.corruption.size} values"
        return f"TrainedSequences({of}, {type(self.corruption).__name__})"


def _made(header: dict[str, Any], tensors: dict[str, Tensor]) -> TrainedSequences:
    about = header.get("corruption")
    name = about.get("name") if isinstance(about, dict) else None
    if not isinstance(about, dict) or name not in CORRUPTIONS:
        raise ValueError(f"the corruption is one of {', '.join(CORRUPTIONS)}, got {shown(name)}.")
    kind = CORRUPTIONS[name]
    corruption = Substitutions(about["rates"]) if kind is Substitutions else kind(about["size"])
    network = rebuilt(TokenTransformer, header.get("network"), tensors)
    written = header.get("vocabulary")
    vocabulary = None if written is None else Vocabulary.from_json(written)
    sizes = [corruption.size, network.size, corruption.size if vocabulary is None else vocabulary.size]
    if len(set(sizes)) > 1 or network.states != corruption.states:
        raise ValueError(f"corruption, network and vocabulary are of different sizes: {shown(sizes)}.")
    return TrainedSequences(TokenDenoiser(network, corruption).eval(), vocabulary, header["info"])
