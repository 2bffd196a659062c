/* A solved example from a file, which is shown before the question. */
#ifndef TN_REASON_EXAMPLE_H
#define TN_REASON_EXAMPLE_H

#include "base/json.h"
#include "data/sample.h"
#include "reason/asked.h"

/* Zeroed is empty. `example` is what a request points to (tenebra_request.example). */
typedef struct tn_example {
    tenebra_example example;
    tn_asked asked;
    json_t *json; /* owns most texts */
    char *answer, *graph;
    char **images; /* [image_count] paths */
    size_t image_count;
    char unknown[160]; /* names of unused members, separated by commas */
} tn_example;

/* Reads a JSON object:
 *   image        path, or a list of paths (or image_path); relative ones start at the file's folder
 *   question     text; options (or choices): a list of texts; context: text
 *   prompt       instead of these: the user's complete text
 *   answer       with options the letter of one of them, else a text
 *   rationale    text; scene_graph: text, or any JSON; both may be missing if the method does not show them
 * Question and answer have the wording `preset`. A row of a published data set can be used: its id, category, domain, topic,
 * split and image_id have no effect here; the names of other members are added to `unknown`. Errors: IO, FORMAT (with the
 * member's name), LIMIT, MEMORY; *example is then empty. Threads: any. */
tenebra_code tn_example_read(tn_example *example, const char *path, const tn_prompt_preset *preset,
                             tenebra_error *error);

/* The same for the bytes of such a file. */
tenebra_code tn_example_parse(tn_example *example, const void *bytes, size_t length, const char *path,
                              const tn_prompt_preset *preset, tenebra_error *error);

void tn_example_free(tn_example *example);

#endif
