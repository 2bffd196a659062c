/* Answers as JSON, one per line: shared by the commands with --jsonl. */
#ifndef TN_APP_JSONL_H
#define TN_APP_JSONL_H

#include "base/json.h"

/* The length of a line without its end, so that messages about it name no further line. */
size_t tn_jsonl_length(const char *line, size_t length);

/* Adds "error": {"line", "code", "where", "sentence"} to the answer. `line`: of the request, from 1. */
void tn_jsonl_put_error(json_t *answer, size_t line, const tenebra_error *error);

/* Writes the answer and a line end to stdout at once, so that a program can wait for each. Errors: IO. */
tenebra_code tn_jsonl_write(const json_t *answer, tenebra_error *error);

#endif
