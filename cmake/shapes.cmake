# tenebra_shapes(<output.c> <directory> <header>)
#
# Writes a source file with the bytes of every <directory>/<name>.json, as the table tn_shapes of
# <header>: { name, text, length }, ending with a NULL name. The program then needs no data files.
function(tenebra_shapes output directory header)
  file(GLOB files CONFIGURE_DEPENDS ${directory}/*.json)
  list(SORT files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
  set(texts "")
  set(rows "")
  set(number 0)
  foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME_WLE)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND texts "static const unsigned char text_${number}[] = {${bytes}};\n")
    string(APPEND rows "    { \"${name}\", text_${number}, sizeof text_${number} },\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"/* Made by cmake/shapes.cmake. */
#include \"${header}\"

${texts}
const tn_shape tn_shapes[] = {
${rows}    { 0, 0, 0 }
};
" @ONLY)
endfunction()
