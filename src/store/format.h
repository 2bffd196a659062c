/* A format of tensor files: one file in store/formats/.
 *
 * It recognises its files and makes the tensors of a mapped file. Directories, indices, repeated names, digests and
 * changed files are handled for all formats in store/store.c. The build makes the list of formats from the files
 * present (cmake/registry.cmake). */
#ifndef TN_STORE_FORMAT_H
#define TN_STORE_FORMAT_H

#include "base/json.h"
#include "store/store.h"

typedef struct tn_format tn_format;

/* The contents of one file. A zeroed record is empty. */
typedef struct tn_contents {
    const tn_format *format;
    const unsigned char *bytes; /* [size] the file, which must stay unchanged until tn_contents_close */
    size_t size;
    tn_stored *tensors;         /* [count] freed by tn_contents_close, in the order of their data */
    size_t count;
    json_t *metadata;           /* an object whose strings can be read; NULL: none */
    json_t *config;             /* an object with the contents of a config.json; NULL: none */
    tn_notes notes;             /* what is in the file and not used                         */
    void *own;                  /* owned by the format; it may contain the names of the tensors */
} tn_contents;

enum { TN_FORMAT_NAMES = 4 };

struct tn_format {
    const char *name;     /* in messages */
    const char *names[TN_FORMAT_NAMES]; /* its files: patterns for fnmatch, NULL after the last */
    const char *weights[TN_FORMAT_NAMES]; /* its files in the directory of a model, likewise; the first pattern with files counts */
    const char *index;    /* JSON whose "weight_map" assigns tensors to files, if there is no file `weights`; or NULL */

    /* True if a file with this start has this format. Looks at a few of the first bytes, and at the size. */
    bool (*knows)(const unsigned char *bytes, size_t size);

    /* Fills tensors, count and the other fields from bytes and size, with all checks; `name` appears in error records.
     * The file is hostile, and may have this format only by its name. tn_contents_close must follow, also after a
     * failure. Errors: FORMAT, UNSUPPORTED, LIMIT, MEMORY. */
    tenebra_code (*open)(tn_contents *contents, const char *name, tenebra_error *error);

    /* Frees `own`, if it is set. */
    void (*close)(tn_contents *contents);

    /* Compares the file with its digest; *sealed: it has one. NULL: files of this format have none. Errors: FORMAT
     * (damaged). */
    tenebra_code (*verify)(const tn_contents *contents, const char *name, bool *sealed, tenebra_error *error);

    /* The same for one of the tensors, if the format has digests of these; or NULL. */
    tenebra_code (*verify_tensor)(const tn_contents *contents, const tn_stored *tensor, const char *name, tenebra_error *error);
};

/* All formats, NULL-terminated. In the directory of a model, the first that finds its files is used. */
extern const tn_format *const tn_formats[];

/* Reads a file of any format in memory: of the format that recognises it, or else of the one with such names. On
 * failure *contents is empty. Errors: as `open`; UNSUPPORTED (no format). Threads: any. */
tenebra_code tn_contents_open(tn_contents *contents, const void *bytes, size_t size, const char *name, tenebra_error *error);

/* The string `key` of the metadata, borrowed; NULL if there is none. */
const char *tn_contents_metadata(const tn_contents *contents, const char *key);

void tn_contents_close(tn_contents *contents);

/* Checks shape and type of a tensor and fills elements, bytes and form; `data` is not changed. False if tn_store_extent
 * is false. */
bool tn_stored_measure(tn_stored *tensor);

#endif
