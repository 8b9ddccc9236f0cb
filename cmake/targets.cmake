# How our targets are made. All of these functions give warnings, sanitizers and coverage to our own
# targets only, never to a project that embeds us.

include(GNUInstallDirs)

set(WF_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla)
set(WF_INCLUDES ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR})
set(WF_LIBRARIES PkgConfig::hwloc PkgConfig::jansson Threads::Threads m)
if(WF_XSMM)
    list(PREPEND WF_LIBRARIES weft::xsmm)
endif()

# Vector levels: ops/vec.c and ops/level_*.c are compiled once for each, and one is picked at run
# time, so that a binary is good for every x86-64; for other processors there is the base. Only these
# files contract a*b + c: elsewhere the bits must not depend on what the compiler makes of an
# expression.
set(WF_LEVELS base)
set(WF_LEVEL_FLAGS_base -DWF_LEVEL_BASE -ffp-contract=fast)
if(WF_X86_64)
    list(APPEND WF_LEVELS avx2 avx512)
    set(WF_LEVEL_FLAGS_avx2 -DWF_LEVEL_AVX2 -mavx2 -mfma -ffp-contract=fast)
    set(WF_LEVEL_FLAGS_avx512 -DWF_LEVEL_AVX512 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma
        -mprefer-vector-width=512 -ffp-contract=fast)
endif()

# wf_sources(out folders...): all C files of the folders.
function(wf_sources out)
    list(TRANSFORM ARGN APPEND /*.c)
    file(GLOB files CONFIGURE_DEPENDS ${ARGN})
    set(${out} ${files} PARENT_SCOPE)
endfunction()

function(wf_flags target)
    target_compile_options(${target} PRIVATE ${WF_WARNINGS} -ffp-contract=off)
    if(WF_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    set(instrument)
    if(WF_SANITIZE)
        set(instrument -fsanitize=${WF_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    endif()
    if(WF_COVERAGE)
        list(APPEND instrument --coverage)
    endif()
    target_compile_options(${target} PRIVATE ${instrument})
    target_link_options(${target} PRIVATE ${instrument})
endfunction()

# wf_objects(target SOURCES ... [FLAGS ...]): a part of the library.
function(wf_objects target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;FLAGS")
    add_library(${target} OBJECT ${arg_SOURCES})
    wf_flags(${target})
    target_include_directories(${target} PRIVATE ${WF_INCLUDES})
    target_link_libraries(${target} PRIVATE ${WF_LIBRARIES})
    target_compile_options(${target} PRIVATE ${arg_FLAGS})
endfunction()

# wf_library(target [STATIC] objects...): the library from its parts.
function(wf_library target)
    add_library(${target} ${ARGN})
    wf_flags(${target})
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PRIVATE ${WF_LIBRARIES})
endfunction()

# wf_archive(target SOURCES ... LIBRARIES ...): code that programs share, never installed.
function(wf_archive target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
    if(NOT arg_SOURCES)
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE ${arg_LIBRARIES})
        return()
    endif()
    add_library(${target} STATIC ${arg_SOURCES})
    wf_flags(${target})
    target_include_directories(${target} PUBLIC ${WF_INCLUDES})
    target_link_libraries(${target} PUBLIC ${arg_LIBRARIES})
endfunction()

# wf_program(target folder SOURCES ... LIBRARIES ...): an executable in that folder of the build.
function(wf_program target folder)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SOURCES;LIBRARIES")
    add_executable(${target} ${arg_SOURCES})
    wf_flags(${target})
    target_link_libraries(${target} PRIVATE ${arg_LIBRARIES})
    target_compile_definitions(${target} PRIVATE WF_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
endfunction()

# wf_test(name COMMAND ... [LABELS ...]): a leak does not change Criterion's exit code, so the
# sanitizers' text is looked for.
function(wf_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "COMMAND;LABELS")
    add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 180 LABELS "${arg_LABELS}"
        FAIL_REGULAR_EXPRESSION "Sanitizer: " ENVIRONMENT "${WF_TEST_ENVIRONMENT}")
endfunction()
