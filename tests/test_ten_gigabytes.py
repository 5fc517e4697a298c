"""10 GB of records, made on the spot: memory that is bounded, and the throughput of records in memory; minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NBYTES = 10**10
CODE = "import json, sys, pathlib, streaming, torch; torch.set_num_threads(1); path = pathlib.Path(sys.argv[1]); {}"
TRAINED = "print(json.dumps(streaming.trained(path, True, 60, 1024, path.parent / 'run')))"
BESIDE = "print(json.dumps(streaming.side_by_side(path, 105, 512)))"


def told(path: Path, what: str) -> dict[str, Any]:
    """What a process of its own measures, which holds nothing but that."""
    words = [sys.executable, "-c", CODE.format(what), str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=BENCHMARKS, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(what, done.stdout)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="private memory is told by Linux")
def test_ten_gigabytes_in_bounded_memory_at_the_throughput_of_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 1.2 * NBYTES:
        pytest.skip(f"{tmp_path} has less than 12 GB free")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from streaming import make

        path = tmp_path / "rows.npy"
        make(path, "rows", NBYTES)
        assert told(path, TRAINED)["memory"] <= 1.5e9
        assert told(path, BESIDE)["processor ratio"] >= 0.9
    finally:
        sys.path.remove(str(BENCHMARKS))
        (tmp_path / "rows.npy").unlink(missing_ok=True)
