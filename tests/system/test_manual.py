"""The manual pages say what the programs say: every command and option of --help stands in them."""

import re

import pytest

from harness.programs import SOURCE, run


def commands(text):
    return re.findall(r"^  ([a-z][a-z-]+)(?: …)? {2,}\S", text, re.M)


@pytest.mark.parametrize("program", ["hull", "hull-runtime", "hull-image"])
def test_every_option_of_help_is_in_the_manual(binaries, program):
    page = (SOURCE / f"docs/man/{program}.1").read_text().replace("\\-", "-")
    top = run(binaries.directory / program, "--help").out
    texts = {"": top}
    for command in commands(top.split("Options:")[0]):
        done = run(binaries.directory / program, command, "--help", check=False)
        if done.code == 0:
            texts[command] = done.out
    assert len(texts) > 3
    missing = [f"{command} {option}" for command, text in texts.items()
               for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text) if option not in page]
    assert not missing, f"run tools/make_man {program}: {missing}"
