/* A model: configuration, mapped weights, tokenizer, and how it prepares pictures. Read-only once
 * open, so any number of sessions in any number of threads may share it. */
#ifndef TN_MODEL_MODEL_H
#define TN_MODEL_MODEL_H

#include "image/patches.h"
#include "model/backbone.h"
#include "store/store.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct tenebra_model tn_model;

struct tenebra_model {
    const tn_backbone *backbone;
    const tn_kernels *kernels;
    tn_model_config config;
    tn_decoder decoder;
    tn_vision vision;
    tn_store *store;
    tn_tokenizer *tokenizer;             /* NULL: the directory has none */
    const tn_chat_template *chat_template;
    tn_patch_config patches;
    tn_real *vectors; /* memory behind all tn_vector */
    tn_arena wide;    /* matrices that tn_model_widen made */
    char *directory;
    struct tn_adapter **adapters; /* [adapter_count] those of the options, attached */
    size_t adapter_count;
    struct tn_trained *trained; /* how its weights were trained to be asked (reason/trained.h); only in public handles, else NULL */
};

typedef struct tn_model_options {
    const char *kernels;       /* name of a kernel set; NULL or "": the best        */
    const char *chat_template; /* name; NULL: from the directory                    */
    const tenebra_adapter *adapters; /* [adapter_count] put on the weights (model/lora.h) */
    size_t adapter_count;
} tn_model_options;

/* Opens a Hugging Face model directory. Weights are mapped, not read. Any missing, spare or
 * misshapen tensor is an error that names it. The tokenizer may be absent. options may be NULL.
 * Errors: IO, FORMAT, MISMATCH, UNSUPPORTED, LIMIT, MEMORY. */
tn_model *tn_model_open(const char *directory, const tn_model_options *options, tenebra_error *error);
void tn_model_close(tn_model *model);

/* Turns BF16 and F16 matrices into F32 ones in memory, for which no kernel set rounds activations. At most once, before
 * sessions are opened. Errors: MEMORY; the model is then of no use. */
tenebra_code tn_model_widen(tn_model *model, tenebra_error *error);

/* Reads the configuration alone. Errors: IO, FORMAT, UNSUPPORTED (unknown model_type). */
tenebra_code tn_model_read_config(const char *directory, const tn_backbone **backbone,
                                  tn_model_config *config, tenebra_error *error);

/* ------------------------------------------------- how tensors fit ---- */

typedef enum tn_match { TN_MATCHED, TN_MISSING, TN_UNEXPECTED, TN_MISSHAPEN, TN_MATCH_COUNT } tn_match;

/* One line of the report: `name` as expected, or as stored when unexpected; `stored` may be NULL. */
typedef void tn_match_fn(void *user, tn_match match, const char *name, const tn_stored *stored,
                         size_t rows, size_t cols);

/* Compares the tensors of `store` with what the backbone expects under `config`; calls `each` for
 * every tensor. Returns how many do not match. Slots of `model` are filled when it is not NULL. */
tenebra_code tn_model_match(const tn_backbone *backbone, const tn_model_config *config,
                            const tn_store *store, tn_model *model, tn_match_fn *each, void *user,
                            size_t *mismatches, tenebra_error *error);

/* The stored tensor that means `canonical`, under any name that the backbone knows; NULL if there is none. */
const tn_stored *tn_model_stored(const tn_backbone *backbone, const tn_store *store, const char *canonical);

/* ------------------------------------------------- memory, one number -- */

/* Logical rows of the vocabulary: of the embedding, and of the head (at most as many). */
static inline size_t tn_model_vocabulary(const tn_model *model) { return model->decoder.embed.matrix.rows; }

#endif
