/* Low-rank adapters: y = W x + scale * B (A dropout(x)) for chosen matrices; everything else is frozen.
 *
 * An adapter belongs to one model, whose weights point to it while it is attached. Files are those of PEFT: tensors
 * (TN_WRITER_ADAPTER) with adapter_config.json. Names of modules are those of the model's own tensors without
 * ".weight", e.g. "model.layers.0.self_attn.q_proj"; files may use any name that the backbone knows. Besides the pairs
 * A, B a file may contain magnitudes (DoRA, arXiv:2402.09353), complete tensors (modules_to_save, and embeddings that
 * PEFT saves), and single rows of the embedding (trainable_token_indices). Source: arXiv:2106.09685; file layout and
 * meaning of the settings: PEFT's documentation of LoraConfig. */
#ifndef TN_MODEL_LORA_H
#define TN_MODEL_LORA_H

#include "base/rng.h"
#include "model/model.h"

/* The modules with their ranks and scales, as in PEFT's LoraConfig. */
typedef struct tn_lora_pattern {
    const char *name; /* the end of a module's name from a '.' on, or a regular expression for that */
    double value;
} tn_lora_pattern;

/* Either names (a module matches by its full name, or by an end of it that starts after a '.'), or one regular
 * expression for full names. */
typedef struct tn_lora_list {
    const char *const *items;
    size_t count;
    const char *pattern; /* NULL: the names */
} tn_lora_list;

typedef struct tn_lora_options {
    size_t rank;      /* r >= 1            */
    double alpha;     /* scale = alpha / r */
    double dropout;   /* 0 <= p < 1, of the input of A, while training */
    bool rslora;      /* scale = alpha / sqrt(r), arXiv:2312.03732 */
    tn_lora_list targets;     /* the pattern "all-linear" means every linear layer except the head */
    tn_lora_list excluded;    /* never targets                                                   */
    tn_lora_list saved;       /* modules_to_save: only names; these and modules inside them are not targets */
    const long *layers;       /* [layer_count] layers_to_transform: only these, 0: all; only for lists of names */
    size_t layer_count;
    tn_lora_list layer_patterns; /* the names before the layers' numbers; none: any              */
    bool without_vision;      /* the tower has no targets, whatever the patterns are */
    const tn_lora_pattern *rank_patterns, *alpha_patterns; /* exceptions; the first match counts */
    size_t rank_pattern_count, alpha_pattern_count;
} tn_lora_options;

/* Generations of the library that makes adapters use different names for modules. */
typedef enum tn_lora_names {
    TN_LORA_NAMES_BASE, /* those of the model's directory: tn_model_has_new_names          */
    TN_LORA_NAMES_OLD,  /* the backbone's own, "model.layers.0..."                         */
    TN_LORA_NAMES_NEW   /* those that it also reads, "model.language_model.layers.0..."    */
} tn_lora_names;

/* One matrix with its adapter. */
typedef struct tn_adapter_module {
    char *name;
    size_t rank, inputs, outputs;
    bool vision;              /* of the vision tower */
    double alpha, scale;
    tn_real *a, *b;           /* [rank, inputs], [outputs, rank]                    */
    tn_real *a_grad, *b_grad; /* same shapes; NULL unless trained (parameters.h)    */
    tn_real *magnitude;       /* [outputs] m / |W + scale B A| of each row; NULL: not DoRA */
    size_t parts;             /* weights of the model that share the rows of B      */
    struct tn_weight *slot;   /* the first of them                                  */
    struct tn_lora *loras;    /* [parts], to which the weights point                */
} tn_adapter_module;

typedef struct tn_adapter {
    tn_model *model;
    tn_adapter_module *modules;
    size_t module_count;
    double dropout, strength; /* strength: factor on all scales, 1 by default */
    bool rslora, attached;
    size_t rank;              /* of the configuration; modules may differ           */
    double alpha;
    size_t pass;              /* 0: always applies; otherwise only in sessions that are in this pass */
    char *targets;            /* JSON of "target_modules", as read or as requested  */
    struct tn_replacement *replacements; /* [replacement_count] weights with other values (lora_parts.h) */
    size_t replacement_count;
    tn_store *store;          /* memory of the replacements; may be NULL */
    char note[512];           /* a note for the user; "" if none                                       */
} tn_adapter;

/* A new adapter: A uniform in +-1/sqrt(inputs) (Kaiming with a = sqrt(5), as PEFT), B zero, so that the model's output
 * does not change. Not attached yet. *made is NULL on failure. Errors: ARGUMENT (settings; no module matches), UNSUPPORTED
 * (a target that is not a linear layer), MEMORY. */
tenebra_code tn_adapter_make(tn_model *model, const tn_lora_options *options, tn_rng *rng, tn_adapter **made, tenebra_error *error);

/* Reads a PEFT directory. `strength` multiplies the scale of every module (1: as trained); with magnitudes or replaced
 * tensors it must be 1. Every tensor of the file must match a module: one that does not, and an adapter without effect,
 * are errors that name it. The note lists parts without effect. *opened is NULL on failure. Errors: IO, FORMAT, MISMATCH,
 * UNSUPPORTED (other kinds of adapters, by name), ARGUMENT (strength), MEMORY. */
tenebra_code tn_adapter_open(tn_model *model, const char *directory, double strength, tn_adapter **opened, tenebra_error *error);

/* Reads the adapter in the model's own files, as a training program saves a model that PEFT has adapted (networks.adapted is not 0
 * then). Such files do not say alpha. Errors: MISMATCH, UNSUPPORTED, MEMORY. */
tenebra_code tn_adapter_open_inner(tn_model *model, double alpha, tn_adapter **opened, tenebra_error *error);

/* Compares a tokenizer in the adapter's directory, which PEFT saves if tokens were added, with the model's, which is
 * used: the note names tokens that differ. Does nothing if either has none. Errors: MISMATCH (more tokens than the
 * embedding has rows), MEMORY. */
tenebra_code tn_adapter_check_tokenizer(tn_adapter *adapter, const char *directory, tenebra_error *error);

/* Attach adds the adapter to its weights, in addition to adapters attached earlier; detach removes it. Only while no
 * session runs the model. */
void tn_adapter_attach(tn_adapter *adapter);
void tn_adapter_detach(tn_adapter *adapter);

/* Writes tensors and adapter_config.json in the form that PEFT loads; each file gets its name only when it is complete.
 * `base` (may be NULL) is the name of the base model to record. Errors: IO, UNSUPPORTED (magnitudes or replaced
 * tensors, from a file that was read), MEMORY. */
tenebra_code tn_adapter_write(const tn_adapter *adapter, const char *directory, const char *base, tn_lora_names names,
                              tenebra_error *error);

/* Updates the weights after a_grad, b_grad or the pass of the modules have changed (parameters.h calls it for the
 * gradients). */
void tn_adapter_refresh(tn_adapter *adapter);

/* For merging: adds strength * scale * B A of the module whose matrix is the tensor `name` to rows begin ..
 * begin+count-1 of it (values [count, inputs]), and multiplies them by the magnitudes, if any. False if the adapter
 * does not change that tensor. Threads: any. */
bool tn_adapter_merge(const tn_adapter *adapter, const char *name, size_t begin, size_t count, tn_real *values);

/* Detaches and frees everything. NULL is allowed. */
void tn_adapter_close(tn_adapter *adapter);

#endif
