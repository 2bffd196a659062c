# tenebra_registry(<output.c> <type> <list name> <directory> <header>)
#
# Writes a source file with the NULL-terminated list of every `const <type> <list name>_<stem>`
# that the .c files of <directory> define. To add a backbone or a method, add such a file:
# its name appears nowhere else.
function(tenebra_registry output type list directory header)
  file(GLOB sources CONFIGURE_DEPENDS ${directory}/*.c)
  list(SORT sources)
  set(declarations "")
  set(entries "")
  foreach(source IN LISTS sources)
    get_filename_component(stem ${source} NAME_WE)
    string(APPEND declarations "extern const ${type} ${list}_${stem};\n")
    string(APPEND entries "    &${list}_${stem},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"/* Made by cmake/registry.cmake from the files of ${directory}. */
#include \"${header}\"

${declarations}
const ${type} *const ${list}s[] = {
${entries}    NULL
};
" @ONLY)
endfunction()
