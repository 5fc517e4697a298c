"""What the pages of the commands, and some guides, show: each is run once, and what it prints and draws is kept.

    python docs/commands/shown.py            # all; half an hour on two cores, most of it the demo
    python docs/commands/shown.py restore    # one of them, and those it needs

Written are `docs/images/made/NAME.png`, which `make docs` makes anew, and with `--texts` also
`docs/commands/output/NAME.txt`, which the repository keeps. With `SHOWN_IN=folder` what the commands write stays there.
Needs the packages of `scorefield[dev,docs]`, curl and Chromium (`CHROMIUM=/path/to/it` where it is not in /usr/bin).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import figures
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
OUTPUT = HERE / "output"
IMAGES = HERE.parent / "images" / "made"
WIDTH = 960  # pixels of a page that is looked at
GUIDES = HERE.parent
RUN = [sys.executable, "-m", "scorefield"]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


# ------------------------------------------------------------------------------------------------------------- data


def table() -> None:
    """600 flats, some of whose sizes and years are not known; one price has a digit too many."""
    draw = np.random.default_rng(0)
    town = draw.choice(["Bern", "Biel", "Thun"], 600, p=[0.5, 0.2, 0.3])
    size = np.exp(draw.normal(4.3, 0.35, 600)).round()
    rooms = np.clip((size / 26 + draw.normal(0, 0.5, 600)).round(), 1, 8).astype(int)
    year = draw.integers(1930, 2024, 600)
    level = pd.Series({"Bern": 9.2, "Biel": 6.1, "Thun": 7.4})[town].to_numpy()
    price = (level * size * (0.8 + 0.004 * (year - 1930)) + draw.normal(0, 40, 600)).round()
    frame = pd.DataFrame({"town": town, "size": size, "rooms": rooms, "year": year.astype(float), "price": price})
    frame.loc[draw.random(600) < 0.08, "size"] = np.nan
    frame.loc[draw.random(600) < 0.08, "year"] = np.nan
    frame.loc[122, "price"] *= 10
    frame.convert_dtypes().to_csv("table.csv", index=False)


def throws() -> None:
    """2,000 simulated throws, and one that was seen: how far it went, and for how long."""
    draw = np.random.default_rng(0)
    speed, angle = draw.uniform(5, 25, 2000), draw.uniform(20, 70, 2000)
    time = 2 * speed * np.sin(np.radians(angle)) / 9.81
    distance = speed * np.cos(np.radians(angle)) * time
    seen = {"distance": distance + draw.normal(0, 2, 2000), "time": time + draw.normal(0, 0.3, 2000)}
    frame = pd.DataFrame({"speed": speed, "angle": angle, **seen})
    frame.round(3).to_csv("throws.csv", index=False)
    pd.DataFrame({"distance": [30.0], "time": [2.5]}).to_csv("seen.csv", index=False)


def pipeline() -> None:
    """A pipeline of diffusers whose network is trained on digits for a minute, without scorefield."""
    import torch
    from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel
    from sklearn.datasets import load_digits

    torch.manual_seed(0)  # noqa: TID251
    down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
    parts = {"block_out_channels": (32, 64), "down_block_types": down, "up_block_types": up, "norm_num_groups": 8}
    network = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, attention_head_dim=8, **parts
    )
    scheduler = DDIMScheduler(clip_sample=False)
    pictures = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1
    optimiser, steps = torch.optim.AdamW(network.parameters(), 2e-3), 1200
    for step in range(steps):
        x = pictures[torch.randint(len(pictures), (128,))]
        noise, times = torch.randn_like(x), torch.randint(1000, (len(x),))
        loss = (network(scheduler.add_noise(x, noise, times), times).sample - noise).square().mean()
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    DDPMPipeline(network, scheduler).save_pretrained("pipeline")


# --------------------------------------------------------------------------------------------------------- commands


def called(words: str) -> None:
    """Run a command of scorefield for what it writes."""
    subprocess.run([*RUN, *words.split()], check=True)


def told(name: str, *commands: str) -> None:
    """Run commands, and write what they print to `NAME.txt`, each after the line that calls it.

    Args:
        name: of the page.
        commands: words of the shell; `python`, and that of `scorefield`, is this one.
    """
    parts = []
    for command in commands:
        words = re.sub(r"^python\b", sys.executable, re.sub(r"^scorefield\b", " ".join(RUN), command))
        done = subprocess.run(words, shell=True, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            sys.exit(f"{command}\n{done.stdout}{done.stderr}")
        parts.append(f"$ {command}\n{done.stdout.rstrip()}".rstrip())
        print(f"{name}: {command}", flush=True)
    Path(f"{name}.txt").write_text("\n".join(parts) + "\n", encoding="utf-8")


def kept(name: str, file: str, least: int = 0) -> None:
    """Keep a picture that a command wrote, its pixels larger where it is smaller than `least`."""
    with Image.open(file) as image:
        times = max(1, least // image.width)
        _small(image.convert("RGB").resize((image.width * times, image.height * times), Image.Resampling.NEAREST), name)


def stacked(name: str, files: list[str]) -> None:
    """Keep pictures of one width below each other."""
    images = [Image.open(file).convert("RGB") for file in files]
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    _small(whole, name)


def beside(name: str, files: dict[str, str], width: int = 300, line: int = 26) -> None:
    """Keep pictures of one size side by side, each `{file: what is written above it}`."""
    images = []
    for file in files:
        with Image.open(f"{file}.png") as image:
            images.append(image.convert("RGB"))
    times = max(1, width // images[0].width)
    across, height = images[0].width * times, images[0].height * times
    whole = Image.new("RGB", (len(images) * (across + 12) - 12, height + line), "white")
    pen = ImageDraw.Draw(whole)
    for k, (image, words) in enumerate(zip(images, files.values(), strict=True)):
        whole.paste(image.resize((across, height), Image.Resampling.NEAREST), (k * (across + 12), line))
        pen.text((k * (across + 12), 2), words, fill="black", font_size=17)
    _small(whole, name)


def drawn(name: str) -> None:
    """Keep the picture of a page that is drawn from the files that its commands wrote."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figure.png"
        getattr(figures, name)().savefig(file, dpi=150, facecolor="white")
        kept(name, str(file))


