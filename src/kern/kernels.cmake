# The kernel files of the platform, and the instruction sets with which they are compiled.
# src/CMakeLists.txt globs all of them; those that do not apply are left out by declaring them headers.
set(kern ${CMAKE_CURRENT_SOURCE_DIR}/kern)
set(kern_left_out)
set(kern_x86_files x86.c avx2.c avx512.c avx512vnni.c avx512bf16.c avx512bf16_back.c amx.c amx_linux.c amx_none.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(kern_platform x86)
  set(kern_avx2 -mavx2 -mfma -mf16c)
  if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    # Tuned for x86-64-v2, clang 14 reads 256 bits that may be unaligned in two halves, at half the speed.
    list(APPEND kern_avx2 -mtune=haswell)
  endif()
  set_source_files_properties(${kern}/avx2.c PROPERTIES COMPILE_OPTIONS "${kern_avx2}")
  set(kern_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
  set_source_files_properties(${kern}/avx512.c PROPERTIES COMPILE_OPTIONS
    "${kern_avx512}")
  set_source_files_properties(${kern}/avx512vnni.c PROPERTIES COMPILE_OPTIONS "${kern_avx512};-mavx512vnni")
  # The tile instructions are inline assembly, which requires no option.
  set_source_files_properties(${kern}/avx512bf16.c ${kern}/avx512bf16_back.c ${kern}/amx.c PROPERTIES
    COMPILE_OPTIONS "${kern_avx512};-mavx512bf16")
  list(APPEND kern_left_out portable.c arm64.c neon.c blas_portable.c blas_arm64.c)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(APPEND kern_left_out amx_none.c)
  else()
    list(APPEND kern_left_out amx_linux.c)
  endif()
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(kern_platform arm64)
  list(APPEND kern_left_out portable.c ${kern_x86_files} blas_portable.c blas_x86.c)
else()
  set(kern_platform portable)
  list(APPEND kern_left_out ${kern_x86_files} arm64.c neon.c blas_x86.c blas_arm64.c)
endif()

# OpenBLAS, if requested: the pthread build, limited to one thread. The serial build of 0.3.21 has no locks
# around its buffers and occasionally computes wrong results if our threads call it at once (OpenBLAS issues
# 1755 and 2126).
if(TENEBRA_BLAS)
  find_path(OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-pthread REQUIRED)
  find_library(OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-pthread REQUIRED)
  list(APPEND kern_left_out blas_none.c)
  set_source_files_properties(${kern}/blas.c PROPERTIES INCLUDE_DIRECTORIES ${OPENBLAS_INCLUDE})
  target_link_libraries(tenebra_kern PUBLIC ${OPENBLAS_LIBRARY})
  message(STATUS "Kernels: ${kern_platform}, with OpenBLAS (${OPENBLAS_LIBRARY})")
else()
  list(APPEND kern_left_out blas.c blas_${kern_platform}.c)
  message(STATUS "Kernels: ${kern_platform}, without BLAS")
endif()

list(TRANSFORM kern_left_out PREPEND ${kern}/)
set_source_files_properties(${kern_left_out} PROPERTIES HEADER_FILE_ONLY ON)

# The tiles of registers are arrays in the innermost loops. To mark them as out of scope after every turn doubles the code of these
# files, and the time to compile it; checks for null pointers and for the overflow of pointers triple that of a tile. AddressSanitizer
# still finds what they could lead to, an access outside of an array.
if(TENEBRA_SANITIZE MATCHES address)
  target_compile_options(tenebra_kern PRIVATE -fno-sanitize-address-use-after-scope -fno-sanitize=null,pointer-overflow)
  # In functions with more accesses than this, gcc calls the check of an access instead of writing it out: half the time to compile
  # the vector files; property.kern.linear runs a third longer, codes as long.
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tenebra_kern PRIVATE --param=asan-instrumentation-with-call-threshold=50)
  endif()
endif()

# Kernels see no bytes of files; clang 14 takes minutes for the AVX-512 files with coverage and sanitizers.
if(TENEBRA_FUZZ)
  target_compile_options(tenebra_kern PRIVATE -fno-sanitize=all)
endif()
