"""The `hull` command with its own state, for root or for an ordinary user."""

import json
import os
import shutil
from pathlib import Path

from harness.programs import popen, run
from harness.waiting import wait_until


class Hull:
    """Calling it runs one hull command on its own --root and --runroot:

        hull("run", "--rm", "busybox", "echo", "hello").out == "hello\\n"
        hull("run", "busybox", "sh", "-c", "exit 7", code=7)

    `prefix` goes before the program (a `setpriv` that makes it an ordinary user's).
    """

    def __init__(self, program, root, runroot, prefix=(), env=None):
        self.program = Path(program)
        self.root = Path(root)
        self.runroot = Path(runroot)
        self.prefix = list(prefix)
        self.env = dict(env or {})

    def arguments(self, *args):
        return [*self.prefix, self.program, "--root", self.root, "--runroot", self.runroot, *args]

    def __call__(self, *args, env=None, **how):
        return run(*self.arguments(*args), env={**self.env, **(env or {})}, **how)

    def popen(self, *args, env=None, **how):
        return popen(*self.arguments(*args), env={**self.env, **(env or {})}, **how)

    def inspect(self, name):
        found = json.loads(self("inspect", name).out)
        return found[0] if isinstance(found, list) else found

    def containers(self):
        return self("ps", "-a", "-q", check=False).out.split()

    def wait_for_log(self, name, text):
        """Waits until the container has printed `text`."""
        wait_until(lambda: text in self("logs", name, check=False).out, f"{name} prints {text!r}")

    def close(self):
        """Removes every container and all state."""
        for id in self.containers():
            self("rm", "-f", id, check=False)
        for path in (self.root, self.runroot):
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():  # an ordinary user's layers belong to ids of its own range: root removes them
                run("rm", "-rf", "--one-file-system", path, check=False)


class OrdinaryUser:
    """A user of this machine with subordinate ids, a home and a run directory; removed by close()."""

    def __init__(self, name, work):
        self.name = name
        self.work = Path(work)
        home = self.work / "home"
        run("useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", "--user-group", name)
        entry = run("getent", "passwd", name).out.split(":")
        self.uid, self.gid = int(entry[2]), int(entry[3])
        self.home = home
        self.runtime_directory = self.work / "xdg"
        for path in (home, self.runtime_directory):
            path.mkdir(parents=True)
            os.chown(path, self.uid, self.gid)
            path.chmod(0o700)

    @property
    def environment(self):
        return {"HOME": str(self.home), "USER": self.name, "XDG_RUNTIME_DIR": str(self.runtime_directory),
                "XDG_DATA_HOME": str(self.home / ".local/share")}

    @property
    def prefix(self):
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups", "--inh-caps=-all"]

    def run(self, *args, env=None, **how):
        how.setdefault("cwd", self.home)
        return run(*self.prefix, *args, env={**self.environment, **(env or {})}, **how)

    def popen(self, *args, env=None, **how):
        how.setdefault("cwd", self.home)
        return popen(*self.prefix, *args, env={**self.environment, **(env or {})}, **how)

    def close(self):
        run("userdel", self.name, check=False)
        run("rm", "-rf", "--one-file-system", self.work, check=False)
