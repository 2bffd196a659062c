/* The file of a run: its manifest in the first line, then one JSON object a line, each written whole as soon as it is
 * known. A line that was cut off by a stop is dropped when the run goes on.
 *
 * Each line ends with a member "digest" (eval/seal.h): of the line itself and of the manifest before it. A line that was changed
 * is an error that names it, wherever the file is read. Where a run goes on with more questions, its new manifest stands behind
 * the records of the old one, and holds for what follows. Files of older versions, whose manifest has no digest, are read as they
 * are, but no run goes on in them. */
#ifndef TN_EVAL_JOURNAL_H
#define TN_EVAL_JOURNAL_H

#include "base/digest.h"
#include "base/json.h"

typedef struct tn_journal {
    char *path;
    int file;         /* -1: closed */
    double synced;    /* time of the last fsync, ms */
    tn_digest digest; /* of the manifest that holds */
} tn_journal;

/* Called for each record of an older run, in the order of the file. Borrowed. */
typedef tenebra_code tn_journal_fn(void *user, const json_t *record, tenebra_error *error);

/* Compares the manifest that holds in a file with that of this run. *more: they differ, and may: the file goes on under the new
 * one. Errors: MISMATCH. */
typedef tenebra_code tn_journal_fit_fn(void *user, const json_t *saved, bool *more, tenebra_error *error);

/* Opens or makes the file; nobody else may write to it at the same time. Where it holds a run already, its manifest has
 * to fit, and `each` gets its records. A file that holds anything else is left alone. With `anew` an older file that nobody
 * writes to is renamed to "<path>.1" or the first number that is free.
 * Errors: IO (another process writes to it), FORMAT (no file of such a run; a broken or changed line with its number), MISMATCH,
 * MEMORY. */
tenebra_code tn_journal_open(tn_journal *journal, const char *path, const json_t *manifest, bool anew, tn_journal_fn *each,
                             tn_journal_fit_fn *fit, void *user, tenebra_error *error);

/* Appends a line, a JSON object without its line end, with its seal in one system call, and brings lines to the disk every two
 * seconds. Errors: IO, MEMORY. */
tenebra_code tn_journal_append(tn_journal *journal, const char *line, size_t length, tenebra_error *error);

/* Brings everything to the disk and closes. A closed journal may be closed. Errors: IO. */
tenebra_code tn_journal_close(tn_journal *journal, tenebra_error *error);

/* Reads the file of a run without changing it: *manifest, the last one (the caller owns it), and `each` record. A last line that
 * was cut off is left out. Errors: as above. */
tenebra_code tn_journal_read(const char *path, json_t **manifest, tn_journal_fn *each, void *user, tenebra_error *error);

/* The same for the bytes of such a file; `path` stands in errors. */
tenebra_code tn_journal_parse(const void *bytes, size_t length, const char *path, json_t **manifest, tn_journal_fn *each, void *user,
                              tenebra_error *error);

#endif
