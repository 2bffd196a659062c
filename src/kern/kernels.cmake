# Which kernel files the platform gets. src/CMakeLists.txt globs all of them; those of another
# platform are left out by calling them headers.
set(kern ${CMAKE_CURRENT_SOURCE_DIR}/kern)
set_source_files_properties(${kern}/x86.c PROPERTIES HEADER_FILE_ONLY ON)
