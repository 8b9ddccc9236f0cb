# Headers, library, the CMake package and weft.pc; not the archives that the command is made of (it
# is installed where it is built, in CMakeLists.txt).

include(CMakePackageConfigHelpers)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

install(TARGETS weft EXPORT weftTargets)
install(DIRECTORY include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION ${package})

configure_package_config_file(cmake/weftConfig.cmake.in weftConfig.cmake
    INSTALL_DESTINATION ${package})
write_basic_package_version_file(weftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weftConfig.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/weftConfigVersion.cmake cmake/dependencies.cmake cmake/xsmm.cmake
    DESTINATION ${package})

# A static weft needs its libraries named in Libs, where plain `pkg-config --libs` sees them.
# They stand there by name, not as Requires: hwloc's own private list names libudev, which a
# machine with hwloc need not have for development.
set(libraries "-lhwloc -ljansson -ldl -lm -lpthread")
if(WF_XSMM)
    string(PREPEND libraries "-lxsmm -lxsmmnoblas ")
endif()
if(BUILD_SHARED_LIBS)
    set(WF_PC_LIBS)
    set(WF_PC_LIBS_PRIVATE ${libraries})
else()
    set(WF_PC_LIBS ${libraries})
    set(WF_PC_LIBS_PRIVATE)
endif()
# Paths relative to weft.pc, so that an installed tree may be moved.
set(WF_PC_LIBDIR "\${pcfiledir}/..")
file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/${CMAKE_INSTALL_INCLUDEDIR}")
set(WF_PC_INCLUDEDIR "\${pcfiledir}/${up}")
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
