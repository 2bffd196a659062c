/* Converts the weights of a model directory to other types and orders. */
#ifndef TN_MODEL_QUANTIZE_H
#define TN_MODEL_QUANTIZE_H

#include "base/notes.h"
#include "model/convert.h"
#include "model/recipe.h"

typedef struct tn_quantized {
    char name[TN_STORED_NAME_MAX + 1]; /* as stored */
    tn_form from, form;
    size_t from_bytes, bytes;
    bool matrix;
    const char *note; /* why it is not as requested; NULL: it is */
    tn_conversion conversion;
} tn_quantized;

typedef struct tn_quantize_report {
    tn_quantized *tensors; /* [count], in the order of the files                          */
    size_t count, files;
    size_t elements, from_bytes, bytes;
    double relative_rms;   /* of all matrices together                                    */
    size_t twice;          /* matrices that were converted from one quantised type to another */
    tn_notes notes;        /* contents of configuration and index that are not used       */
} tn_quantize_report;

typedef struct tn_quantize_options {
    tn_recipe recipe;
    tn_pool *pool;     /* NULL: the caller's thread alone                                                       */
    size_t file_bytes; /* largest amount of data in a file, unless one tensor has more; 0: one file */
    bool (*progress)(void *user, size_t done, size_t total); /* bytes read; false stops; may be NULL            */
    void *user;
} tn_quantize_options;

/* Reads the weights of the model in `directory` and writes them into `output`, another existing directory without
 * weights: one file, or numbered files and their index. Vectors are not changed. Memory is limited, whatever the sizes.
 * On failure no weights remain in `output`, and the report is empty. Free it with tn_quantize_report_free. Errors:
 * those of reading a model; ARGUMENT (a rule that matches no matrix); FORMAT (a value that is not finite, or too large
 * for its type); IO; CANCELLED; MEMORY. Threads: one per directory. */
tenebra_code tn_quantize_weights(const char *directory, const char *output, const tn_quantize_options *options,
                                 tn_quantize_report *report, tenebra_error *error);

/* A zeroed report may be freed. */
void tn_quantize_report_free(tn_quantize_report *report);

/* The contents of quantization.json (docs/formats.md); NULL without memory. The caller owns it. */
json_t *tn_quantize_report_json(const tn_quantize_report *report);

#endif
