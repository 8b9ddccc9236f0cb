# libxsmm as the target weft::xsmm; also installed beside weftConfig.cmake.
#
# Its archives need a BLAS, or libxsmmnoblas *behind* libxsmm on the link line. pkg-config and
# CMake's IMPORTED_TARGET put the two the other way round, so they are found by hand.

find_path(XSMM_INCLUDE libxsmm.h)
find_library(XSMM_LIBRARY xsmm)
find_library(XSMM_NOBLAS_LIBRARY xsmmnoblas)
mark_as_advanced(XSMM_INCLUDE XSMM_LIBRARY XSMM_NOBLAS_LIBRARY)

if(XSMM_INCLUDE AND XSMM_LIBRARY AND XSMM_NOBLAS_LIBRARY)
    set(XSMM_FOUND TRUE)
    if(NOT TARGET weft::xsmm)
        add_library(weft::xsmm INTERFACE IMPORTED)
        target_include_directories(weft::xsmm INTERFACE ${XSMM_INCLUDE})
        target_link_libraries(
            weft::xsmm INTERFACE ${XSMM_LIBRARY} ${XSMM_NOBLAS_LIBRARY} dl m Threads::Threads)
    endif()
else()
    set(XSMM_FOUND FALSE)
endif()
