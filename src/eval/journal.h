/* The file of a run: its manifest in the first line, then one JSON object a line, each written whole as soon as it is
 * known. A line that was cut off by a stop is dropped when the run goes on. */
#ifndef TN_EVAL_JOURNAL_H
#define TN_EVAL_JOURNAL_H

#include "base/json.h"

#include <stdio.h>

typedef struct tn_journal {
    char *path;
    int file;        /* -1: closed */
    double synced;   /* time of the last fsync, ms */
} tn_journal;

/* Called for each record of an older run, in the order of the file. Borrowed. */
typedef tenebra_code tn_journal_fn(void *user, const json_t *record, tenebra_error *error);

/* Opens or makes the file; nobody else may write to it at the same time. Where it holds a run already, its manifest has
 * to fit `manifest` (tn_eval_manifest_compare), and `each` gets its records. A file that holds anything else is left
 * alone. With `anew` an older file is renamed to "<path>.1" or the first number that is free.
 * Errors: IO, FORMAT (no file of such a run; a broken line with its number), MISMATCH, MEMORY. */
tenebra_code tn_journal_open(tn_journal *journal, const char *path, const json_t *manifest, bool anew, tn_journal_fn *each,
                             void *user, tenebra_error *error);

/* Appends a line (without its line end) in one system call, and brings lines to the disk every two seconds. Errors: IO,
 * MEMORY. */
tenebra_code tn_journal_append(tn_journal *journal, const char *line, size_t length, tenebra_error *error);

/* Brings everything to the disk and closes. A closed journal may be closed. Errors: IO. */
tenebra_code tn_journal_close(tn_journal *journal, tenebra_error *error);

/* Reads the file of a run without changing it: *manifest (the caller owns it), and `each` record. A last line that was cut
 * off is left out. Errors: as above. */
tenebra_code tn_journal_read(const char *path, json_t **manifest, tn_journal_fn *each, void *user, tenebra_error *error);

#endif
