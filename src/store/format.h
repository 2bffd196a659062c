/* A format of tensor files: one file in store/formats/.
 *
 * It says which files are its own and makes tensors of one that is mapped. Directories, indices, names that two files hold,
 * digests and files that are changed meanwhile are common to all formats (store/store.c). The list of formats is made by the
 * build from the files present (cmake/registry.cmake). */
#ifndef TN_STORE_FORMAT_H
#define TN_STORE_FORMAT_H

#include "base/json.h"
#include "store/store.h"

typedef struct tn_format tn_format;

/* What one file holds. A zeroed record is empty. */
typedef struct tn_contents {
    const tn_format *format;
    const unsigned char *bytes; /* [size] the file, which must stay unchanged until tn_contents_close */
    size_t size;
    tn_stored *tensors;         /* [count] memory for free(), in the order of their data */
    size_t count;
    json_t *metadata;           /* an object; what it holds as strings can be asked for; NULL: none */
    json_t *config;             /* an object as config.json would hold it; NULL: none */
    void *own;                  /* of the format; it may own the names of the tensors */
} tn_contents;

struct tn_format {
    const char *name;    /* in messages */
    const char *ending;  /* of the names of its files, with the dot */
    const char *weights; /* its files in the directory of a model, as fnmatch reads it */
    const char *index;   /* JSON whose "weight_map" says which tensor is in which file, where there is no file `weights`; or NULL */

    /* Whether a file that begins so is of this format. Looks at a few of the first bytes, and at the size. */
    bool (*knows)(const unsigned char *bytes, size_t size);

    /* Fills tensors, count and what else there is from bytes and size, everything checked; `name` stands in error records. The
     * file is hostile, and may be one that only its name makes a file of this format. tn_contents_close follows also on failure.
     * Errors: FORMAT, UNSUPPORTED, LIMIT, MEMORY. */
    tenebra_code (*open)(tn_contents *contents, const char *name, tenebra_error *error);

    /* Gives `own` back, if it is set. */
    void (*close)(tn_contents *contents);

    /* Compares the file with the digest that it carries; *sealed: whether it carries one. NULL: none of this format do.
     * Errors: FORMAT (damaged). */
    tenebra_code (*verify)(const tn_contents *contents, const char *name, bool *sealed, tenebra_error *error);
};

/* All formats, NULL-terminated. In the directory of a model the first counts that finds its files. */
extern const tn_format *const tn_formats[];

/* Reads a file of any format that lies in memory: of the one that knows it, else of the one whose ending its name has. On failure
 * *contents is empty. Errors: as `open`; UNSUPPORTED (no format). Threads: any. */
tenebra_code tn_contents_open(tn_contents *contents, const void *bytes, size_t size, const char *name, tenebra_error *error);

/* The string `key` of the metadata, borrowed; NULL if there is none. */
const char *tn_contents_metadata(const tn_contents *contents, const char *key);

void tn_contents_close(tn_contents *contents);

/* Whether shape and type of a tensor are sound, and its elements, bytes and form; `data` stays. False where tn_store_extent is. */
bool tn_stored_measure(tn_stored *tensor);

#endif
