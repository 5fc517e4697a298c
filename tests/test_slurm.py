"""The Slurm script of the guide, run with stand-ins for the commands of a cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

GUIDE = Path(__file__).parents[1] / "docs" / "distributed.md"
SCRIPT = next(
    text for text in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S) if "SBATCH" in text
)
JOB = {"SLURM_JOB_NODELIST": "a[1-4]", "SLURM_NNODES": "4", "SLURM_JOB_ID": "17", "LC_ALL": "C"}


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """Commands that note how they were called; `srun` goes on while the file `work` is there."""
    for name, text in {
        "scontrol": 'printf "%s\\n" "$*" >> calls; [ "$1" = show ] && printf "node1\\nnode2\\n"; true',
        "srun": 'printf "%s\\n" "$@" > asked; while [ -e work ]; do sleep 0.05; done',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "job.sh").write_text(SCRIPT)
    return tmp_path


def started(cluster: Path) -> subprocess.Popen[bytes]:
    environment = {**JOB, "PATH": f"{cluster}:/usr/bin:/bin"}
    return subprocess.Popen(["bash", "job.sh"], cwd=cluster, env=environment)


def asked(cluster: Path) -> list[str]:
    for _ in range(200):
        if (cluster / "asked").exists() and (words := (cluster / "asked").read_text().split("\n")[:-1]):
            return words
        time.sleep(0.05)
    raise AssertionError("srun was not called")


def test_every_machine_starts_a_training_that_exists(cluster: Path) -> None:
    assert started(cluster).wait(timeout=20) == 0
    program, *words = asked(cluster)
    found = get_args_parser().parse_args(words)
    assert program == "torchrun" and found.module and found.training_script == "scorefield"
    assert (found.nnodes, found.nproc_per_node, found.rdzv_endpoint, found.rdzv_id) == ("4", "8", "node1:29500", "17")
    assert found.training_script_args[0] == "fit" and "--resume" in found.training_script_args
    code = "import sys; sys.argv = ['scorefield', 'fit', '--help']; from scorefield.__main__ import main; main()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    options = [word for word in found.training_script_args if word.startswith("--")]
    assert options and all(re.search(rf"{option}\b", told) for option in options)
    assert (cluster / "calls").read_text() == "show hostnames a[1-4]\n"


def test_before_its_time_is_over_the_job_goes_back_into_the_queue(cluster: Path) -> None:
    (cluster / "work").touch()
    job = started(cluster)
    try:
        asked(cluster)
        job.send_signal(signal.SIGUSR1)
        job.wait(timeout=20)
    finally:
        (cluster / "work").unlink()
        job.kill()
    assert "requeue 17\n" in (cluster / "calls").read_text()
