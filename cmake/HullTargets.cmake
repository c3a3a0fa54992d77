# The ways to declare a target.
#
#   hull_library(NAME kernel LAYER 1 USES base [LINK_PRIVATE seccomp] [SMALL])
#       src/kernel/*.cpp as the static library hull_kernel. SMALL optimises for size: the kernel maps a
#       program's text in large pieces, so the text of the static programs is most of their memory. LAYER is its floor; every room in USES
#       must lie on a lower floor, or be one of the arrows allowed inside floor 3.
#   hull_binary(NAME hull-runtime SOURCE hull_runtime.cpp USES runtime [STATIC])
#       one program; STATIC makes it static-pie.
#   hull_unit_test(ROOM kernel)
#       tests/unit/kernel/*.cpp as the test program unit_kernel; nothing if there are none.
#   hull_pytest(system tests/system/test_run.py)
#       the test system.run: a file of pytest tests that drive the built programs as root. Only one
#       of them runs at a time, because each counts the host's mounts, cgroups and processes; those
#       of the kind vm, which have a guest each, run side by side.
#   hull_fuzz_target(tests/fuzz/spec/fuzz_digest.cpp)
#       the libFuzzer program fuzz_digest, linked with the room its folder names.
#   hull_fuzz_replay(tests/fuzz/spec/fuzz_digest.cpp …)
#       the program fuzz_replay, which gives each target the files of its corpus, and its test.

# Less to read and to relocate at every start: relative relocations as a bitmap of 2 KB, not a table of 65
# (DT_RELR; glibc 2.36), and no demangler for the last words of an exception that nobody caught.
include(CheckLinkerFlag)
check_linker_flag(CXX -Wl,-z,pack-relative-relocs HULL_LINKER_PACKS_RELOCATIONS)
set(HULL_STATIC_OPTIONS -Wl,--defsym=_ZN9__gnu_cxx27__verbose_terminate_handlerEv=abort)
if(HULL_LINKER_PACKS_RELOCATIONS)
    list(APPEND HULL_STATIC_OPTIONS -Wl,-z,pack-relative-relocs)
endif()

# Arrows inside floor 3 (ARCHITECTURE.md, Floors).
set(HULL_SIDEWAYS_EDGES layer:store registry:store registry:layer build:store build:layer)

