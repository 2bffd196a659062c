/* The result file of a run: its manifest in the first line, then one JSON object per line, each written completely as
 * soon as it is known. An incomplete last line is dropped if the run is continued.
 *
 * Each line ends with a member "digest" (eval/seal.h): of the line itself and of the manifest before it. A line that
 * was changed is an error that names it, wherever the file is read. If a run continues with more questions, its new
 * manifest follows the records of the old one and applies to the lines after it. Files of older versions, whose
 * manifest has no digest, can be read, but not continued. */
#ifndef TN_EVAL_JOURNAL_H
#define TN_EVAL_JOURNAL_H

#include "base/digest.h"
#include "base/json.h"

typedef struct tn_journal {
    char *path;
    int file;         /* -1: closed */
    double synced;    /* time of the last fsync, ms */
    tn_digest digest; /* of the manifest in effect */
} tn_journal;

/* Called for each record of an older run, in the order of the file. The record is borrowed. */
typedef tenebra_code tn_journal_fn(void *user, const json_t *record, tenebra_error *error);

/* Compares the manifest in effect with that of this run. *more: they differ in an allowed way, and the file continues
 * with the new one. Errors: MISMATCH. */
typedef tenebra_code tn_journal_fit_fn(void *user, const json_t *saved, bool *more, tenebra_error *error);

/* Opens or creates the file; no other process can write to it at the same time. If it already contains a run, its
 * manifest has to match, and `each` gets its records. A file with any other content is not changed. With `anew`, an
 * older file to which no process writes is renamed to "<path>.1" or the first free number. Errors: IO (another process
 * writes to it), FORMAT (not a file of such a run; a broken or changed line with its number), MISMATCH, MEMORY. */
tenebra_code tn_journal_open(tn_journal *journal, const char *path, const json_t *manifest, bool anew, tn_journal_fn *each,
                             tn_journal_fit_fn *fit, void *user, tenebra_error *error);

/* Appends a line, a JSON object without its line end, with its seal in one system call, and syncs lines to the disk
 * every two seconds. Errors: IO, MEMORY. */
tenebra_code tn_journal_append(tn_journal *journal, const char *line, size_t length, tenebra_error *error);

/* Syncs everything to the disk and closes. A closed journal may be closed. Errors: IO. */
tenebra_code tn_journal_close(tn_journal *journal, tenebra_error *error);

/* Reads the file of a run without changing it: *manifest is the last one (the caller owns it), and `each` gets the
 * records. An incomplete last line is left out. Errors: as above. */
tenebra_code tn_journal_read(const char *path, json_t **manifest, tn_journal_fn *each, void *user, tenebra_error *error);

/* The same for the bytes of such a file; `path` appears in errors. */
tenebra_code tn_journal_parse(const void *bytes, size_t length, const char *path, json_t **manifest, tn_journal_fn *each, void *user,
                              tenebra_error *error);

#endif
