/* Low-rank adapters: y = W x + scale * B (A dropout(x)) for chosen matrices, the rest stays frozen.
 *
 * An adapter belongs to one model, whose slots point to it while it is attached. Files are those of PEFT:
 * adapter_model.safetensors with adapter_config.json. Names of modules are those of the model's own tensors
 * without ".weight", e.g. "model.layers.0.self_attn.q_proj".
 * Source: arXiv:2106.09685; file layout and meaning of the settings: PEFT's documentation of LoraConfig. */
#ifndef TN_MODEL_LORA_H
#define TN_MODEL_LORA_H

#include "base/rng.h"
#include "model/model.h"

/* Which modules get which rank and scale, as in PEFT's LoraConfig. */
typedef struct tn_lora_pattern {
    const char *name; /* the end of a module's name from a '.' on, or a regular expression for that */
    double value;
} tn_lora_pattern;

typedef struct tn_lora_options {
    size_t rank;      /* r >= 1            */
    double alpha;     /* scale = alpha / r */
    double dropout;   /* 0 <= p < 1, of the input of A, while training */
    bool rslora;      /* scale = alpha / sqrt(r), arXiv:2312.03732 */
    /* Either a list of names (a module is meant by its whole name, or by an end of it that starts behind a
     * '.'), or one regular expression for whole names; "all-linear" means every linear layer but the head. */
    const char *const *targets;
    size_t target_count;
    const char *pattern;
    bool without_vision;      /* the tower is left alone whatever the targets say */
    const tn_lora_pattern *rank_patterns, *alpha_patterns; /* exceptions, the first that fits counts */
    size_t rank_pattern_count, alpha_pattern_count;
} tn_lora_options;

/* One matrix with its adapter. */
typedef struct tn_adapter_module {
    char *name;
    size_t rank, inputs, outputs;
    bool vision;              /* of the vision tower */
    double alpha, scale;
    tn_real *a, *b;           /* [rank, inputs], [outputs, rank]                    */
    tn_real *a_grad, *b_grad; /* same shapes; NULL unless trained (parameters.h)    */
    size_t parts;             /* slots of the model that share the rows of B        */
    struct tn_weight *slot;   /* the first of them                                  */
    struct tn_lora *loras;    /* [parts], what the slots point to                   */
} tn_adapter_module;

typedef struct tn_adapter {
    tn_model *model;
    tn_adapter_module *modules;
    size_t module_count;
    double dropout, strength; /* strength: factor on all scales, 1 unless asked for */
    bool rslora, attached;
    size_t rank;              /* of the configuration; modules may differ           */
    double alpha;
    size_t pass;              /* 0: counts always; else only in sessions that are in this pass */
    char *targets;            /* JSON of "target_modules", as read or as asked for  */
} tn_adapter;

/* A fresh adapter: A uniform in +-1/sqrt(inputs) (Kaiming with a = sqrt(5), as PEFT), B zero, so that the model
 * computes what it did. Not attached yet. Errors: ARGUMENT (settings; no module fits), UNSUPPORTED (a target that
 * is no linear layer), MEMORY. */
tn_adapter *tn_adapter_make(tn_model *model, const tn_lora_options *options, tn_rng *rng, tenebra_error *error);

/* Reads a PEFT directory. `strength` multiplies the scale of every module (1: as trained). Every tensor of the
 * file must find its place: one that does not, and an adapter without any module, are errors that name it.
 * Errors: IO, FORMAT, MISMATCH, UNSUPPORTED (kinds of adapters other than plain LoRA, by name), MEMORY. */
tn_adapter *tn_adapter_open(tn_model *model, const char *directory, double strength, tenebra_error *error);

/* Puts the adapter in front of its slots, on top of adapters attached earlier; takes it away. Only while no session
 * runs the model. */
void tn_adapter_attach(tn_adapter *adapter);
void tn_adapter_detach(tn_adapter *adapter);

/* Writes adapter_model.safetensors and adapter_config.json as PEFT loads them; each file appears only when it is
 * whole. `base` (may be NULL) is the name of the base model to write down. Errors: IO, MEMORY. */
tenebra_code tn_adapter_write(const tn_adapter *adapter, const char *directory, const char *base, tenebra_error *error);

/* Tells the slots where a_grad and b_grad of the modules are, and which pass, after they have changed (parameters.h does
 * it for the gradients). */
void tn_adapter_refresh(tn_adapter *adapter);

/* Adds strength * scale * B A of the module whose matrix is the tensor `name` to rows begin .. begin+count-1 of it
 * (values [count, inputs]), for merging. False when the adapter does not touch that tensor. Threads: any. */
bool tn_adapter_merge(const tn_adapter *adapter, const char *name, size_t begin, size_t count, tn_real *values);

/* Detaches and gives everything back. NULL is allowed. */
void tn_adapter_close(tn_adapter *adapter);

#endif