function(hull_library)
    cmake_parse_arguments(ARG "SMALL" "NAME;LAYER" "USES;LINK_PRIVATE" ${ARGN})
    set(target hull_${ARG_NAME})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${ARG_NAME}/*.cpp)
    if(sources)
        add_library(${target} STATIC ${sources})
        set(access PUBLIC)
    else()
        add_library(${target} INTERFACE)  # a room of headers only
        set(access INTERFACE)
    endif()
    set_target_properties(${target} PROPERTIES HULL_LAYER ${ARG_LAYER})
    target_link_libraries(${target} ${access} hull_flags)
    foreach(used IN LISTS ARG_USES)
        if(NOT TARGET hull_${used})
            message(FATAL_ERROR "${ARG_NAME} uses ${used}, which is not declared before it")
        endif()
        get_target_property(used_layer hull_${used} HULL_LAYER)
        if(used_layer GREATER_EQUAL ARG_LAYER AND NOT "${ARG_NAME}:${used}" IN_LIST HULL_SIDEWAYS_EDGES)
            message(FATAL_ERROR "upward edge: ${ARG_NAME} (floor ${ARG_LAYER}) uses ${used} "
                "(floor ${used_layer}); a room may use only lower floors")
        endif()
        target_link_libraries(${target} ${access} hull_${used})
    endforeach()
    if(sources AND ARG_SMALL)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Os>)
    endif()
    if(sources)
        target_link_libraries(${target} PRIVATE ${ARG_LINK_PRIVATE})
    endif()
endfunction()

function(hull_binary)
    cmake_parse_arguments(ARG "STATIC" "NAME;SOURCE" "USES;LINK_PRIVATE" ${ARGN})
    add_executable(${ARG_NAME} ${CMAKE_SOURCE_DIR}/src/bin/${ARG_SOURCE})
    set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${HULL_BIN_DIR})
    foreach(used IN LISTS ARG_USES)
        target_link_libraries(${ARG_NAME} PRIVATE hull_${used})
    endforeach()
    target_link_libraries(${ARG_NAME} PRIVATE hull_flags ${ARG_LINK_PRIVATE})
    if(HULL_SANITIZER)
        target_link_options(${ARG_NAME} PRIVATE -pie)
    elseif(ARG_STATIC)
        target_link_options(${ARG_NAME} PRIVATE -static-pie ${HULL_STATIC_OPTIONS})
    else()
        target_link_options(${ARG_NAME} PRIVATE -pie -static-libstdc++ -static-libgcc)
    endif()
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
        target_link_options(${ARG_NAME} PRIVATE -s)
    endif()
endfunction()

function(hull_unit_test)
    cmake_parse_arguments(ARG "" "ROOM" "" ${ARGN})
    set(target unit_${ARG_ROOM})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${ARG_ROOM}/*.cpp)
    if(NOT sources)
        return()
    endif()
    add_executable(${target} ${sources})
    target_link_libraries(${target} PRIVATE unit_main hull_${ARG_ROOM} hull_flags)
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit)
    target_compile_definitions(${target} PRIVATE
        HULL_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/unit/${ARG_ROOM}")
    target_link_options(${target} PRIVATE -pie)
    add_dependencies(unit_tests ${target})
    if(HULL_SANITIZER)
        set(kind asan)  # so that one ctest run can hold both, see tests/CMakeLists.txt
    else()
        set(kind unit)
    endif()
    add_test(NAME ${kind}.${ARG_ROOM} COMMAND ${target})
    set_tests_properties(${kind}.${ARG_ROOM} PROPERTIES LABELS ${kind} TIMEOUT 300)
endfunction()

function(hull_pytest kind file)
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_test(NAME ${kind}.${name}
             COMMAND /usr/bin/python3 -B -m pytest -c ${CMAKE_SOURCE_DIR}/tests/pytest.ini ${file})
    set_tests_properties(${kind}.${name} PROPERTIES LABELS ${kind} TIMEOUT 1200
        SKIP_REGULAR_EXPRESSION "\n=+ [0-9]+ skipped[^,]* in ")
    if(NOT kind STREQUAL "vm")
        set_tests_properties(${kind}.${name} PROPERTIES RESOURCE_LOCK host)
    endif()
endfunction()

function(hull_fuzz_target source)
    get_filename_component(target ${source} NAME_WE)
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(room ${folder} NAME)
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE hull_${room} hull_flags)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer -pie)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    add_dependencies(fuzz_targets ${target})
endfunction()

function(hull_fuzz_replay)
    set(table "")
    add_executable(fuzz_replay ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/replay.cpp ${ARGN})
    foreach(source IN LISTS ARGN)
        get_filename_component(target ${source} NAME_WE)
        get_filename_component(folder ${source} DIRECTORY)
        get_filename_component(room ${folder} NAME)
        string(REGEX REPLACE "^fuzz_" "" name ${target})
        string(APPEND table "FUZZ_TARGET(${name})\n")
        # Each defines the one function that libFuzzer calls: here they need names of their own.
        set_source_files_properties(${source} PROPERTIES
            COMPILE_DEFINITIONS LLVMFuzzerTestOneInput=${target})
        target_link_libraries(fuzz_replay PRIVATE hull_${room})
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/fuzz/fuzz_targets.inc CONTENT "${table}")
    target_include_directories(fuzz_replay PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/fuzz)
    target_compile_definitions(fuzz_replay PRIVATE
        HULL_FUZZ_CORPUS="${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus")
    target_link_libraries(fuzz_replay PRIVATE hull_flags)
    target_link_options(fuzz_replay PRIVATE -pie)
    add_dependencies(unit_tests fuzz_replay)
    if(HULL_SANITIZER)
        set(kind asan)
    else()
        set(kind unit)
    endif()
    add_test(NAME ${kind}.fuzz_corpus COMMAND fuzz_replay)
    set_tests_properties(${kind}.fuzz_corpus PROPERTIES LABELS ${kind} TIMEOUT 300)
endfunction()
