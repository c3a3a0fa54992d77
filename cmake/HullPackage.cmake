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
