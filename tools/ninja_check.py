"""Runs one check for each source file, in parallel, and again only when the file or what it includes
has changed: ninja keeps that account. Used by check_headers and check_tidy."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent


def compile_flags(file=None):
    """The flags that the release build compiles `file` (or any file of src/) with."""
    database = TREE / "build/release/compile_commands.json"
    if not database.exists():
        sys.exit("build/release is not configured: cmake --preset release")
    entries = json.loads(database.read_text())
    wanted = str(TREE / file) if file else str(TREE / "src/")
    entry = next((e for e in entries if e["file"].startswith(wanted)), entries[0])
    words = shlex.split(entry["command"])
    flags, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-c", "-MF", "-MT", "-MQ"):
            skip = True
        elif word.startswith(("-I", "-D", "-U", "-std", "-f", "-W", "-isystem")):
            flags.append(word)
    return flags


def run(name, command, files, variables=None):
    """Checks `files` with `command`, a shell line in which $in is the file, $flags its flags and $out.d
    the dependency file that it writes. Prints the output of those that fail.
    @return  the exit status: 0 when all are right."""
    work = TREE / "build/checks" / name
    work.mkdir(parents=True, exist_ok=True)
    lines = ["ninja_required_version = 1.10", "rule check", f"  command = {command} && touch $out",
             "  depfile = $out.d", "  deps = gcc", f"  description = {name} $in"]
    for file in files:
        flags = " ".join(shlex.quote(f) for f in (variables or {}).get(file, compile_flags())).replace("$", "$$")
        lines += [f"build {work}/{str(file).replace('/', '!')}.ok: check {file}", f"  flags = {flags}"]
    build = work / "build.ninja"
    build.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["ninja", "-C", TREE, "-f", build, "-k", "0", "--quiet"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        noise = ("FAILED: ", "ninja: ", "cd ")
        for line in done.stdout.splitlines():
            if not line.startswith(noise) and command.split()[0] not in line.split(" ")[:1]:
                print(line.replace(f"{TREE}/", ""))
    return 1 if done.returncode else 0
