# tenebra_option_names(<output.c> <directory>)
#
# Writes a source file with the names of all options in the tables of <directory>, so that a variable of the environment that
# no command reads can be told from one that another command reads.
function(tenebra_option_names output directory)
  file(GLOB sources CONFIGURE_DEPENDS ${directory}/*.c)
  set(names "")
  foreach(source IN LISTS sources)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} rows REGEX "\"[a-z0-9-]+\",( .kind =)? TN_OPTION_")
    foreach(row IN LISTS rows)
      string(REGEX MATCH "\"[a-z0-9-]+\",( .kind =)? TN_OPTION_" name "${row}")
      string(REGEX REPLACE "\"([a-z0-9-]+)\".*" "\\1" name "${name}")
      list(APPEND names ${name})
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES names)
  list(SORT names)
  set(entries "")
  foreach(name IN LISTS names)
    string(APPEND entries "    \"${name}\",\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"/* Made by cmake/options.cmake from the files of ${directory}. */
#include \"app/app.h\"

const char *const tn_option_names[] = {
${entries}    NULL
};
" @ONLY)
endfunction()
