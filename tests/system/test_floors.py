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


LISTS = """hull_library(NAME base LAYER 0)
hull_library(NAME kernel LAYER 1 USES base)
hull_library(NAME engine LAYER 4 USES kernel base)
hull_binary(NAME hull SOURCE hull.cpp USES engine)
"""


@pytest.mark.parametrize("file, line, complaint", [
    ("engine/engine.cpp", '#include "kernel/mount.hpp"', None),
    ("bin/hull.cpp", '#include "kernel/mount.hpp"', None),
    ("engine/database.cpp", "#include <SQLiteCpp/SQLiteCpp.h>", None),
    ("kernel/mount.hpp", '#include "engine/engine.hpp"', 'kernel may not include "engine/engine.hpp"'),
    ("base/fd.cpp", '#include "kernel/mount.hpp"', 'base may not include "kernel/mount.hpp"'),
    ("engine/engine.cpp", "#include <SQLiteCpp/SQLiteCpp.h>", "only engine/database.cpp may include it"),
    ("engine/engine.hpp", "#include <nlohmann/json.hpp>", "<nlohmann/json.hpp> is fenced"),
    ("engine/engine.hpp", '#include "base/json_io.hpp"', "include it in a .cpp file"),
    ("network/bridge.cpp", '#include "base/fd.hpp"', "room network is not declared"),
    ("engine/engine.cpp", '#include "engine.hpp"', "has no room"),
])
def test_check_layers_judges_one_include(scratch, file, line, complaint):
    path = scratch / "src" / file
    path.parent.mkdir(parents=True)
    (scratch / "src/CMakeLists.txt").write_text(LISTS)
    path.write_text(f"#pragma once\n\n{line}\n")
    done = run(SOURCE / "tools/check_layers", scratch, check=False)
    if complaint is None:
        assert done.code == 0, done.out
    else:
        assert done.code == 1
        assert done.out.startswith(f"src/{file}:3: ")
        assert complaint in done.out
