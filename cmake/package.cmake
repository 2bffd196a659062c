# The installed parts: the program, the library as tenebra::tenebra (shared) and
# tenebra::tenebra_static, include/tenebra.h, a pkg-config file and a CMake package.
#
# The library consists of the objects of the layers base .. reason; all names except tenebra_* are hidden.
set(library_layers base kern ops store text image data model reason)
set(library_objects "")
set(library_needs Threads::Threads PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::JPEG
                  PkgConfig::PNG PkgConfig::ZLIB PkgConfig::WEBP m)
set(library_modules jansson libpcre2-8 libutf8proc libjpeg libpng zlib libwebp)
foreach(layer IN LISTS library_layers)
  list(APPEND library_objects $<TARGET_OBJECTS:tenebra_${layer}>)
endforeach()

# BLAS, if the kernels use it.
set(library_blas "")
get_target_property(kern_needs tenebra_kern LINK_LIBRARIES)
foreach(item IN LISTS kern_needs)
  if(NOT item MATCHES "^(tenebra_|m$)")
    list(APPEND library_blas ${item})
  endif()
endforeach()
list(APPEND library_needs ${library_blas})

foreach(kind IN ITEMS shared static)
  string(TOUPPER ${kind} type)
  add_library(tenebra_${kind} ${type} ${library_objects})
  target_include_directories(tenebra_${kind} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(tenebra_${kind} PRIVATE ${library_needs})
  set_target_properties(tenebra_${kind} PROPERTIES OUTPUT_NAME tenebra LINKER_LANGUAGE C)
endforeach()
# Before version 1 every minor version may break the interface.
set_target_properties(tenebra_shared PROPERTIES EXPORT_NAME tenebra VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
add_library(tenebra::tenebra ALIAS tenebra_shared)
add_library(tenebra::tenebra_static ALIAS tenebra_static)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/tenebra)
# The default model: installed beside the program, and found in the build directory as if it were.
set(default_models share/tenebra/models)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${default_models})
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models/default ${CMAKE_BINARY_DIR}/${default_models}/default SYMBOLIC)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/default DESTINATION ${default_models} OPTIONAL)

install(TARGETS tenebra RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Man pages and scripts of completion, which the program writes; not where it is built for another machine.
if(NOT CMAKE_CROSSCOMPILING)
  set(pages ${CMAKE_BINARY_DIR}/share/man/man1)
  set(scripts ${CMAKE_BINARY_DIR}/share/completion)
  add_custom_command(OUTPUT ${pages}/tenebra.1 ${scripts}/tenebra ${scripts}/_tenebra ${scripts}/tenebra.fish
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${pages} ${scripts}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${pages} ${scripts}
    COMMAND tenebra manual -o ${pages}
    COMMAND tenebra completion bash > ${scripts}/tenebra
    COMMAND tenebra completion zsh > ${scripts}/_tenebra
    COMMAND tenebra completion fish > ${scripts}/tenebra.fish
    DEPENDS tenebra VERBATIM)
  add_custom_target(tenebra_manual ALL DEPENDS ${pages}/tenebra.1)
  install(DIRECTORY ${pages}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
  install(FILES ${scripts}/tenebra DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${scripts}/_tenebra DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${scripts}/tenebra.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

install(FILES ${PROJECT_SOURCE_DIR}/include/tenebra.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS tenebra_shared EXPORT tenebra_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tenebra_static EXPORT tenebra_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(kind IN ITEMS shared static)
  install(EXPORT tenebra_${kind} NAMESPACE tenebra:: FILE tenebra-${kind}.cmake DESTINATION ${package_directory})
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/tenebra-config.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/tenebra-config.cmake
                              INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/tenebra-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tenebra-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/tenebra-config-version.cmake DESTINATION ${package_directory})

# pkg-config: paths relative to the file, so that the installed tree may move.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REPLACE ";" ", " pc_requires "${library_modules}")
set(pc_libraries "-lm -pthread")
foreach(item IN LISTS library_blas)
  if(item MATCHES "^PkgConfig::|^-")
    string(REGEX REPLACE "^PkgConfig::.*" "" item "${item}")
  endif()
  string(APPEND pc_libraries " ${item}")
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/cmake/tenebra.pc.in ${CMAKE_CURRENT_BINARY_DIR}/tenebra.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tenebra.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
