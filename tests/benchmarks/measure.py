"""What a benchmark measures with: CPU of whole process trees, percentiles, and a description of the machine."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from order_service.cli.stack import tree

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


def cpu_seconds(*roots: int) -> float:
    """CPU time, user and system, of these processes and all their descendants, with those that have ended."""
    used = 0.0
    for pid in {pid for root in roots for pid in tree(root)}:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended; its parent counts it
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += sum(map(int, fields[11:15])) * TICK  # own, and of children waited for
    return used


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` (1 to 99) of a hundred do not exceed, interpolated; NaN without two of them."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else float("nan")


def machine() -> dict[str, str]:
    """What the figures depend on, to print beside them."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    total = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {model}",
        "memory": f"{int(total) / 2**20:.0f} GiB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "fdatasync": f"{fdatasync_seconds() * 1000:.2f} ms",
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
    }


def fdatasync_seconds(times: int = 100) -> float:
    """The median time that the disk under the temporary directory takes to keep 8 KiB."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            file.write(bytes(8192))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
