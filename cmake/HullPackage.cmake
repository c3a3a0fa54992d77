# `cmake --install` and the Debian package (./dev package). Programs that people type go to bin, those that hull
# starts to libexec/hull, where it looks for them when they are not beside it.

include(GNUInstallDirs)
foreach(program hull hull-runtime)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endforeach()
foreach(program hull-monitor hull-image)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION libexec/hull)
    endif()
endforeach()
file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.1)
foreach(page IN LISTS pages)
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()

# The shells' completions say what --help says: they are made from it.
find_program(PYTHON NAMES /usr/bin/python3 python3 REQUIRED)
set(completions ${CMAKE_SOURCE_DIR}/build/completions)
add_custom_command(OUTPUT ${completions}/hull.bash
    COMMAND ${PYTHON} ${CMAKE_SOURCE_DIR}/tools/make_completions ${completions}
    DEPENDS hull hull-runtime hull-image ${CMAKE_SOURCE_DIR}/tools/make_completions
            ${CMAKE_SOURCE_DIR}/tools/help_texts.py
    COMMENT "Making the shells' completions" VERBATIM)
add_custom_target(completions ALL DEPENDS ${completions}/hull.bash)
foreach(program hull hull-runtime)
    install(FILES ${completions}/${program}.bash RENAME ${program}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${completions}/${program}.zsh RENAME _${program}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
    install(FILES ${completions}/${program}.fish
            DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hull)
set(CPACK_PACKAGE_CONTACT "The hull developers <hull@localhost>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_SOURCE_DIR}/build)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS uidmap)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "container platform: daemonless, safe by default, close to the kernel's own speed
 hull runs containers from OCI and Docker images as root and as an ordinary user.
 hull-runtime is an OCI runtime with the command line of runc and crun.")
include(CPack)
