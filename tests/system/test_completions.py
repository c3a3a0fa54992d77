"""The shells complete what the programs take: real shells are asked, with a real container and image."""

import shlex

import pytest

from harness.programs import SOURCE, run

COMPLETIONS = SOURCE / "build/completions"


@pytest.fixture
def world(hull, busybox_tar, scratch):
    """A container and an image, and a PATH whose `hull` looks at just them."""
    with open(busybox_tar, "rb") as tar:
        hull("import", "-", "busybox", stdin=tar)
    hull("create", "--name", "moored", "busybox", "true")
    wrapper = scratch / "bin/hull"
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\nexec " + shlex.join(str(a) for a in hull.arguments()) + ' "$@"\n')
    wrapper.chmod(0o755)
    return {"PATH": f"{wrapper.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def bash(world, line, program="hull"):
    words = line.split(" ")
    script = f"""source {COMPLETIONS}/{program}.bash
        COMP_WORDS=({' '.join(shlex.quote(w) for w in words)}) COMP_CWORD={len(words) - 1}
        _{program.replace('-', '_')}; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return run("bash", "--norc", "-c", script, env=world).out.split()


def fish(world, line, program="hull"):
    script = f"source {COMPLETIONS}/{program}.fish; complete -C {shlex.quote(line)}"
    return [found.split("\t")[0] for found in run("fish", "--no-config", "-c", script, env=world).out.splitlines()]


def zsh(world, line, program="hull"):
    """zsh completes only at a terminal: compadd and its like are replaced by what prints."""
    words = line.split(" ")
    script = f"""
        compadd() {{ while [[ $1 != -a ]]; do shift; done; print -l -- "${{(@P)2}}" }}
        _describe() {{ print -l -- "${{(@P)2}}" | cut -d: -f1 }}
        _arguments() {{
            local one; for one in "$@"; do
                [[ $one == '*:'*'{program.replace('-', '_')}_list'* ]] && eval "${{one##*:}}"
                one=${{one#\\(*\\)}}
                [[ $one == --* ]] && print -r -- "${{one%%\\[*}}"
            done; true
        }}
        words=({' '.join(shlex.quote(w) for w in words)}) CURRENT={len(words)}
        source {COMPLETIONS}/{program}.zsh"""
    return run("zsh", "-f", "-c", script, env=world).out.split()


@pytest.mark.parametrize("shell", [bash, fish, zsh])
def test_commands_options_and_names_are_completed(shell, world):
    assert "run" in shell(world, "hull ") and "volume" in shell(world, "hull ")
    assert "moored" in shell(world, "hull rm ")
    assert "moored" in shell(world, "hull --root /tmp stop ")
    assert any("busybox" in name for name in shell(world, "hull run --rm "))
    assert "--read-only" in shell(world, "hull run --") and "--read-only" not in shell(world, "hull ps --")
    assert {"push", "copy", "manifest"} <= set(shell(world, "hull image "))
    assert "annotate" in shell(world, "hull image manifest ")
    assert "--bundle" in shell({}, "hull-runtime create --", "hull-runtime")


@pytest.mark.parametrize("shell", [bash, fish])
def test_the_choices_of_an_option_are_completed(shell, world):
    assert set(shell(world, "hull run --network ")) == {"none", "host"}
    assert "json" in shell(world, "hull ps --format ")
