# What the library links to. Included by the build and, if weft is static, by the installed
# weftConfig.cmake: a static library hands its own libraries on to its users.
# Sets WF_MISSING to what was not found, under the names of Debian's packages.

set(WF_MISSING)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

if(WF_XSMM)
    include(${CMAKE_CURRENT_LIST_DIR}/xsmm.cmake)
    if(NOT XSMM_FOUND)
        list(APPEND WF_MISSING libxsmm-dev)
    endif()
endif()

foreach(library hwloc jansson)
    pkg_check_modules(${library} QUIET IMPORTED_TARGET ${library})
    if(NOT ${library}_FOUND)
        list(APPEND WF_MISSING lib${library}-dev)
    endif()
endforeach()
