/* A directory for one test, with the path of a file in it. Include after cmocka.h. */
#ifndef TN_TESTS_STORE_PLACE_H
#define TN_TESTS_STORE_PLACE_H

#include "unit/store/files.h"

typedef struct place {
    char *directory;
    char path[1024];
} place;

static inline int set_up(void **state)
{
    place *here = calloc(1, sizeof *here);
    assert_non_null(here);
    here->directory = make_directory();
    snprintf(here->path, sizeof here->path, "%s/x.safetensors", here->directory);
    *state = here;
    return 0;
}

static inline int tear_down(void **state)
{
    place *here = *state;
    remove_directory(here->directory);
    free(here);
    return 0;
}

#endif
