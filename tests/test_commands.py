"""The reference of the commands says what the command line says; no document names a command or option there is not."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from PIL import Image

import scorefield
from scorefield.cli import app, main
from scorefield.explorer.session import Session

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT / "docs" / "commands"
SOURCE = Path(scorefield.__file__).parent
DOCUMENTS = [p for part in ("*.md", "docs/**/*.md", "benchmarks/*.md") for p in sorted(ROOT.glob(part))]
DOCUMENTS = [p for p in DOCUMENTS if p.name != "CHANGELOG.md" and "_build" not in p.parts]
FENCE = re.compile(r"^(`{3,})(?:sh|bash|console|text)?\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
sys.path.insert(0, str(COMMANDS))

import command_text  # noqa: E402


def lines(text: str) -> Iterator[str]:
    """The lines of the shell, those that go on joined, without what only shows that they are such."""
    for _, block in FENCE.findall(text):
        yield from (line.removeprefix("$ ").strip() for line in re.sub(r"\\\n\s*", " ", block).splitlines())


def calls(text: str) -> Iterator[list[str]]:
    """The words after `scorefield`, of every call of it in the shell blocks of a document."""
    for line in lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an output with a quote in it
            words = line.split()
        starts = [k for k, word in enumerate(words) if word == "scorefield"]
        for start in starts:
            before = words[start - 1] if start else ""
            if not start or before in ("-m", "&&", ";", "|") or re.fullmatch(r"[A-Z_]+=\S*", before):
                rest = words[start + 1 :]
                end = min((rest.index(sign) for sign in ("|", "&&", ";", ">", "&") if sign in rest), default=len(rest))
                yield rest[:end]


def parsed(words: list[str]) -> str | None:
    """Why the command line does not take these words; None if it does. Nothing is run."""
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("--help", "--version"):
        return None
    try:
        app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return str(error)
    return None


def inline(text: str) -> Iterator[tuple[str, list[str]]]:
    """Command and its options, of what stands between backticks and begins with a command."""
    text = FENCE.sub("", text)
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        words = code.split()
        words = words[1:] if words and words[0] == "scorefield" else words
        if len(words) > 1 and words[0] in command_text.names():
            yield words[0], [word for word in words[1:] if re.match(r"--?[a-z]", word)]


def offered(name: str) -> set[str]:
    """All ways in which the options of a command are written."""
    arguments = app[name].assemble_argument_collection(default_parameter=app.default_parameter)
    return {name for one in arguments for name in (*one.names, *one.negatives)} | {"--help", "--debug"}


# ------------------------------------------------------------------------------------------------------- reference


def made() -> set[str]:
    """What the site's pictures of commands and guides are made by."""
    import shown

    return {function.__name__ for function in shown.NEEDS}


def test_pictures_of_guides_are_made_with_the_site() -> None:
    """But for those of the README, which is read without it."""
    found = {name for path in DOCUMENTS for name in re.findall(r"\(\S*images/(\S+)\)", path.read_text("utf-8"))}
    assert {name for name in found if not name.startswith(("made/", "sphx_glr_"))} == {"digits.png"}
    assert {Path(name).stem for name in found if name.startswith("made/")} - made() == set()


