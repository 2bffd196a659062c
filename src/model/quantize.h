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
    size_t vocabulary;     /* rows of the embedding                                       */
    size_t adapted;        /* matrices of the adapter in the files                        */
    size_t rank;           /* of that adapter ...                                         */
    double alpha;
} tn_quantize_report;

/* What is done with a low-rank adapter in the files of the weights (lora.h). */
typedef enum tn_inner_adapter {
    TN_INNER_REFUSED, /* the files must have none                                                   */
    TN_INNER_KEPT,    /* it is written beside the weights, into the directory TN_INNER_DIRECTORY    */
    TN_INNER_MERGED   /* its additions are added to the weights                                     */
} tn_inner_adapter;
#define TN_INNER_DIRECTORY "adapter"

typedef struct tn_quantize_options {
    tn_recipe recipe;
    bool keep_types;   /* the recipe is not used: each matrix keeps its type and order                          */
    const char *base;  /* directory of everything but the weights; NULL: see tn_model_find                      */
    double lora_alpha; /* as in tn_model_options                                                                */
    tn_inner_adapter inner;
    tn_pool *pool;     /* NULL: the caller's thread alone                                                       */
    size_t file_bytes; /* largest amount of data in a file, unless one tensor has more; 0: one file */
    bool (*progress)(void *user, size_t done, size_t total); /* bytes read; false stops; may be NULL            */
    void *user;
} tn_quantize_options;

/* Reads the weights of the model at `path` (tn_model_find) and writes them into `output`, another existing directory without
 * weights: one file, or numbered files and their index, with the model's own names of tensors. Vectors are not changed. Memory
 * is limited, whatever the sizes; an adapter in the files is in memory. The disk must have room for all before it begins.
 * On failure no weights remain in `output`, and the report is empty. Free it with tn_quantize_report_free. Errors:
 * those of reading a model; ARGUMENT (a rule that matches no matrix); FORMAT (a value that is not finite, or too large
 * for its type); IO; CANCELLED; MEMORY. Threads: one per directory. */
tenebra_code tn_quantize_weights(const char *path, const char *output, const tn_quantize_options *options,
                                 tn_quantize_report *report, tenebra_error *error);

/* A zeroed report may be freed. */
void tn_quantize_report_free(tn_quantize_report *report);

/* The contents of quantization.json (docs/formats.md); NULL without memory. The caller owns it. */
json_t *tn_quantize_report_json(const tn_quantize_report *report);

#endif
