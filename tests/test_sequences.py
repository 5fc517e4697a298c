"""Sequences learned by the trainer: floors, resuming, folders, texts, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield import discrete
from scorefield._files import FileError
from scorefield.discrete import Absorbing, Geometric, MarkovChain, Substitutions, TrainedSequences, Uniform
from scorefield.discrete.fit import DEFAULT, Sequences, Training
from scorefield.training.checkpoint import Settings

LAW = MarkovChain.of([0.5, 0.2, 0.3], [[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]], length=6)
X = LAW.sample(400, seed=0)
FEW = {"steps": 4, "batch": 16, "evaluate_every": 2, "precision": "float32"}
KINDS = {"absorbing": Absorbing(3), "uniform": Uniform(3), "substitutions": Substitutions.kimura(1.0)}


def fitted(**given: object) -> TrainedSequences:
    settings = {**FEW, **{k: v for k, v in given.items() if k in Settings.__dataclass_fields__}}
    return discrete.fit_sequences(X, settings=settings, size="small", law=LAW)


@pytest.mark.parametrize("name", ["absorbing", "uniform"])
def test_a_training_nears_its_floor(name: str) -> None:
    """The held-out loss of the exact model stands beside every evaluation; the network comes close, not below."""
    law = MarkovChain.of([0.5, 0.5], [[0.95, 0.05], [0.05, 0.95]], length=6)
    made = Training(Sequences.of(law.sample(1000, seed=0)), {"absorbing": Absorbing, "uniform": Uniform}[name](2),
                 None, "small", 0.2, law)  # fmt: skip
    settings = replace(DEFAULT, seconds=None, steps=60, evaluate_every=60, warmup=10, batch=32, precision="float32")
    (last,) = [p.evaluation for p in made.preparation(0).train(settings) if p.evaluation]
    assert last.floors is not None
    floor = sum(last.floors) / len(last.floors)
    start = np.log(2)  # of a network that knows nothing
    assert floor < last.mean < floor + 0.25 * (start - floor)


def test_resuming_equals_never_having_stopped(tmp_path: Path) -> None:
    for _ in discrete.fit(X, tmp_path / "whole", settings={**FEW, "steps": 6}, size="small"):
        pass
    for progress in discrete.fit(
        X, tmp_path / "parts", settings={**FEW, "steps": 6, "checkpoint_every": 1e-9}, size="small"
    ):
        if progress.step == 3:
            break
    for _ in discrete.fit(X, tmp_path / "parts", settings={"steps": 6}, size="small", resume=True):
        pass
    a, b = (TrainedSequences.load(tmp_path / name) for name in ("whole", "parts"))
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert torch.equal(p, q)
    with pytest.raises(ValueError, match="other records"):
        next(discrete.fit(X[:300], tmp_path / "parts", size="small", resume=True))


def _texts(name: str) -> list[str]:
    return ["".join("ACG"[k] for k in row) for row in X.tolist()] if name == "equal" else [
        "".join("abc"[k] for k in row[: 3 + row[0]]) for row in X.tolist()
    ]  # fmt: skip


@pytest.mark.parametrize("texts", ["equal", "ending"])
def test_texts_come_back_from_a_folder(texts: str, tmp_path: Path) -> None:
    source = _texts(texts)
    model = discrete.fit_sequences(source, settings=FEW, size="small")
    model.save(tmp_path)
    again = TrainedSequences.load(tmp_path)
    assert again.vocabulary == model.vocabulary and again.info == json.loads(json.dumps(model.info))
    drawn = model.sample(6, seed=1)
    assert drawn == again.sample(6, seed=1) and drawn[2:] == again.sample(4, seed=1, first=2)
    assert all(set(text) <= set(model.vocabulary.characters) for text in drawn)
    bound, other = model.log_prob(source[:3], seed=0), again.log_prob(source[:3], seed=0)
    assert torch.equal(bound.value, other.value) and float(bound.bits_per_token[0]) > 0
    assert model.exact_log_prob(source[:2]).shape == (2,)
    part = source[0][:2] + "_" + source[0][3:]
    (filled,) = model.infill([part], seed=0)
    assert filled[:2] == source[0][:2] and "_" not in filled


@pytest.mark.parametrize("name", KINDS)
def test_every_corruption_is_learned_stored_and_drawn_from(name: str, tmp_path: Path) -> None:
    corruption = KINDS[name]
    x = X if corruption.size == 3 else MarkovChain.of([0.25] * 4, np.eye(4) * 0.6 + 0.1, 6).sample(50, seed=0)
    model = discrete.fit_sequences(x.numpy(), corruption=corruption, settings=FEW, size="small")
    model.save(tmp_path)
    again = TrainedSequences.load(tmp_path)
    assert again.corruption == corruption
    drawn = model.sample(4, seed=0, steps=5)
    assert torch.equal(drawn, again.sample(4, seed=0, steps=5)) and int(drawn.max()) < corruption.size
    bound = again.log_prob(x[:2], draws=2, levels=4)
    assert bool(torch.isfinite(bound.value).all()) and bound.evaluations == 8


@pytest.mark.parametrize("shape", [(10, 1), (12, 40)])
def test_the_smallest_data_make_a_model(shape: tuple[int, int]) -> None:
    """One token, two values, one sequence in a batch."""
    x = torch.arange(shape[0] * shape[1]).reshape(shape) % 2
    model = discrete.fit_sequences(x, settings={**FEW, "batch": 1}, size="small")
    assert model.sample(1, seed=0).shape == (1, shape[1]) and model.sample(0, seed=0).shape == (0, shape[1])
    assert bool(torch.isfinite(model.log_prob(x[:1]).value).all())


def test_a_vocabulary_is_undone() -> None:
    found = discrete.Vocabulary.of(["GATTACA", "AC"])
    assert found.decode(found.encode(["GATTACA", "AC", "T"], 7)) == ["GATTACA", "AC", "T"]
    assert discrete.Vocabulary.from_json(found.to_json()) == found and found.size == 5


def _damaged(folder: Path, change: Callable[[dict], None]) -> TrainedSequences:
    fitted().save(folder)
    header = json.loads((folder / "model.json").read_text())
    change(header)
    (folder / "model.json").write_text(json.dumps(header))
    return TrainedSequences.load(folder)


DAMAGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "corruption": (lambda h: h.update(corruption={"name": "flip", "size": 3}), "the corruption is one of uniform"),
    "size": (lambda h: h["corruption"].update(size=4), "of different sizes"),
    "vocabulary": (lambda h: h.update(vocabulary={"characters": "ab", "ends": False}), "of different sizes"),
    "width": (lambda h: h["network"].update(width=10**9), "does not have"),
    "no network": (lambda h: h.pop("network"), "configuration is a JSON object"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folders_are_one_sentence(damage: str, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    with pytest.raises(FileError, match=words):
        _damaged(tmp_path, change)


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "one text": (lambda: discrete.fit_sequences("abc" * 50), "texts are a list, got one text"),
    "an empty text": (lambda: discrete.fit_sequences([*"ab" * 10, ""]), "the text in row 20 is empty"),
    "no text": (lambda: discrete.fit_sequences(["ab", 3] * 9), "row 1 must be a text, got int"),  # type: ignore[list-item]
    "one character": (lambda: discrete.fit_sequences(["aa"] * 20), "all texts are of the one character 'a'"),
    "tokens of texts": (lambda: discrete.fit_sequences(["ab"] * 10, tokens=3), "tokens is for sequences of numbers"),
    "few": (lambda: discrete.fit_sequences(X[:5]), "at least 10 sequences, got 5"),
    "floats": (lambda: discrete.fit_sequences(X.float()), "whole numbers .* got torch.float32"),
    "negative": (lambda: discrete.fit_sequences(X - 1), "has the token -1 in row"),
    "a vector": (lambda: discrete.fit_sequences(X[:, 0]), r"must have shape \(n, L\)"),
    "other size": (lambda: discrete.fit_sequences(X, corruption=Uniform(5)), "of 5 tokens and the data have 3"),
    "noise": (lambda: discrete.fit_sequences(X, noise=Geometric()), "leave noise out"),
    "network": (lambda: discrete.fit_sequences(X, size="tiny"), "size is one of 'small'"),
    "windows": (lambda: discrete.windows("abc", 2), "does not make two pieces of 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_data_are_one_sentence(fault: str) -> None:
    call, words = FAULTS[fault]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_faults_of_questions_are_one_sentence() -> None:
    model = discrete.fit_sequences(_texts("equal"), settings={**FEW, "steps": 1}, size="small")
    for call, words in (
        (lambda: model.log_prob(["ACGACX"]), "row 0 has the character 'X' in place 5"),
        (lambda: model.log_prob(["ACG"]), "row 0 has 3 characters; this model takes 6"),
        (lambda: model.log_prob(X), "fitted to texts"),
        (lambda: model.sample(1, seed=0, steps=0), "steps must be a whole number from 1"),
        (lambda: model.infill(["ACGACA"], seed=0, blank="A"), "blank is one character that no text has"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            call()
    with pytest.raises(ValueError, match="needs a model of masked tokens"):
        discrete.fit_sequences(X, corruption=Uniform, settings={**FEW, "steps": 1}, size="small").infill(X, seed=0)
