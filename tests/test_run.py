"""Laws of the loop that executes plans: determinism, split runs, memory, range, errors."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scorefield import Denoiser, levels, plans
from scorefield.analytic import Gaussian
from scorefield.core import Estimate, Level
from scorefield.plans import Plan, RunState, run, walk
from test_plans import EACH, ONE_OF_EACH

F64 = torch.float64
MODEL = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[1.0, 0.4], [0.4, 0.5]]))


def plain(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
    """An elementwise model, so that its answers do not depend on the batch to the last bit."""
    alpha, sigma = float(level.alpha), float(level.sigma)
    r2 = alpha * alpha + sigma * sigma
    x0 = alpha / r2 * x + 0.1 * torch.sin(x / r2**0.5)
    if sigma == 0:
        return Estimate(x / alpha, torch.zeros_like(x))
    return Estimate(x0, (x - alpha * x0) / sigma)


def by_hand(plan: Plan, model: Callable[..., Estimate], x: Tensor, seed: int) -> Tensor:
    """The definition, with everything kept."""
    from scorefield.numerics.random import normal

    answers: list[Estimate] = []
    for k in range(plan.evaluations):
        answers.append(model(x, plan.levels[k]))
        x = float(plan.c[k]) * normal(len(x), x.shape[1:], seed, "plan", row=k, dtype=x.dtype)
        for j, answer in enumerate(answers):
            x = x + float(plan.P[k, j]) * answer.x0 + float(plan.E[k, j]) * answer.eps
    return x


@EACH
def test_run_is_the_table(plan: Plan) -> None:
    x = plan.start(6, (2,), seed=0, dtype=F64)
    want = by_hand(plan, plain, x, seed=5)
    assert float((run(plan, plain, x, seed=5) - want).abs().max()) < 1e-11 * float(1 + want.abs().max())


@EACH
def test_split_runs_equal_the_whole_bit_for_bit(plan: Plan) -> None:
    x = plan.start(6, (2,), seed=0)
    whole = run(plan, plain, x, seed=5, first=3)
    for stop in range(plan.evaluations + 1):
        state = run(plan, plain, x, seed=5, first=3, stop=stop, return_state=True)
        assert state.row == stop
        assert torch.equal(run(plan, plain, state=state), whole)
        assert torch.equal(run(plan, plain, x, seed=5, first=3, stop=stop), state.x)


@EACH
def test_a_sample_does_not_depend_on_its_batch(plan: Plan) -> None:
    whole = run(plan, plain, plan.start(8, (3,), seed=1), seed=2)
    part = run(plan, plain, plan.start(3, (3,), seed=1, first=4), seed=2, first=4)
    assert torch.equal(whole[4:7], part)


@EACH
def test_noise_depends_on_the_seed_and_only_where_there_is_some(plan: Plan) -> None:
    x = plan.start(4, (2,), seed=0)
    assert torch.equal(run(plan, plain, x, seed=1), run(plan, plain, x, seed=2)) != plan.stochastic
    assert torch.equal(run(plan, plain, x, seed=1), run(plan, plain, x, seed=1))


@EACH
def test_the_trajectory_holds_every_state(plan: Plan) -> None:
    x = plan.start(4, (2,), seed=0)
    path = run(plan, plain, x, trajectory=True)
    assert path.shape == (plan.evaluations + 1, 4, 2)
    assert torch.equal(path[0], x) and torch.equal(path[-1], run(plan, plain, x))
    for k, (state, estimate) in enumerate(walk(plan, plain, x)):
        assert torch.equal(state.x, path[k + 1]) and torch.equal(estimate.x0, plain(path[k], plan.levels[k]).x0)


# --------------------------------------------------------------------------------------------------------- memory

KEPT = {  # tensors of earlier rows alive while the model is asked
    "ddim": 0,
    "ancestral": 0,
    "euler_maruyama, to 0": 0,
    "dpmpp2": 1,
    "dpmpp3": 2,
    "heun": 2,
    "adams4, eps": 3,
    "adams4, angle": 6,
    "annealed_langevin": 0,
}


@pytest.mark.parametrize("name", KEPT)
def test_run_keeps_only_what_later_rows_use(name: str) -> None:
    plan = ONE_OF_EACH[name]
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        nonlocal most
        most = max(most, sum(r() is not None for r in alive))
        answer = plain(x, level)
        alive.extend(weakref.ref(v) for v in answer)
        return answer

    run(plan, model, plan.start(2, (2,), seed=0))
    assert plan.kept == KEPT[name]
    assert most <= plan.kept


class Living(TorchDispatchMode):
    """The most bytes of tensors that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self.alive: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        result = op(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim:  # the numbers that `run` notes of each row are none
            self.alive = [r for r in self.alive if r() is not None] + [weakref.ref(result)]
            held = {t.data_ptr(): t.nbytes for r in self.alive if (t := r()) is not None}
            self.most = max(self.most, sum(held.values()))
        return result


FLAT: dict[str, Callable[[int], Plan]] = {
    "ddim": lambda n: plans.ddim(levels.karras(n)),
    "heun": lambda n: plans.heun(levels.karras(n)),
    "adams4": lambda n: plans.adams(levels.karras(n)),
    "unipc3": lambda n: plans.unipc(levels.karras(n), 3),
    "ancestral": lambda n: plans.ancestral(levels.karras(n)),
    "dpmpp2(eta=1)": lambda n: plans.dpmpp(levels.karras(n), 2, eta=1.0),
}


@pytest.mark.parametrize("name", FLAT)
def test_memory_does_not_grow_with_the_number_of_steps(name: str) -> None:
    most = {}
    for n in (12, 48):
        plan = FLAT[name](n)
        x = plan.start(4096, (4,), seed=0)
        with Living() as living:
            run(plan, plain, x)
        most[n] = living.most / x.nbytes
    assert abs(most[48] - most[12]) < 1  # the plan's own tables
    assert most[48] < plan.kept + 9  # what the model and a row, with its noise, need for themselves


# ------------------------------------------------------------------------------------------------ dtype, gradients


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_run_computes_in_the_dtype_of_x(dtype: torch.dtype) -> None:
    plan = plans.adams(levels.karras(10))
    assert run(plan, plain, plan.start(4, (2,), seed=0, dtype=dtype)).dtype == dtype


def test_x_and_the_models_answers_are_never_written_to() -> None:
    def mirror(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return Estimate(x, 0 * x)

    plan = plans.dpmpp(levels.karras(5), eta=1.0)
    x = plan.start(4, (2,), seed=0)
    before = x.clone()
    states = list(run(plan, mirror, x, trajectory=True))
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(states, run(plan, mirror, x, trajectory=True), strict=True))


def test_gradients_flow_only_when_asked() -> None:
    plan = plans.adams(levels.karras(5), 2)
    x = plan.start(3, (2,), seed=0, dtype=F64).requires_grad_()
    assert not run(plan, plain, x).requires_grad
    end = run(plan, plain, x, grad=True)
    (slope,) = torch.autograd.grad(end.sum(), x)
    step = 1e-5 * torch.ones_like(x)
    with torch.no_grad():
        difference = (run(plan, plain, x + step) - run(plan, plain, x - step)).sum() / 2e-5
    assert float(slope.sum()) == pytest.approx(float(difference), rel=1e-5)
    assert torch.is_grad_enabled()


def test_walk_leaves_the_callers_gradients_alone() -> None:
    plan = plans.ddim(levels.karras(3))
    for _ in walk(plan, plain, plan.start(2, (2,), seed=0)):
        assert torch.is_grad_enabled()


def test_the_condition_reaches_the_model() -> None:
    seen = []

    def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        seen.append(condition)
        return plain(x, level)

    label = torch.arange(4)
    plan = plans.ddim(levels.karras(3))
    run(plan, model, plan.start(4, (2,), seed=0), condition=label, progress=True)
    assert len(seen) == 3 and all(c is label for c in seen)


# ---------------------------------------------------------------------------------------------------------- start


def test_the_start_has_the_moments_of_the_noised_data() -> None:
    plan = plans.ddim(levels.karras(3, sigma_max=2.0))
    mean = torch.tensor([3.0, -1.0])
    x = plan.start(40_000, (2,), seed=0, mean=mean, std=1.5)
    assert torch.allclose(x.mean(0), mean, atol=4 * 2.5 / 200)
    assert torch.allclose(x.std(0), torch.full((2,), 2.5), atol=4 * 2.5 / 280)
    assert torch.equal(plan.start(10, (2,), seed=0, mean=mean, std=1.5, first=5), x[5:15])
    data = torch.zeros(10, 2)
    assert torch.allclose(plan.start_from(data, seed=0), plan.start(10, (2,), seed=0))


def test_inversion_goes_up_and_comes_back() -> None:
    down = levels.karras(60, sigma_max=80.0, sigma_min=0.01, end=False)
    x = MODEL.sample(20, seed=0).to(F64)
    up = run(plans.adams(down.rising()), MODEL, x)
    assert float((run(plans.adams(down), MODEL, up) - x).abs().max()) < 1e-4


# --------------------------------------------------------------------------------------------------------- errors


class Ranged:
    """A model with a range."""

    sigma_min, sigma_max = 0.01, 10.0

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        raise AssertionError("asked before the range was checked")


def test_a_plan_outside_the_models_range_is_refused_before_it_starts() -> None:
    for lv in (levels.karras(5, 80.0, 0.02), levels.karras(5, 5.0, 0.001)):
        plan = plans.ddim(lv)
        with pytest.raises(ValueError, match=r"model answers from 0\.01 to 10"):
            run(plan, Ranged(), plan.start(2, (2,), seed=0))


def test_the_range_of_a_denoiser_admits_its_own_ends() -> None:
    from scorefield.nets import ResidualMLP

    model = Denoiser(ResidualMLP(2), sigma_min=0.01, sigma_max=10.0)
    plan = plans.default(6, sigma_min=0.01, sigma_max=10.0)
    assert run(plan, model, plan.start(3, (2,), seed=0)).shape == (3, 2)


def test_a_state_that_is_not_finite_is_named() -> None:
    def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        answer = plain(x, level)
        return Estimate(answer.x0 / (0.0 if float(level.sigma) < 1 else 1.0), answer.eps)

    plan = plans.ddim(levels.given([4.0, 2.0, 1.0, 0.5]))
    with pytest.raises(ValueError, match=r"row 3 .*sigma = 0\.5"):
        run(plan, model, plan.start(2, (2,), seed=0))
    with pytest.raises(ValueError, match="run's x must be finite"):
        run(plan, plain, torch.full((2, 2), torch.nan), stop=0)


PLAN = plans.adams(levels.karras(4), 2)
X = PLAN.start(2, (2,), seed=0)
BAD_CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "no plan": (lambda: run(MODEL, MODEL, X), "needs a Plan"),  # type: ignore[arg-type]
    "no x": (lambda: run(PLAN, plain), "either x"),
    "x and state": (lambda: run(PLAN, plain, X, state=RunState(X, 0, {}, {})), "either x"),
    "no batch": (lambda: run(PLAN, plain, X[0]), "batch first"),
    "integers": (lambda: run(PLAN, plain, X.long()), "floating-point"),
    "a tensor for an estimate": (lambda: run(PLAN, lambda x, level, c: x, X), "Estimate"),  # type: ignore[arg-type]
    "another dtype": (lambda: run(PLAN, lambda x, level, c: Estimate(x.double(), x), X), "dtype"),
    "another shape": (lambda: run(PLAN, lambda x, level, c: Estimate(x, x[:1]), X), "shape"),
    "stop": (lambda: run(PLAN, plain, X, stop=9), "stop"),
    "another plan's state": (
        lambda: run(plans.ddim(levels.karras(4)), plain, state=run(PLAN, plain, X, stop=2, return_state=True)),
        "another plan",
    ),
    "another seed": (
        lambda: run(PLAN, plain, state=run(PLAN, plain, X, stop=2, return_state=True), seed=3),
        "seed",
    ),
    "state and trajectory": (lambda: run(PLAN, plain, X, return_state=True, trajectory=True), "one of them"),  # type: ignore[call-overload]
    "std": (lambda: PLAN.start(2, (2,), seed=0, std=-1.0), "std"),
    "seed": (lambda: PLAN.start(2, (2,), seed=0.5), "seed"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_run_says_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
