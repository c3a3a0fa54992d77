"""What the programs say of themselves: their --help texts, taken apart. make_man and make_completions read
them, so that manual, completion and program say the same."""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent


def help_of(program, *words):
    done = subprocess.run([TREE / "build/bin" / program, *words, "--help"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(words)} --help: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def commands(text):
    """The commands that a help text lists, in whatever groups: indented lines of a name and what it does."""
    return [name for name, _ in described_commands(text)]


def described_commands(text):
    """(name, what it does); a name may be two words ("manifest create"), what it does may be empty."""
    found, inside = [], False
    for line in text.splitlines():
        if line and not line[0].isspace():
            inside = not re.match(r"^(options|examples|usage|first|a first)", line, re.I)
        elif inside and (match := re.match(r"^  ([a-z][a-z-]*(?: [a-z][a-z-]*)?)(?: …)?(?: {2,}(\S.*)|$)", line)):
            found.append((match[1], match[2] or ""))
        elif inside and (match := re.match(r"^  ([a-z]+) ([a-z]+(?: \| [a-z]+)+)$", line)):  # volume ls | create
            found += [(f"{match[1]} {verb}", "") for verb in match[2].split(" | ")]
    return found


@dataclass
class Option:
    names: list  # ["-f", "--format"]
    value: str   # "FORMAT"; empty for a flag
    help: str


@dataclass
class Command:
    words: tuple  # ("image", "push")
    summary: str
    takes: list = field(default_factory=list)  # ["CONTAINER…"], from its usage line
    options: list = field(default_factory=list)


def options(text):
    found = []
    for line in text.splitlines():
        match = re.match(r"^ {2,6}((?:-\w, ?)?--?[a-z][a-z-]*)(?: ([^ ].*?))?(?: {2,}(.*))?$", line)
        if match:
            found.append(Option(re.split(r", ?", match[1]), (match[2] or "").removesuffix(" ..."), match[3] or ""))
    return found


def takes(text, words):
    """The words of the usage line after the command itself and [OPTIONS]."""
    usage = re.search(r"^usage: (.*)$", text, re.I | re.M)
    if not usage:
        return []
    rest = re.sub(r"^.*?\b" + re.escape(words[-1]) + r"\b", "", usage[1], count=1)
    return [word for word in rest.split() if not re.match(r"^\[OPTION", word)]


def every_command(program, group=()):
    """All commands of a program, those of groups ("hull image …") included."""
    top = help_of(program, *group)
    found = []
    for name, summary in described_commands(top):
        words = (*group, *name.split())
        if f"  {name} …" in top:
            found += every_command(program, words)
            continue
        text = help_of(program, *words)
        found.append(Command(words, summary, takes(text, words), options(text)))
    return found
