# Compiler and linker flags of every target: warnings are errors, and a release is hardened.

add_library(hull_flags INTERFACE)

target_compile_options(hull_flags INTERFACE
    -fPIE -Wall -Wextra -Wshadow -Wconversion -Wpedantic -Werror
    -Wno-missing-field-initializers  # designated initialisers leave members at their defaults
    -fno-semantic-interposition)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 reports these falsely inside inlined standard library code at -O2.
    target_compile_options(hull_flags INTERFACE
        $<$<CONFIG:Release>:-Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow
        -Wno-array-bounds -Wno-stringop-overread>)
else()
    # libstdc++ 12's std::stable_sort uses what it deprecates itself; clang says so at our call.
    target_compile_options(hull_flags INTERFACE -Wno-deprecated-declarations)
endif()
target_compile_definitions(hull_flags INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64 FMT_HEADER_ONLY=1 FMT_STATIC_THOUSANDS_SEPARATOR=',' JSON_NO_IO=1
    HULL_VERSION="${PROJECT_VERSION}")
target_include_directories(hull_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)

# -O2 with sections: what a binary does not use is not in it.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -ffunction-sections -fdata-sections")
target_link_options(hull_flags INTERFACE
    $<$<CONFIG:Release>:-Wl,--gc-sections> -Wl,-z,relro,-z,now,-z,noexecstack)

if(HULL_SANITIZER)
    target_compile_options(hull_flags INTERFACE -fsanitize=${HULL_SANITIZER} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(hull_flags INTERFACE -fsanitize=${HULL_SANITIZER})
else()
    target_compile_options(hull_flags INTERFACE -fstack-protector-strong -fcf-protection
        $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
target_compile_definitions(hull_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(HULL_FUZZ)
    target_compile_options(hull_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
