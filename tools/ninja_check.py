"""Runs one check for each source file, in parallel, and again only when the file or what it includes
has changed: ninja keeps that account. Used by check_headers and check_tidy."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent


def compile_flags():
    """The flags that the release build compiles the files of src/ with."""
    database = TREE / "build/release/compile_commands.json"
    if not database.exists():
        sys.exit("build/release is not configured: cmake --preset release")
    entries = json.loads(database.read_text())
    entry = next(e for e in entries if e["file"].startswith(str(TREE / "src/")))
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


def write_rules(name, command, files):
    """Writes build/checks/NAME/build.ninja: `command` for each of `files`.
    @param command  a shell line in which $in is the file, $flags its flags and $out.d the dependency file that
                    it writes
    @return  the path of the rules"""
    work = TREE / "build/checks" / name
    work.mkdir(parents=True, exist_ok=True)
    flags = " ".join(shlex.quote(flag) for flag in compile_flags()).replace("$", "$$")
    lines = ["ninja_required_version = 1.10", f"builddir = {work}", f"flags = {flags}", "rule check",
             f"  command = {command} && touch $out", "  depfile = $out.d", "  deps = gcc",
             f"  description = {name} $in"]
    lines += [f"build {stamp(work, file)}: check {file}" for file in files]
    rules = work / "build.ninja"
    rules.write_text("\n".join(lines) + "\n")
    return rules


def stamp(work, file):
    return f"{work}/{str(file).replace('/', '!')}.ok"


def run(rules, command, files):
    """Checks `files` by the rules that write_rules() made. Prints the output of those that fail.
    @return  the exit status: 0 when all are right."""
    targets = [stamp(rules.parent, file) for file in files]
    done = subprocess.run(["ninja", "-C", TREE, "-f", rules, "-k", "0", "--quiet", *targets], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        noise = ("FAILED: ", "ninja: ", "cd ")
        for line in done.stdout.splitlines():
            if not line.startswith(noise) and command.split()[0] not in line.split(" ")[:1]:
                print(line.replace(f"{TREE}/", ""))
        sys.stdout.flush()
    return 1 if done.returncode else 0
