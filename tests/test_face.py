"""What a visitor meets first: the README, how to cite and to report, what runs on a release, on any system."""

from __future__ import annotations

import ast
import io
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import scorefield

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tools").glob("*.py")])


@pytest.fixture(scope="module")
def sources() -> dict[str, ast.Module]:
    """The package's and the tools' own code."""
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in FILES}


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    assert len(README.splitlines()) < 120
    first, _, rest = README.partition("\n\n")
    assert first == "# scorefield" and rest.startswith("![")
    assert "shields.io" not in README and "badge" not in README  # none is true before there is a place to look it up


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == scorefield.__version__ and cited["license"] == "MIT"
    assert {"cff-version", "message", "title", "authors", "type"} <= set(cited)


def test_the_policy_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w.]+)`", text) + re.findall(r"\]\(([^)]+)\)", text)
    assert len(named) >= 4 and all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.name)
def test_forms_and_workflows_can_be_read(file: Path) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if file.parent.name == "workflows":
        assert content["permissions"] == {"contents": "read"} and content[True]  # YAML reads the key `on` as true
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        for step in steps:
            for name in re.findall(r"(?:make (\w+)|python ([\w/]+\.py))", step.get("run", "")):
                target, script = name
                assert (ROOT / script).is_file() if script else f"\n{target}:" in (ROOT / "Makefile").read_text()
    elif file.name != "config.yml":
        assert content["name"] and content["description"]
        assert all(part["type"] in ("textarea", "input", "checkboxes") for part in content["body"])


# ---------------------------------------------------------------------------------------------------- other systems

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix"}
"""Modules that Windows does not have."""
NAMES = {
    "os": "fork forkpty getuid geteuid getgid setsid killpg getpgid sysconf statvfs chown fchown mkfifo nice uname "
    "wait waitid pread pwrite posix_fadvise sched_getaffinity memfd_create sendfile O_NONBLOCK O_CLOEXEC O_NOFOLLOW "
    "O_DIRECTORY O_SYNC getloadavg rename kill link symlink",
    "signal": "SIGKILL SIGALRM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGPIPE SIGCHLD SIGSTOP SIGCONT alarm setitimer pause "
    "pthread_kill pthread_sigmask sigwait",
    "time": "tzset clock_gettime",
    "asyncio": "open_unix_connection start_unix_server",
    "socket": "AF_UNIX SO_REUSEPORT",
}
"""Names of modules that not every system has, or that do something else there: Windows renames over no file, and ends
a process that is sent any signal."""
PLACES = ("/proc", "/sys/", "/dev/", "/tmp", "/etc", "/usr")
CAUGHT = {"ImportError", "AttributeError", "OSError", "Exception", "ModuleNotFoundError"}


def unguarded(tree: ast.Module) -> Iterator[str]:
    """What one system may lack, outside of a `try` that catches its lack and of an `if` that asks for it."""

    def visit(node: ast.AST, guarded: bool) -> Iterator[str]:
        if isinstance(node, ast.Try):
            names = {one.id for handler in node.handlers for one in ast.walk(handler) if isinstance(one, ast.Name)}
            for child in ast.iter_child_nodes(node):
                yield from visit(child, guarded or (child in node.body and bool(names & CAUGHT)))
            return
        if isinstance(node, ast.If) and re.search(r"hasattr|os\.name|sys\.platform|platform", ast.unparse(node.test)):
            guarded = True
        if not guarded:
            yield from found(node)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, guarded)

    return visit(tree, False)


def found(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    if isinstance(node, ast.ImportFrom) and node.module in MODULES:
        yield node.module
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.attr in NAMES.get(node.value.id, "").split():
            yield f"{node.value.id}.{node.attr}"
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PLACES):
        yield node.value
    if isinstance(node, ast.Call) and any(isinstance(a, ast.Constant) and a.value == "fork" for a in node.args):
        yield "fork"


def test_nothing_of_one_system_is_used_unguarded(sources: dict[str, ast.Module]) -> None:
    faults = {file: list(unguarded(tree)) for file, tree in sources.items()}
    assert not {file: names for file, names in faults.items() if names}


def test_what_is_of_one_system_is_found() -> None:
    bad = (
        "import os, fcntl\nos.sysconf('x')\nopen('/proc/self')\ntry:\n    import resource\nexcept ValueError:\n    pass"
    )
    assert list(unguarded(ast.parse(bad))) == ["fcntl", "os.sysconf", "/proc/self", "resource"]
    good = "try:\n    import fcntl\nexcept ImportError:\n    pass\nif hasattr(os, 'fork'):\n    os.fork()"
    assert not list(unguarded(ast.parse(good)))


def test_what_the_output_cannot_show_becomes_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or pipe of Windows knows the letters of one region alone, and names of columns may have others."""
    from scorefield.cli import main

    table = tmp_path / "table.csv"
    table.write_text("\u0434\u043b\u0438\u043d\u0430,b\n" + "1,2\n2,5\n3,3\n" * 5, encoding="utf-8")
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "argv", ["scorefield", "schema", str(table)])
    main()
    assert b"\\u0434\\u043b\\u0438\\u043d\\u0430" in shown.buffer.getvalue()


def test_every_supported_python_reads_the_code() -> None:
    """No warning of a compiler that a later Python makes an error, such as an escape that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in FILES:
            tree = ast.parse(file.read_text("utf-8"), feature_version=(3, 11))
            for one in ast.walk(tree):  # Python 3.14 warns of these
                if isinstance(one, ast.Try | ast.TryStar):
                    ends = [node for part in one.finalbody for node in ast.walk(part)]
                    assert not any(isinstance(node, ast.Return) for node in ends), file
    listed = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    assert listed["jobs"]["wheel"]["strategy"]["matrix"]["python"][0] == "3.11"
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_texts_are_read_and_written_in_one_encoding(sources: dict[str, ast.Module]) -> None:
    """Without `encoding` Windows takes its own."""
    text_calls = {"read_text": 0, "write_text": 1}
    faults = []
    for file, tree in sources.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or any(k.arg in ("encoding", None) for k in node.keywords):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr in text_calls:
                if len(node.args) <= text_calls[node.func.attr]:
                    faults.append(f"{file}:{node.lineno}")
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
                modes += [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
                if not any("b" in str(mode) for mode in modes):
                    faults.append(f"{file}:{node.lineno}")
    assert not faults
