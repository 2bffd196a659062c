# tenebra_assets(<output.c> <header> <directory> <file>...)
#
# Writes a source file with the bytes of each file as `const tn_asset tn_asset_<name with _ for .>` of <header>, so that the
# program needs no data files.
function(tenebra_assets output header directory)
  set(texts "")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${directory}/${file})
    string(MAKE_C_IDENTIFIER ${file} name)
    file(READ ${directory}/${file} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND texts "static const unsigned char bytes_${name}[] = {${bytes}};
const tn_asset tn_asset_${name} = { bytes_${name}, sizeof bytes_${name} };\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"/* Made by cmake/assets.cmake. */
#include \"${header}\"

${texts}" @ONLY)
endfunction()