def test_every_command_has_its_page() -> None:
    """Begun by hand, with an example that was run; the rest is what the command line says of itself."""
    pages = {path.stem for path in COMMANDS.glob("*.md")} - {"index"}
    assert pages == set(command_text.names()) and len(pages) > 20
    for name in sorted(pages):
        text = (COMMANDS / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n") and text.count(f"```{{command}} {name}\n```") == 1, name
        outputs = [(COMMANDS / file).read_text("utf-8") for file in re.findall(r"\{literalinclude\} (\S+)", text)]
        prose = text.partition("\n\n")[2].partition("```")[0]
        assert 3 <= len(prose.strip().splitlines()) <= 8, name
        shown = "\n".join([text, *(f"```console\n{output}```" for output in outputs)])
        assert any(call[0] == name for call in calls(shown)), name
        assert re.findall(r"!\[[^]]+\]\((\S+)\)", text) == [f"../images/made/{name}.png"] and name in made(), name
    (block,) = re.findall(r"```\{toctree\}\n(.*?)```", (COMMANDS / "index.md").read_text("utf-8"), re.DOTALL)
    assert {line for line in block.split() if not line.startswith(":")} == pages


@pytest.mark.parametrize("path", sorted((COMMANDS / "output").glob("*.txt")), ids=lambda path: path.stem)
def test_what_was_run_is_still_taken(path: Path) -> None:
    faults = [(words, why) for words in calls(f"```console\n{path.read_text('utf-8')}```") if (why := parsed(words))]
    assert not faults and "scorefield" in path.read_text("utf-8")


def test_what_is_shown_of_a_table_is_what_comes_now(scorefield, tmp_path: Path, monkeypatch) -> None:
    import shown

    monkeypatch.chdir(tmp_path)
    shown.table()
    code, out, _ = scorefield("schema", "table.csv")
    told = (COMMANDS / "output" / "schema.txt").read_text(encoding="utf-8")
    assert code == 0 and told.splitlines()[1:] == out.rstrip().splitlines()


def test_the_program_that_is_shown_draws_from_an_exported_file(tmp_path: Path, digits: Session) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from scorefield.interop.export import export_model
    from scorefield.records import TrainedModel

    assert isinstance(digits.run, TrainedModel)
    export_model(digits.run, tmp_path / "model.onnx")
    call = [sys.executable, COMMANDS / "draw.py"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (COMMANDS / "output" / "export.txt").read_text("utf-8").splitlines(keepends=True)[-1]
    with Image.open(tmp_path / "drawn.png") as image:
        assert image.size == (80, 40) and image.mode == "L" and len(image.getcolors() or []) > 10


@pytest.mark.parametrize("name", command_text.names())
def test_the_page_has_what_the_help_has(name: str, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """The help, as it is printed, has no other option and no other choice."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(sys, "argv", ["scorefield", name, "--help"])
    try:
        main()
    except SystemExit as end:
        assert not end.code
    told, text = capsys.readouterr().out, command_text.markdown(name)
    rows = re.findall(r"^│ (?:[* ]  )?(\S.*?)│$", told.partition("Parameters")[2], re.MULTILINE)
    signatures = [re.split(r" {2,}", row)[0] for row in rows]
    found = {word for row in signatures for word in row.split() if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    by_place = {f"--{word.lower()}" for row in signatures for word in row.split()[:1] if word.isupper()}
    options = set(
        re.findall(r"(?<=[ ,])--?[a-z][a-z-]*", " ".join(re.findall(r"^:::\{option\}(.*)$", text, re.MULTILINE)))
    )
    assert found - by_place == options and (options or name == "info")
    assert by_place == {f"--{word.lower()}" for word in re.findall(r"^:::\{option\} ([A-Z]\S*)$", text, re.MULTILINE)}
    for one in command_text.command(name).options:
        assert one.text and one.kind and all(choice in told for choice in one.place.split("|") if one.place.islower())


def test_ranges_and_defaults_are_shown() -> None:
    text = command_text.markdown("sample")
    assert ":::{option} --steps N\n" in text and "*a whole number from 1 to 10,000; default: `18`*" in text
    assert ":::{option} --repeats, --no-repeats\n" in text and "*a switch; default: `on`*" in text
    assert ":::{option} --precision auto|float32|bf16\n" in text
    assert "scorefield sample RUN --output PATH [OPTIONS]" in text


def test_the_examples_of_the_help_are_taken() -> None:
    found = 0
    for name in command_text.names():
        for words in calls(
            "```sh\n" + "\n".join(map(command_text._commented, command_text.command(name).examples)) + "\n```"
        ):
            found += 1
            assert parsed(words) is None, (words, parsed(words))
    assert found > 45


def test_every_exit_code_is_in_the_table() -> None:
    """Of the commands and of what calls them, as they stand in the code."""
    from scorefield.cli.app import EXIT_CODES

    used = {0}
    for path in (SOURCE / "__main__.py", *(SOURCE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "fail":
                used |= {value.value for value in node.args.defaults if isinstance(value, ast.Constant)}
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SystemExit", "os._exit", "sys.exit"):
                used |= {value.value for value in node.args if isinstance(value, ast.Constant)}
    assert used == set(EXIT_CODES)


# ------------------------------------------------------------------------------------------------------- documents


def test_what_is_wrong_is_found() -> None:
    assert "Unknown option" in str(parsed(["sample", "run", "-o", "x.csv", "--stesp", "3"]))
    assert "must be" in str(parsed(["sample", "run", "-o", "x.csv", "--steps", "0"]))
    assert "Unknown command" in str(parsed(["smaple", "run"])) and "requires" in str(parsed(["sample", "run"]))
    text = "```sh\nA=1 scorefield fit x \\\n  -o run  # so\npip install scorefield\n"
    text += "torchrun -m scorefield info run | less\n```"
    assert list(calls(text)) == [["fit", "x", "-o", "run"], ["info", "run"]]
    assert list(inline("`fit --stream x`, `scorefield sample run -n 3`, `fit`")) == [
        ("fit", ["--stream"]),
        ("sample", ["-n"]),
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_commands_and_options_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    faults = [(words, why) for words in calls(text) if (why := parsed(words)) is not None]
    assert not faults
    faults = [
        (name, one) for name, options in inline(text) for one in options if one.split("=")[0] not in offered(name)
    ]
    assert not faults


def test_what_curl_sends_is_said_to_be_json() -> None:
    """What curl calls a form is refused by `scorefield serve`."""
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    texts += ["\n".join(command_text.command("serve").examples), (COMMANDS / "output" / "serve.txt").read_text("utf-8")]
    sent = [line for text in texts for line in text.splitlines() if "curl " in line and "{" in line]
    assert len(sent) >= 3 and all("--json " in line and " -d " not in line for line in sent)


def test_documents_have_calls() -> None:
    assert sum(len(list(calls(path.read_text(encoding="utf-8")))) for path in DOCUMENTS) > 60


def test_the_text_can_be_printed() -> None:
    done = subprocess.run(
        [sys.executable, str(COMMANDS / "command_text.py"), "info"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == command_text.markdown("info").strip()
