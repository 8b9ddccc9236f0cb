# One program and one CTest entry for each tests/test_*.c; race.c stands alone, because Criterion
# does not start under ThreadSanitizer. Further files of tests/ are what the tests share.

# Programs in an emulator, which starts those that they start. The option -E of qemu sets variables
# of the program alone: libraries for another processor are nothing for the emulator.
add_library(emulated MODULE tests/emulated/exec.c)
wf_flags(emulated)
if(CMAKE_CROSSCOMPILING_EMULATOR)
    list(APPEND CMAKE_CROSSCOMPILING_EMULATOR
        -E LD_PRELOAD=${PROJECT_BINARY_DIR}/${CMAKE_SHARED_MODULE_PREFIX}emulated.so)
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
    set(WF_TEST_ENVIRONMENT WF_EMULATOR=${emulator})
endif()

wf_program(race tests SOURCES tests/race.c LIBRARIES weft_inside)
target_include_directories(race PRIVATE ${WF_INCLUDES})
wf_test(race COMMAND race LABELS race)
if(WF_SANITIZE MATCHES thread)
    return()
endif()

pkg_check_modules(criterion REQUIRED QUIET IMPORTED_TARGET criterion)
add_library(test_start OBJECT tests/start.c)
wf_flags(test_start)
target_include_directories(test_start PRIVATE ${WF_INCLUDES})
file(GLOB sources CONFIGURE_DEPENDS tests/test_*.c)
foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    wf_program(${name} tests SOURCES ${source} $<TARGET_OBJECTS:test_start>
        LIBRARIES weft_cases weft_models PkgConfig::criterion)
    wf_test(${name} COMMAND ${name} LABELS unit)
endforeach()
# It poisons the vector layer.
target_link_options(test_reference PRIVATE -Wl,--wrap=wf_vec_get -Wl,--wrap=wf_gemm_get)

# The public headers, each alone, as C11 and as C++11.
foreach(header weft op train inspect)
    foreach(language c c++)
        wf_test(header_${header}_${language} LABELS house
            COMMAND ${CMAKE_C_COMPILER} -x ${language} -std=${language}11 -Wall -Wextra -Wpedantic
                    -Werror -fsyntax-only -I${PROJECT_SOURCE_DIR}/include
                    -DWF_HEADER=<weft/${header}.h> ${PROJECT_SOURCE_DIR}/tests/headers.c)
    endforeach()
endforeach()

wf_program(wf_docs docs SOURCES docs/wf_docs.c LIBRARIES weft_inside)
target_include_directories(wf_docs PRIVATE ${WF_INCLUDES})
wf_test(docs LABELS house COMMAND bash ${PROJECT_SOURCE_DIR}/tests/docs.sh $<TARGET_FILE:wf_docs>)

foreach(script layers size)
    wf_test(${script} LABELS house COMMAND bash ${PROJECT_SOURCE_DIR}/tests/${script}.sh)
endforeach()
if(WF_X86_64)
    wf_test(start LABELS house
        COMMAND bash ${PROJECT_SOURCE_DIR}/tests/start.sh $<TARGET_FILE:test_plan>)
    wf_test(isa LABELS house
        COMMAND bash ${PROJECT_SOURCE_DIR}/tests/isa.sh ${PROJECT_BINARY_DIR})
endif()
