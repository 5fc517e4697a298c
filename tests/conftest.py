"""What holds for every test: one thread per process, and the same examples in every run."""

import functools
import gc
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; processes started by tests inherit it

import pytest
import torch
from hypothesis import settings

# what is no file of tests (tables, scripts that tests start) is not imported in search of examples
collect_ignore = [path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]

torch.set_num_threads(1)
PROGRESS = re.compile(r"scorefield: \d+ %  ")  # lines that slow commands write where there is no terminal
settings.register_profile("scorefield", derandomize=True, deadline=None)
settings.load_profile("scorefield")


def pytest_sessionstart(session: pytest.Session) -> None:
    """What the libraries have made lives as long as the session: the collector need not look at it again and again."""
    import pandas  # noqa: F401
    import sklearn  # noqa: F401

    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


@pytest.fixture(scope="session")
def library_laws():
    """What the laws of the library came out as, by seed: they are the same in every check of a session."""
    from scorefield.check.exact import library

    return functools.lru_cache(library)


@pytest.fixture(scope="session")
def in_process():
    """`in_process(words) -> exit code`: the command line, in this process."""

    def call(*words: object) -> int:
        from scorefield.cli import main

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["scorefield", *map(str, words)])
            try:
                main()
            except SystemExit as end:
                return int(end.code or 0)
        return 0

    return call


@pytest.fixture
def scorefield(in_process, library_laws, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """`scorefield(words) -> (exit code, standard output, standard error but for progress)`, in this process."""

    def call(*words: object) -> tuple[int, str, str]:
        if words[0] == "check":
            from scorefield.check import runs

            monkeypatch.setattr(runs, "library", library_laws)
        code = in_process(*words)
        out, err = capfd.readouterr()
        return code, out, "".join(line for line in err.splitlines(True) if not PROGRESS.match(line))

    return call


@pytest.fixture(scope="session")
def browser():
    """Chromium, for the tests that are skipped where it is missing."""
    from explorer_browser import launched

    with launched() as opened:
        yield opened


@pytest.fixture
def page(browser):
    """A page of its own, on which any error of the console fails the test."""
    from explorer_browser import watched

    with watched(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def points():
    """The explorer on a run of points."""
    from explorer_runs import points_session

    return points_session()


@pytest.fixture(scope="module")
def digits():
    """The explorer on a run of images."""
    from explorer_runs import digits_session

    return digits_session()


@pytest.fixture(scope="module")
def address():
    """Of the explorer's page, without a run."""
    from explorer_browser import serving
    from scorefield.explorer.session import Session

    with serving(Session()) as found:
        yield found


@pytest.fixture(scope="module")
def on_digits(digits):
    """The address of the explorer's page on a run of images."""
    from explorer_browser import serving

    with serving(digits) as found:
        yield found
