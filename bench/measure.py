"""Timing one process at a time, and what the figures come to."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
BUILT = SOURCE / "build/release/bench"
BIN = SOURCE / "build/bin"
IDLE_GAP = 0.25  # seconds: without a pause the kernel's slow joining of cgroups does not show


class BenchError(Exception):
    """A measurement that could not be made. It is reported, and fails the whole run."""


@dataclass
class Sample:
    milliseconds: float
    peak_kib: int
    cpu_milliseconds: float


def timed(command, prefix=(), env=None, idle=IDLE_GAP):
    """Waits `idle` seconds, then runs `command` (stdio on /dev/null, its stderr kept for the report) under
    the stopwatch. `prefix` stands before the stopwatch and is not measured.
    @raises BenchError  when the command fails: what failed is not a figure."""
    time.sleep(idle)
    with tempfile.NamedTemporaryFile(prefix="hull-bench-") as result, tempfile.TemporaryFile() as errors:
        argv = [str(a) for a in (*prefix, BUILT / "stopwatch", result.name, *command)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=env)
        fields = Path(result.name).read_text().split()
        if done.returncode != 0 or len(fields) != 5 or fields[4] != "0":
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-600:]
            raise BenchError(f"{' '.join(map(str, command))}: exit {fields[4] if len(fields) == 5 else '?'}: {said}")
        return Sample(int(fields[0]) / 1e6, int(fields[1]), (int(fields[2]) + int(fields[3])) / 1e3)


def interleaved(subjects, rounds):
    """Runs every subject once in each round, so that what disturbs the machine disturbs all alike.
    @param subjects  {name: function that makes one Sample}
    @return  {name: [Sample]}"""
    samples = {name: [] for name in subjects}
    for function in subjects.values():
        function()  # once for the page cache and the compiled filter, not counted
    for _ in range(rounds):
        for name, function in subjects.items():
            samples[name].append(function())
    return samples


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Report:
    """Tables on stdout, and everything as JSON in build/bench/NAME.json."""

    def __init__(self, name):
        self.name = name
        self.data = {}

    def table(self, title, samples, base):
        """One line for each subject: median, tenths, ratio to `base`, CPU time, peak memory."""
        if base not in samples:
            raise BenchError(f"{title}: {base} was not measured")
        reference = statistics.median(s.milliseconds for s in samples[base])
        print(f"\n{title} ({len(samples[base])} rounds, gaps of {IDLE_GAP} s; ratio to {base})")
        print(f"  {'':<22}{'median ms':>10}{'p10':>9}{'p90':>9}{'ratio':>8}{'cpu ms':>9}{'peak KiB':>10}")
        rows = {}
        for subject, of in samples.items():
            times = [s.milliseconds for s in of]
            row = {"median_ms": statistics.median(times), "p10_ms": quantile(times, 0.1),
                   "p90_ms": quantile(times, 0.9), "cpu_ms": statistics.median(s.cpu_milliseconds for s in of),
                   "peak_kib": max(s.peak_kib for s in of)}
            row["ratio"] = row["median_ms"] / reference
            rows[subject] = row
            print(f"  {subject:<22}{row['median_ms']:>10.2f}{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}"
                  f"{row['ratio']:>8.2f}{row['cpu_ms']:>9.2f}{row['peak_kib']:>10}")
        sys.stdout.flush()
        self.data[title] = rows

    def note(self, title, value):
        print(f"  {title}: {value}")
        self.data[title] = value

    def save(self):
        directory = SOURCE / "build/bench"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.name}.json").write_text(json.dumps(self.data, indent=2) + "\n")
