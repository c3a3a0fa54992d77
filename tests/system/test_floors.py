"""The floors of ARCHITECTURE.md are enforced, by CMake for what is linked and by check_layers for includes."""

import pytest

from harness.programs import SOURCE, run

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(floors LANGUAGES CXX)
add_library(hull_flags INTERFACE)
list(APPEND CMAKE_MODULE_PATH {cmake})
include(HullTargets)
hull_library(NAME base LAYER 0)
{declarations}
"""


@pytest.mark.needs("cmake")
@pytest.mark.parametrize("declarations, complaint", [
    ("hull_library(NAME kernel LAYER 1 USES base)", None),
    ("hull_library(NAME store LAYER 3 USES base)\nhull_library(NAME layer LAYER 3 USES store)", None),
    ("hull_library(NAME engine LAYER 4 USES base)\nhull_library(NAME store LAYER 3 USES engine)",
     "upward edge: store (floor 3) uses engine (floor 4)"),
    ("hull_library(NAME spec LAYER 1 USES base)\nhull_library(NAME kernel LAYER 1 USES spec)",
     "upward edge: kernel (floor 1) uses spec (floor 1)"),
    ("hull_library(NAME kernel LAYER 1 USES spec)", "kernel uses spec, which is not declared before it"),
])
def test_cmake_refuses_an_upward_edge(scratch, declarations, complaint):
    (scratch / "CMakeLists.txt").write_text(PROJECT.format(cmake=SOURCE / "cmake", declarations=declarations))
    done = run("cmake", "-S", scratch, "-B", scratch / "build", "-G", "Ninja", check=False)
    if complaint is None:
        assert done.code == 0, done.err
    else:
        assert done.code != 0
        assert complaint in " ".join(done.err.split())
