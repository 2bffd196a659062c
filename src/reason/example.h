/* A solved question from a file, to stand before the one asked. */
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
    char unknown[160]; /* names of members that nothing reads, with commas between */
} tn_example;

/* Reads a JSON object:
 *   image        path, or a list of them (or image_path); relative ones start at the file's folder
 *   question     text; options (or choices): a list of texts; context: text
 *   prompt       instead of these: the user's text as it is to stand there
 *   answer       with options the letter of one, else a text
 *   rationale    text; scene_graph: text, or JSON of any kind; both may be missing, where the method shows none
 * The question is worded by `preset`, and so is the answer. A row of a published set may serve: its id, category, domain,
 * topic, split and image_id say nothing here; names of other members go to `unknown`.
 * Errors: IO, FORMAT (with the member's name), LIMIT, MEMORY; *example is empty then. Threads: any. */
tenebra_code tn_example_read(tn_example *example, const char *path, const tn_prompt_preset *preset,
                             tenebra_error *error);

/* The same for the bytes of such a file. */
tenebra_code tn_example_parse(tn_example *example, const void *bytes, size_t length, const char *path,
                              const tn_prompt_preset *preset, tenebra_error *error);

void tn_example_free(tn_example *example);

#endif
