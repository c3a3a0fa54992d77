"""Running programs: hull's own and the peers', with output, exit code and a readable failure."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
CACHE = SOURCE / "build" / "test-cache"


@dataclass
class Output:
    args: list
    code: int
    out: str
    err: str

    def __str__(self):
        return f"{' '.join(map(str, self.args))}\nexit {self.code}\n-- stdout\n{self.out}\n-- stderr\n{self.err}"


def run(*args, check=True, code=None, input=None, timeout=120, env=None, text=True, **more):
    """Runs a program to its end.

    `code` is the exit code that is expected (check=True alone means 0; check=False takes any).
    `input` is text (or bytes with text=False) for stdin, which is empty otherwise; `env` adds variables.
    Further keywords go to subprocess.run.
    """
    full_env = {**os.environ, **env} if env else None
    args = [str(a) for a in args]
    if input is None:
        more.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(args, input=input, capture_output=True, timeout=timeout, env=full_env, text=text,
                          errors="replace" if text else None, **more)
    result = Output(args, done.returncode, done.stdout, done.stderr)
    wanted = 0 if code is None else code
    if (check or code is not None) and done.returncode != wanted:
        raise AssertionError(f"expected exit {wanted}\n{result}")
    return result


def popen(*args, env=None, **more):
    """Starts a program with pipes for stdin, stdout and stderr; the caller waits for it."""
    full_env = {**os.environ, **env} if env else None
    for stream in ("stdin", "stdout", "stderr"):
        more.setdefault(stream, subprocess.PIPE)
    more.setdefault("text", True)
    return subprocess.Popen([str(a) for a in args], env=full_env, **more)


class Binaries:
    """Paths of the release binaries (build/bin, or $HULL_BIN_DIR)."""

    def __init__(self, directory=None):
        self.directory = Path(directory or os.environ.get("HULL_BIN_DIR") or SOURCE / "build" / "bin")
        self.hull = self.directory / "hull"
        self.runtime = self.directory / "hull-runtime"
        self.monitor = self.directory / "hull-monitor"
        self.image = self.directory / "hull-image"

    def need(self, *names):
        for name in names:
            path = getattr(self, name)
            assert path.exists(), f"{path} is not built: run ./dev build"

    def copied_to(self, directory):
        """A copy that any user may run, whatever the rights of the source tree's parents are."""
        directory.mkdir(parents=True, exist_ok=True)
        for path in self.directory.iterdir():
            if path.is_file():
                shutil.copy2(path, directory / path.name)
        return Binaries(directory)
