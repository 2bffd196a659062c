/* A backbone: what is particular to one family of models, in one file of model/backbones/.
 *
 * It reads config.json into sizes and flags, lists the tensors with their names and shapes, names its image encoder, and knows
 * the positions of a prompt with images. Networks, loading and the session are shared. The list of
 * backbones is made by the build from the files present (cmake/registry.cmake). */
#ifndef TN_MODEL_BACKBONE_H
#define TN_MODEL_BACKBONE_H

#include "base/json.h"
#include "model/encoder.h"
#include "model/network.h"
#include "text/tokenizer.h"

typedef struct tn_row tn_row; /* model/row.h */

struct tn_model_config {
    tn_decoder_config decoder;
    tn_encoder_config vision;
    bool tie_word_embeddings;
    size_t vocab_size;             /* as in config.json; the tensors decide */
    /* Token ids, -1: none. If a prompt is a list of ids, the first one marks each row of an image; the others are before and
     * after images. */
    int32_t picture_token, picture_begin, picture_end;
    size_t transformers[2];        /* version of the library that wrote config.json: major, minor; 0, 0: unknown */
    int32_t eos_tokens[8];
    size_t eos_count;
};

enum { TN_CODE_NAME = 32 };

typedef struct tn_backbone {
    const char *name;
    const char *const *model_types;  /* values of "model_type", NULL-terminated   */
    const char *chat_template;       /* used if the directory has no template      */
    size_t renamed_since[2];         /* since this version, the library uses the first of the other names in memory */
    const tn_layout *decoder;        /* tensors of the decoder                     */
    const tn_image_encoder *encoder;
    const char *encoder_part;        /* key of the encoder's part of config.json    */
    const char *preprocessor;        /* JSON that is used if the directory has no processor file */
    const char *processor_class;     /* in transformers, if that class has to know the number of rows of an image; else NULL */
    const char *picture_keys[3];     /* where config.json has the tokens of tn_model_config.picture_token etc., for messages */
    /* Known keys of config.json, of its text part and of its vision part, in the form of tn_notes_unknown. */
    const char *const *top_keys, *const *text_keys;

    /* Fills *config from config.json and checks everything. Must be freed with tn_model_config_free, also after a
     * failure. Errors: FORMAT,
     * UNSUPPORTED, MEMORY. */
    tenebra_code (*read_config)(const json_t *json, const char *file, tn_model_config *config,
                                tenebra_error *error);

    /* Adds to the configuration of a shape (model/random.h) what depends on the tokens of its vocabulary, and grows "vocab_size" if
     * necessary. tokenizer: that of `directory`; NULL if the model gets none. NULL: nothing does. Errors: MISMATCH (the tokenizer
     * lacks a token), MEMORY. */
    tenebra_code (*set_vocabulary)(json_t *config, const tn_tokenizer *tokenizer, const char *directory, tenebra_error *error);

    /* The name that a tokenizer has for the token of a code, if images are tokens; else NULL. */
    void (*name_code)(size_t code, char name[TN_CODE_NAME]);

    /* Sets the position of each of `count` rows of a prompt, which are tokens and complete images, starting at `first`. Returns
     * the position that follows. */
    int32_t (*positions)(tn_row *rows, size_t count, int32_t first);
} tn_backbone;

/* Frees what a configuration owns. A zeroed one may be freed. */
void tn_model_config_free(tn_model_config *config);

/* All backbones, NULL-terminated. */
extern const tn_backbone *const tn_backbones[];

/* Keys of config.json that any part may have: those of transformers' PretrainedConfig that change no answer, and those that are
 * read for every backbone. */
extern const char *const tn_config_keys[];

/* The backbone that reads this "model_type" of config.json, or NULL. Threads: any. */
const tn_backbone *tn_backbone_find(const char *model_type);

#endif