def _small(image: Image.Image, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.quantize(128).save(IMAGES / f"{name}.png", optimize=True)


@contextmanager
def _browser(width: int, height: int) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    options = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened.new_page(viewport={"width": width, "height": height})
        opened.close()


def looked(name: str, address: str, height: int = 900, wait: float = 1.0) -> None:
    """Keep how a page looks."""
    with _browser(1280, height) as page, tempfile.TemporaryDirectory() as folder:
        page.goto(address)
        page.wait_for_timeout(1000 * wait)
        file = Path(folder) / "page.png"
        page.screenshot(path=file)
        with Image.open(file) as image:
            _small(image.convert("RGB"), name)


def served(words: str, sign: str) -> tuple[subprocess.Popen[str], str]:
    """A command that serves, and what follows the sign in what it prints."""
    process = subprocess.Popen([*RUN, *words.split()], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(sign):
            return process, line.removeprefix(sign).split()[0]
    sys.exit(f"{words} did not start")


# ------------------------------------------------------------------------------------------------------------ pages


def schema() -> None:
    told("schema", "scorefield schema table.csv")
    drawn("schema")


def fit() -> None:
    told("fit", "scorefield fit table.csv -o run --steps 1500 --quiet")
    drawn("fit")


def info() -> None:
    told("info", "scorefield info run")
    called("sample run -n 600 -o new.csv --quiet")
    drawn("info")


def sample() -> None:
    told("sample", "scorefield sample run -n 1000 -o new.csv", "head -4 new.csv")
    called("sample digits -n 100 -o digits.png --seed 1")
    kept("sample", "digits.png", 480)


def evaluate() -> None:
    told("evaluate", "scorefield evaluate run table.csv --report report.html")
    looked("evaluate", Path("report.html").resolve().as_uri(), 1000)


def density() -> None:
    told("density", "scorefield density run table.csv -o density.csv", "head -4 density.csv")
    drawn("density")


def outliers() -> None:
    told("outliers", "scorefield outliers run table.csv -o outliers.csv --share 0.005", "cat outliers.csv")
    drawn("outliers")


def impute() -> None:
    told("impute", "scorefield impute run table.csv -o draws.csv --draws 20", "head -4 draws.csv")
    drawn("impute")


def predict() -> None:
    told("predict", "scorefield predict run table.csv --target price -o prices.csv", "head -4 prices.csv")
    drawn("predict")


def calibrate() -> None:
    """And the points that the plan draws before and after, beside many evaluations, of one noise."""
    with _within("plane"):
        called("fit spirals -o run --steps 3000 --quiet")
        for name, steps in (("many", 100), ("before", 5)):
            called(f"sample run -n 3000 --seed 1 --quiet -o {name}.npy --steps {steps}")
        told(
            "calibrate",
            "scorefield calibrate run --steps 5 --quiet",
            "scorefield sample run -n 3000 --seed 1 -o after.npy --steps 5 --quiet",
        )
        drawn("calibrate")


def check() -> None:
    told("check", "scorefield check run table.csv")
    drawn("check")


def push() -> None:
    """And the card, as a page."""
    told("push", "scorefield push run ./copy --quiet", "head -24 copy/README.md")
    from markdown_it import MarkdownIt

    text = Path("copy/README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    style = "body { font: 17px/1.5 sans-serif; max-width: 62em; margin: 2em auto }"
    style += " pre { background: #f3f4f6; padding: 1em; white-space: pre-wrap }"
    style += " table { border-collapse: collapse } th, td { padding: .2em .8em; border-bottom: 1px solid #ccc }"
    page = MarkdownIt("commonmark").enable("table").render(text)
    Path("card.html").write_text(f"<meta charset=utf-8><style>{style}</style>{page}", encoding="utf-8")
    looked("push", Path("card.html").resolve().as_uri(), 1000)


def autoencode() -> None:
    """And digits that were held out, before and after they went through it."""
    told("autoencode", "scorefield autoencode digits -o ae --factor 2 --channels 2 --steps 1500 --quiet")
    drawn("autoencode")


def digits() -> None:
    called("fit digits -o digits --steps 1500 --quiet")


def distil() -> None:
    """And what 24 evaluations, 2 of the model and 2 of the new network make of one noise, side by side."""
    for name, steps in (("many", 24), ("plain", 2)):
        called(f"sample digits -n 42 --seed 3 --quiet -o {name}.png --steps {steps}")
    told(
        "distil",
        "scorefield distil digits --steps 2 --training-steps 300 --quiet",
        "scorefield sample digits -n 42 --seed 3 -o few.png --steps 2 --quiet",
    )
    beside("distil", {"many": "24 evaluations", "plain": "2 of the model", "few": "2, distilled"})


def restore() -> None:
    told("restore", "scorefield restore digits digits --index 3 --operator blur=1 --noise 1 -n 16 -o restored --quiet")
    kept("restore", "restored/restored.png")


def restorations() -> None:
    """One digit, measured in four ways: of the guide to restoring."""
    mask = np.ones((8, 8))
    mask[2:6, 2:6] = 0
    np.save("hidden.npy", mask)
    ways = {"blurred": "blur=1 --noise 1", "hidden": "mask=hidden.npy --noise 0", "shrunk": "downsample=2 --noise 0.5"}
    ways["projected"] = "radon=6 --noise 1"
    for name, way in ways.items():
        called(f"restore digits digits --index 3 --operator {way} -n 16 -o {name} --quiet")
    stacked("restorations", [f"{name}/restored.png" for name in ways])


def demo() -> None:
    called("demo -o demo")
    kept("demo", "demo/samples.png")


def sea() -> None:
    """The sea's temperature in the eastern Pacific: windows of 36 months before 1990, and those from there on."""
    from statsmodels.datasets import elnino

    table = elnino.load_pandas().data
    months = np.lib.stride_tricks.sliding_window_view(table.iloc[:, 1:].to_numpy(float).reshape(-1), 36)
    year = np.repeat(table.iloc[:, 0].to_numpy(float), 12)
    np.save("before.npy", months[year[35:] < 1990])
    np.save("later.npy", months[year[:-35] >= 1990][::12])


def forecast() -> None:
    told(
        "forecast",
        "scorefield fit before.npy --records series -o sea --steps 400 --quiet",
        "scorefield forecast sea later.npy --known 24 -o forecast.csv --picture forecast.png --quiet",
        "head -4 forecast.csv",
    )
    kept("forecast", "forecast.png")


def graph() -> None:
    """What the guide's own code draws."""
    (code,) = re.findall(r"```python\n(.*?)```", (GUIDES / "graphs.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "graphs.md", "exec"), {})
    kept("graph", "graph.png")


def power() -> None:
    """What was measured of the tests by Stein's identity, from its tables."""
    drawn("power")


def export() -> None:
    """And fifty records of the file, drawn by a program without torch."""
    shutil.copy(HERE / "draw.py", "draw.py")
    told("export", "scorefield export digits -o model.onnx --quiet", "python draw.py")
    kept("export", "drawn.png", 480)


def posterior() -> None:
    told(
        "posterior",
        "scorefield fit throws.csv --parameters speed,angle -o believed --steps 300 --quiet",
        "scorefield posterior believed seen.csv -n 4000 -o draws.csv --report posterior.html --quiet",
    )
    looked("posterior", Path("posterior.html").resolve().as_uri(), 1000)


def adopt() -> None:
    told(
        "adopt",
        "scorefield adopt pipeline -o adopted --quiet",
        "scorefield sample adopted -n 60 -o new.png --steps 20 --quiet",
    )
    kept("adopt", "new.png", 480)


def serve() -> None:
    os.environ["TOKEN"] = os.environ["SCOREFIELD_TOKEN"] = "secret-of-this-example"
    row = '{"rows": [{"town": "Bern", "size": 70, "rooms": 3, "year": null, "price": 540}]}'
    process, address = served("serve run", "serve: ")
    try:
        told("serve", f"curl -s -H \"Authorization: Bearer $TOKEN\" --json '{row}' {address}/density")
        Path("asked.json").write_text(json.dumps(_swept(address)), encoding="utf-8")
        drawn("serve")
    finally:
        process.terminate()
        process.wait()
    text = Path("serve.txt").read_text(encoding="utf-8")
    Path("serve.txt").write_text(f"$ scorefield serve run &\n{text}", encoding="utf-8")


def _swept(address: str) -> dict[str, list[float]]:
    """Log-densities of a flat by its price, in each town, in one request."""
    prices = [float(price) for price in range(200, 1001, 16)]
    rows = [
        {"town": t, "size": 70, "rooms": 3, "year": 1980, "price": p} for t in ("Biel", "Thun", "Bern") for p in prices
    ]
    head = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{address}/density", json.dumps({"rows": rows}).encode(), head)
    with urllib.request.urlopen(asked) as answer:
        found = [row["log_density"] for row in json.load(answer)["rows"]]
    towns = {town: found[k * len(prices) : (k + 1) * len(prices)] for k, town in enumerate(("Biel", "Thun", "Bern"))}
    return {"price": prices, **towns}


@contextmanager
def _within(folder: str) -> Iterator[None]:
    """Another working folder, for a while; made where it is not there."""
    before = Path.cwd()
    Path(folder).mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def explore() -> None:
    process, address = served("explore --no-browser", "explorer: ")
    try:
        looked("explore", address, 800, wait=8)
    finally:
        process.terminate()
        process.wait()


NEEDS: dict[Callable[[], None], tuple[Callable[[], None], ...]] = {
    schema: (table,),
    fit: (table,),
    demo: (),
    **dict.fromkeys((info, evaluate, density, outliers, impute, predict, check, push, serve), (fit,)),
    calibrate: (),
    autoencode: (),
    sample: (fit, digits),
    restore: (digits,),
    restorations: (digits,),
    forecast: (sea,),
    graph: (),
    power: (),
    distil: (digits,),
    export: (digits,),
    posterior: (throws,),
    adopt: (pipeline,),
    explore: (),
}
"""What is shown, and what must have been made before it."""


def main(names: list[str]) -> None:
    names, texts = [name for name in names if name != "--texts"], "--texts" in names
    if not names and not Path(CHROMIUM).exists():
        sys.exit(f"No Chromium at {CHROMIUM}, which looks at reports and pages; say CHROMIUM=/path/to/chromium.")
    wanted = {function.__name__: function for function in NEEDS}
    done: set[Callable[[], None]] = set()

    def do(function: Callable[[], None]) -> None:
        if function not in done:
            done.add(function)
            for before in NEEDS.get(function, ()):
                do(before)
            function()

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(os.environ.get("SHOWN_IN", folder))
        for name in names or wanted:
            do(wanted[name])
        for file in Path().rglob("*.txt") if texts else ():
            if file.stem in wanted:
                shutil.copy(file, OUTPUT / file.name)


if __name__ == "__main__":
    main(sys.argv[1:])
