"""A slice of `make fuzz`: no damaged file or text gets past a reader with anything but a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz.py")
INPUTS = 1000  # about 12 s where the machine has nothing else to do


def test_damaged_files_and_texts_end_in_a_sentence() -> None:
    done = subprocess.run([sys.executable, str(FUZZ), "--inputs", str(INPUTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^(\S.*?)\s+([\d,]+) inputs\s+0 faults", done.stdout, re.MULTILINE)
    assert len(counts) > 16 and all(int(count.replace(",", "")) >= 10 for _, count in counts)
