"""hull-image driven by itself, with its own store."""

import json
import os
import shutil
from pathlib import Path

from harness.programs import popen, run


class ImageTool:
    """Calling it runs one verb of hull-image on its own --root:

        image("pull", name)
        image("pull", "nowhere", code=125).err
    """

    def __init__(self, program, root, runroot, prefix=(), env=None):
        self.program = Path(program)
        self.root = Path(root)
        self.runroot = Path(runroot)
        self.prefix = list(prefix)
        # Settings of the machine that runs the tests shall not count.
        self.env = {"REGISTRY_AUTH_FILE": str(self.runroot) + "-auth.json", **dict(env or {})}

    def arguments(self, *args):
        return [*self.prefix, self.program, "--root", self.root, "--runroot", self.runroot, *args]

    def __call__(self, *args, env=None, **how):
        return run(*self.arguments(*args), env={**self.env, **(env or {})}, **how)

    def popen(self, *args, env=None, **how):
        return popen(*self.arguments(*args), env={**self.env, **(env or {})}, **how)

    def fails(self, *args, **how):
        """The one line that a failing verb prints; nothing may be left of it."""
        done = self(*args, code=125, **how)
        lines = done.err.strip().splitlines()
        errors = [line for line in lines if line.startswith("hull-image: ")]
        assert len(errors) == 1, done
        self.check_nothing_staged()
        return errors[0]

    def result(self, *args, **how):
        """What a verb writes to --result-fd."""
        read, write = os.pipe()
        with os.fdopen(read) as pipe:
            try:
                done = run(*self.arguments("--result-fd", write, *args), env=self.env, pass_fds=(write,), **how)
            finally:
                os.close(write)
            text = pipe.read()
        assert text, done
        return json.loads(text)

    def check_nothing_staged(self):
        left = [str(path.relative_to(self.root)) for name in ("staging", "trash", "leases")
                for path in (self.root / name).glob("*")]
        assert not left, f"left behind: {left}"

    def references(self):
        """The store's lines "DIGEST SIZE SECONDS TYPE NAME"; the file has all of it twice."""
        path = self.root / "references"
        text = path.read_text() if path.exists() else ""
        lines = text[:len(text) // 2].splitlines(keepends=True)
        return "".join(lines[1:-1])

    def layer_trees(self):
        return sorted(self.root.glob("layers/*/*/tree"))

    def blobs(self):
        return {path.name for path in self.root.glob("blobs/*/*")}

    def find(self, name):
        """The unpacked trees that hold `name`."""
        return [tree / name for tree in self.layer_trees() if os.path.lexists(tree / name)]

    def close(self):
        for path in (self.root, self.runroot):
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                run("rm", "-rf", "--one-file-system", path, check=False)


