/* A model: configuration, mapped weights, tokenizer, and how it prepares pictures. Read-only once
 * open, so any number of sessions in any number of threads may share it. */
#ifndef TN_MODEL_MODEL_H
#define TN_MODEL_MODEL_H

#include "base/notes.h"
#include "model/networks.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct tenebra_model tn_model;

enum { TN_MODEL_UNUSED = TN_NOTES_TEXT + 64 /* bytes of tn_model_say_unused */ };
enum { TN_MODEL_JSON_LIMIT = 16 << 20 /* bytes of a JSON file of a model directory, the tokenizer's aside */ };

struct tenebra_model {
    const tn_backbone *backbone;
    const tn_kernels *kernels;
    tn_model_config config;
    tn_decoder decoder;
    tn_networks networks;                /* the decoder and others */
    tn_store *store;
    tn_tokenizer *tokenizer;             /* NULL: the directory has none */
    const tn_chat_template *chat_template;
    void *rule;                          /* how pictures are prepared: of backbone->encoder->rule_bytes; owned */
    bool trims_frames;                   /* a plain frame is taken away from pictures first (image/frame.h)    */
    char *directory;
    tn_notes notes;                      /* what its files say and nothing here uses */
    char note[TN_MODEL_UNUSED + 1024];   /* the same and the adapters' notes as a sentence, or "" */
    tn_store *module_store; /* of a method's module (model/module.h); NULL: it has none, or is new */
    char *module_method;    /* whose module it is; NULL: there is none */
    struct tn_adapter **adapters; /* [adapter_count] those of the options, attached */
    size_t adapter_count;
    struct tn_trained *trained; /* how its weights were trained to be asked (reason/trained.h); only in public handles, else NULL */
};

typedef struct tn_model_options {
    const char *kernels;       /* name of a kernel set; NULL or "": the best        */
    const char *chat_template; /* name; NULL: from the directory                    */
    const tenebra_adapter *adapters; /* [adapter_count] put on the weights (model/lora.h) */
    size_t adapter_count;
    bool no_text;              /* leave tokenizer and chat template alone: token ids are all that is asked */
} tn_model_options;

/* What the files of a model say and nothing here uses, as a sentence; "" where there is nothing. Returns text. */
const char *tn_model_say_unused(const tn_notes *notes, char text[TN_MODEL_UNUSED]);

/* The directory that holds the model called `path`, in fresh memory: itself, or the snapshot that refs/main names where it
 * is a model's directory in the cache of the Hugging Face hub. NULL on failure. Errors: IO (what to do), MEMORY. */
char *tn_model_locate(const char *path, tenebra_error *error);

/* Fails with IO: there is no such directory, and how a model of that name is got. */
tenebra_code tn_model_missing(const char *path, tenebra_error *error);

/* Opens a Hugging Face model directory, or one that tn_model_locate finds. Weights are mapped, not read. Any missing, spare or
 * misshapen tensor is an error that names it. The tokenizer may be absent. options may be NULL.
 * Errors: IO, FORMAT, MISMATCH, UNSUPPORTED, LIMIT, MEMORY. */
tn_model *tn_model_open(const char *directory, const tn_model_options *options, tenebra_error *error);
void tn_model_close(tn_model *model);

/* Whether the files that weights are read from are still those that were opened: tn_store_check. Threads: any. */
tenebra_code tn_model_check(const tn_model *model, tenebra_error *error);

/* Whether the directory is of a generation of the library that uses the first of the other names in memory: its
 * tensors are called so, or its config.json was written by a version since when that is so. Threads: any. */
bool tn_model_has_new_names(const tn_model *model);

/* The object of config.json in fresh memory; where there is none, what the files of `store` (may be NULL) say instead.
 * Errors: IO, FORMAT, LIMIT, MEMORY. */
tenebra_code tn_model_config_json(const char *directory, const tn_store *store, json_t **json, tenebra_error *error);

/* Reads the configuration alone: that of tn_model_config_json, and generation_config.json. Keys without use go to `notes`, which may
 * be NULL. Errors: IO, FORMAT, UNSUPPORTED (unknown model_type, weights quantised by another program). */
tenebra_code tn_model_read_config(const char *directory, const tn_store *store, const tn_backbone **backbone,
                                  tn_model_config *config, tn_notes *notes, tenebra_error *error);

/* Opens the weights in a directory and reads the configuration, of whichever of them says it. *store, NULL before, is to be closed
 * also on failure. Errors: as tn_store_open and tn_model_read_config. */
tenebra_code tn_model_open_store(const char *directory, tn_store **store, const tn_backbone **backbone, tn_model_config *config,
                                 tn_notes *notes, tenebra_error *error);

/* Reads how pictures are prepared: the object "image_processor" of processor_config.json, as transformers 5 writes it, else
 * preprocessor_config.json, else what the backbone says. *rule, NULL before, is the encoder's (rule_bytes), to be freed also on failure;
 * *trims: the file has "trim_frame", tenebra's own key. Errors: as read_rule of the encoder, IO, MEMORY. */
tenebra_code tn_model_read_processor(const char *directory, const tn_backbone *backbone, const tn_model_config *config, void **rule,
                                     bool *trims, tn_notes *notes, tenebra_error *error);

/* ------------------------------------------------- memory, one number -- */

/* The rows of a picture in a size in which it is shown; pixels. */
static inline tn_image_rows tn_model_measure(const tn_model *model, size_t width, size_t height)
{
    return model->backbone->encoder->measure(model->rule, width, height);
}

/* Logical rows of the vocabulary: of the embedding, and of the head (at most as many). */
static inline size_t tn_model_vocabulary(const tn_model *model) { return model->decoder.embed.matrix.rows; }

#endif
