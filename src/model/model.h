/* A model: configuration, mapped weights, tokenizer, and how images are prepared. It is read-only once it is open, so any
 * number of sessions in any number of threads may share it. */
#ifndef TN_MODEL_MODEL_H
#define TN_MODEL_MODEL_H

#include "base/file.h"
#include "base/notes.h"
#include "model/networks.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct tenebra_model tn_model;

enum { TN_MODEL_UNUSED = TN_NOTES_TEXT + 64 /* bytes of tn_model_say_unused */ };
enum { TN_MODEL_JSON_LIMIT = 16 << 20 /* maximum bytes of a JSON file of a model directory, except the tokenizer's */ };

struct tenebra_model {
    const tn_backbone *backbone;
    const tn_kernels *kernels;
    tn_model_config config;
    tn_decoder decoder;
    tn_networks networks;                /* the decoder and others */
    tn_store *store;
    tn_tokenizer *tokenizer;             /* NULL: the directory has none */
    const tn_chat_template *chat_template;
    void *rule;                          /* how images are prepared: backbone->encoder->rule_bytes bytes; owned */
    bool trims_frames;                   /* a plain frame is first removed from images (image/frame.h)         */
    char *directory, *weights; /* of everything but the weights; of the weights, also a file */
    tn_notes notes;                      /* settings in its files that are not used */
    char note[TN_MODEL_UNUSED + 1024];   /* the same and the adapters' notes as a sentence, or "" */
    tn_store *module_store; /* tensors of a method's module (model/module.h); NULL: there is none, or it is new */
    char *module_method;    /* the method that the module belongs to; NULL: there is none */
    struct tn_adapter **adapters; /* [adapter_count] those of the options, attached */
    size_t adapter_count;
    struct tn_adapter *inner;     /* the one in the weights' files, attached; NULL: there is none */
    struct tn_trained *trained; /* how the weights were trained (reason/trained.h); only in public handles, else NULL */
};

typedef struct tn_model_options {
    const char *kernels;       /* name of a kernel set; NULL or "": the best        */
    const char *chat_template; /* name; NULL: from the directory                    */
    const tenebra_adapter *adapters; /* [adapter_count] adapters to attach (model/lora.h) */
    size_t adapter_count;
    const char *base;          /* directory of everything but the weights; NULL: see tn_model_find */
    double lora_alpha;         /* alpha of the adapter in the weights' files; 0: that of the program that wrote them, if known */
    bool no_text;              /* do not read tokenizer and chat template, because prompts are token ids */
} tn_model_options;

/* Writes a sentence about settings in the model's files that are not used, or "". Returns text. */
const char *tn_model_say_unused(const tn_notes *notes, char text[TN_MODEL_UNUSED]);

/* The directory of the model called `path`: `path` itself, or the snapshot that refs/main names if it is a model's directory in the
 * cache of the Hugging Face hub. Errors: IO (with advice). */
tenebra_code tn_model_locate(const char *path, tn_path *found, tenebra_error *error);

/* Where the files of a model are. */
typedef struct tn_model_files {
    tn_path directory; /* configuration, tokenizer, preparation of images, templates */
    tn_path weights;   /* a directory, or a file */
} tn_model_files;

/* Finds the files of the model called `path`. With `base`, a directory, `path` has only the weights. Without it (NULL), `path` is a
 * directory, or a file of tensors in one. Both may be what tn_model_locate finds. Errors: IO (with advice). */
tenebra_code tn_model_find(const char *path, const char *base, tn_model_files *files, tenebra_error *error);

/* Fails with IO: there is no such directory, or it has no config.json. The sentence says how to get a model of that name, or what the
 * directory is. */
tenebra_code tn_model_missing(const char *path, tenebra_error *error);

/* Opens a Hugging Face model directory, or what tn_model_find finds otherwise. Weights are mapped, not read. Any missing, spare or
 * misshapen tensor is an error that names it. The tokenizer may be absent. options may be NULL. *opened is NULL on failure.
 * Errors: IO, FORMAT, MISMATCH, UNSUPPORTED, LIMIT, MEMORY. */
tenebra_code tn_model_open(const char *path, const tn_model_options *options, tn_model **opened, tenebra_error *error);
void tn_model_close(tn_model *model);

/* Checks that the mapped files are unchanged since they were opened (tn_store_check). Threads: any. */
tenebra_code tn_model_check(const tn_model *model, tenebra_error *error);

/* Whether the directory was written by a version of the library that uses the first of the other names in memory: its tensors
 * have these names, or config.json names such a version. Threads: any. */
bool tn_model_has_new_names(const tn_model *model);

/* The object of config.json, which the caller owns. If there is no such file, it comes from the files of `store` (may be NULL).
 * Errors: IO, FORMAT, LIMIT, MEMORY. */
tenebra_code tn_model_config_json(const char *directory, const tn_store *store, json_t **json, tenebra_error *error);

/* Reads only the configuration: tn_model_config_json and generation_config.json. Unused keys are added to `notes`, which may be
 * NULL. Errors: IO, FORMAT, UNSUPPORTED (unknown model_type, weights quantised by another program). */
tenebra_code tn_model_read_config(const char *directory, const tn_store *store, const tn_backbone **backbone,
                                  tn_model_config *config, tn_notes *notes, tenebra_error *error);

/* Opens the weights at `weights`, a directory or a file, and reads the configuration from config.json in `directory` or from the
 * weights' files. *store (NULL before) must also be closed after a failure. Errors: as tn_store_open and tn_model_read_config. */
tenebra_code tn_model_open_store(const char *directory, const char *weights, tn_store **store, const tn_backbone **backbone,
                                 tn_model_config *config, tn_notes *notes, tenebra_error *error);

/* Reads how images are prepared: the object "image_processor" of processor_config.json (transformers 5), else
 * preprocessor_config.json, else the backbone's default. *rule (NULL before) is the encoder's rule (rule_bytes) and must also
 * be freed after a failure. *trims: the file has "trim_frame", tenebra's own key. Errors: as read_rule of the encoder, IO,
 * MEMORY. */
tenebra_code tn_model_read_processor(const char *directory, const tn_backbone *backbone, const tn_model_config *config, void **rule,
                                     bool *trims, tn_notes *notes, tenebra_error *error);

/* If images are seen in one size, whatever their own is: their number of rows, and in *fit how a square one is seen. Else 0. */
size_t tn_model_rows_of_all(const tn_backbone *backbone, const void *rule, tn_fit *fit);

/* ------------------------------------------------- memory, one number -- */

/* The number of rows of a resized image of width x height pixels. */
static inline tn_image_rows tn_model_measure(const tn_model *model, size_t width, size_t height)
{
    return model->backbone->encoder->measure(model->rule, width, height);
}

/* Logical rows of the vocabulary: of the embedding, and of the head (at most as many). */
static inline size_t tn_model_vocabulary(const tn_model *model) { return model->decoder.embed.matrix.rows; }

#endif
