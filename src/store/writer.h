/* Writes a safetensors file as a stream: first all tensors are declared, then their data are written in this order.
 *
 * The file appears under its name only when it is complete and on the disk; until then the bytes go
 * to "<path>.partial-<process>-<number>" beside it, and an older file at `path` stays as it is. The
 * first failure sticks: later calls return it again, and closing removes the partial file. What killed processes left beside
 * the path is taken away (tn_output_sweep). The file carries a digest of itself (store/seal.h).
 * The data begins at a multiple of 64 bytes, and tensors follow each other without gaps: declaring panels first and
 * then wide types keeps all of it aligned. */
#ifndef TN_STORE_WRITER_H
#define TN_STORE_WRITER_H

#include "store/store.h"

/* Names of the files, and what their format allows. */
#define TN_WRITER_ENDING ".safetensors"
#define TN_WRITER_WEIGHTS "model" TN_WRITER_ENDING            /* of a model in one file            */
#define TN_WRITER_INDEX TN_WRITER_WEIGHTS ".index.json"       /* of a model in several, says which */
#define TN_WRITER_ADAPTER "adapter_model" TN_WRITER_ENDING    /* as PEFT calls it                  */
#define TN_WRITER_MODULE "module" TN_WRITER_ENDING           /* of a method                       */
#define TN_WRITER_METADATA "__metadata__"                     /* no tensor can be called so        */
enum { TN_WRITER_HEADER_MAX = 100000000 /* bytes of JSON, as the reference reader */ };

typedef struct tn_writer tn_writer;

/* *opened is NULL on failure. No file is made yet. Close with tn_writer_close. Errors: as tn_output_open. Threads: a writer
 * belongs to one at a time. */
tenebra_code tn_writer_open(const char *path, tn_writer **opened, tenebra_error *error);

/* The same for the file `name` of a directory. */
tenebra_code tn_writer_open_in(const char *directory, const char *name, tn_writer **writer, tenebra_error *error);

/* Adds a string to __metadata__. Only before the first data. Errors: ARGUMENT (not UTF-8, given
 * twice, too late), MEMORY. */
tenebra_code tn_writer_metadata(tn_writer *writer, const char *key, const char *value,
                                tenebra_error *error);

/* Announces the next tensor. Only before the first data. Errors: ARGUMENT (a name that a reader would
 * refuse, given twice, rank, size, too late), MEMORY. */
tenebra_code tn_writer_declare(tn_writer *writer, const char *name, tn_store_type type, size_t rank,
                               const size_t *shape, tenebra_error *error);

/* Announces weights of any form: a plain tensor, or bytes and the metadata that describes them
 * (tn_matrix_bytes of the form's matrix). Panels lie at multiples of 64 bytes where only panels go before
 * them. Errors: as tn_writer_declare. */
tenebra_code tn_writer_declare_weight(tn_writer *writer, const char *name, const tn_form *form, tenebra_error *error);

/* The next `size` bytes of data; tensors may be cut anywhere. Errors: ARGUMENT (more than declared),
 * IO (full disk, ...), LIMIT (header). */
tenebra_code tn_writer_write(tn_writer *writer, const void *data, size_t size, tenebra_error *error);

/* Bytes of data that the declared tensors have and that are not written yet. */
size_t tn_writer_missing(const tn_writer *writer);

/* Puts the complete file in place. Errors: ARGUMENT (data is missing), IO. */
tenebra_code tn_writer_finish(tn_writer *writer, tenebra_error *error);

/* Gives everything back; without a successful finish nothing remains on the disk. NULL is allowed. */
void tn_writer_close(tn_writer *writer);

#endif
