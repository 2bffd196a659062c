cmake_minimum_required(VERSION 3.25)
# Installs into a folder of its own (with a space in its name), moves it, and builds the example against it:
# with find_package, shared and static, and with pkg-config. Each program must run and say how it is used.
# BUILD, EXAMPLES, COMPILER, GENERATOR, LIBDIR: from the command line.
set(work "${BUILD}/package test")
set(prefix "${work}/moved prefix")
file(REMOVE_RECURSE "${work}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${result}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# The program without arguments prints its usage and ends with 2.
function(expect_usage program)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${prefix}/${LIBDIR}" "${program}"
                  RESULT_VARIABLE result ERROR_VARIABLE output)
  if(NOT result EQUAL 2 OR NOT output MATCHES "usage: .* MODEL PICTURE QUESTION")
    message(FATAL_ERROR "${program} ended with ${result}:\n${output}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${work}/first")
file(RENAME "${work}/first" "${prefix}")
foreach(file IN ITEMS man/man1/tenebra.1 man/man1/tenebra-run.1 man/man1/tenebra-eval-table.1
        bash-completion/completions/tenebra zsh/site-functions/_tenebra fish/vendor_completions.d/tenebra.fish)
  file(SIZE "${prefix}/share/${file}" size)
  if(size LESS 500)
    message(FATAL_ERROR "share/${file} has ${size} bytes")
  endif()
endforeach()

# Asked as `tenebra run` asks, the example answers as that does, and right.
function(expect_answer program)
  set(asked "Follow four arrows from the orange square. Which colour is there?")
  set(choices red grey blue cyan)
  list(TRANSFORM choices PREPEND "--choice=" OUTPUT_VARIABLE options)
  run("${prefix}/bin/tenebra" run --image "${EXAMPLES}/../docs/hops.png" -p "${asked}" ${options})
  string(REGEX REPLACE "note [^\n]*\n" "" answer "${output}")
  string(STRIP "${answer}" answer)
  if(NOT answer STREQUAL "blue")
    message(FATAL_ERROR "tenebra run answers '${answer}'")
  endif()
  run(${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${prefix}/${LIBDIR}" "${program}" "${prefix}/share/tenebra/models/default"
      "${EXAMPLES}/../docs/hops.png" "${asked}" ${choices})
  if(NOT output MATCHES "latent step 6[^\n]*\n *blue\n.*6 latent passes")
    message(FATAL_ERROR "${program} printed:\n${output}")
  endif()
endfunction()

foreach(static IN ITEMS OFF ON)
  run(${CMAKE_COMMAND} -S "${EXAMPLES}" -B "${work}/build-${static}" -G ${GENERATOR}
      "-DCMAKE_PREFIX_PATH=${prefix}" -DCMAKE_C_COMPILER=${COMPILER} -DTENEBRA_STATIC=${static})
  run(${CMAKE_COMMAND} --build "${work}/build-${static}")
  expect_usage("${work}/build-${static}/ask")
  expect_answer("${work}/build-${static}/ask")
endforeach()

# pkg-config, shared; then static, from a copy without the shared library.
set(ENV{PKG_CONFIG_PATH} "${prefix}/${LIBDIR}/pkgconfig")
function(build_by_pkg_config name)
  run(pkg-config --cflags --libs ${ARGN} tenebra)
  separate_arguments(flags UNIX_COMMAND "${output}")
  run(${COMPILER} -std=c17 "${EXAMPLES}/ask.c" -o "${work}/${name}" ${flags})
  expect_usage("${work}/${name}")
endfunction()
build_by_pkg_config(ask-shared)
file(GLOB shared "${prefix}/${LIBDIR}/libtenebra.so*")
list(LENGTH shared count)
if(count LESS 2)
  message(FATAL_ERROR "no shared library with its versions in ${prefix}/${LIBDIR}")
endif()
file(REMOVE ${shared})
build_by_pkg_config(ask-static --static)

run("${prefix}/bin/tenebra" --version)
if(NOT output MATCHES "^tenebra [0-9]+\\.[0-9]+\\.[0-9]+\n$")
  message(FATAL_ERROR "tenebra --version printed: ${output}")
endif()
file(REMOVE_RECURSE "${work}")
