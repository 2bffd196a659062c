/* An image encoder: converts images to rows of input for the decoder. One file of model/encoders/ with its own struct,
 * tensor table, reader of the processor file and forward, built from shared pieces (model/pieces.h, model/picture.h); a backbone
 * names the one that it uses. Nothing else knows what it reads of a picture. */
#ifndef TN_MODEL_ENCODER_H
#define TN_MODEL_ENCODER_H

#include "base/json.h"
#include "base/notes.h"
#include "model/picture.h"

/* An encoder's part of config.json. It numbers `sizes` and `numbers` itself. */
typedef struct tn_encoder_config {
    size_t sizes[TN_LAYOUT_SIZES];
    double numbers[TN_LAYOUT_NUMBERS];
    size_t deep;        /* tensors that it gives for rows after decoder layers, at most TN_DEEP_MAX */
    int32_t *ids;       /* [code_count] the token of each of its codes, where pictures are tokens; owned, malloc. These tokens
                         * are never generated */
    size_t code_count;  /* 0: pictures are vectors */
} tn_encoder_config;

/* The group of the blocks in every encoder's layout that has blocks; each begins with tn_ops_proceed. */
enum { TN_ENCODER_BLOCK = 1 };

typedef struct tn_model_config tn_model_config;

/* A size with the name that people are shown. */
typedef struct tn_size_name {
    const char *name; /* NULL ends a list */
    size_t size;
} tn_size_name;

/* What an encoder computed of several pictures, one after another. */
typedef struct tn_encoded {
    tn_tensor embeds;            /* [sum J, C], or without data where codes are given */
    const int32_t *codes;        /* [sum J] places in tn_encoder_config.ids           */
    tn_tensor deep[TN_DEEP_MAX]; /* [config.deep] of [sum J, C]                       */
} tn_encoded;

typedef struct tn_image_encoder {
    const tn_layout *layout;
    const char *const *keys; /* known keys of its part of config.json, for tn_notes_unknown */
    const tn_size_name *names;

    /* Reads its part of config.json into config->vision; the decoder's part has already been read. Errors: FORMAT, UNSUPPORTED,
     * MEMORY. */
    tenebra_code (*read_config)(const json_t *part, const char *file, tn_model_config *config, tenebra_error *error);

    /* ------ its rule: how pictures are prepared, a struct of its own that a processor file fills; zeroed before */
    size_t rule_bytes;
    /* Errors: FORMAT, UNSUPPORTED, MISMATCH (sizes that differ from the configuration's). */
    tenebra_code (*read_rule)(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error);
    /* Adds keys without effect to the notes, as members of `prefix` (NULL: none). */
    void (*note_rule)(const json_t *part, const char *file, const char *prefix, tn_notes *notes);
    bool (*same_rule)(const void *one, const void *other);
    /* Least and greatest number of pixels of a picture as it is shown. */
    void (*bounds)(const void *rule, size_t *least, size_t *most);
    /* Puts into a processor's object what such a file has to say: the sizes of a configuration (not NULL), the bounds of a rule (not
     * NULL) narrowed by what was asked for. False without memory. NULL: nothing depends on them. */
    bool (*write_rule)(json_t *part, const tn_encoder_config *config, const void *rule, const tenebra_image_rule *asked);

    /* ------ from the size alone, without pixels */
    /* The size in which a picture of width x height pixels is shown, by the rule and what is asked for. Errors: ARGUMENT. */
    tenebra_code (*fit)(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *fit,
                        tenebra_error *error);
    /* The same for a part of a message that names sizes of its own: what the family's library makes of the picture before `fit`.
     * NULL: parts cannot name sizes. Errors: ARGUMENT, LIMIT. */
    tenebra_code (*fit_part)(const void *rule, size_t width, size_t height, const tenebra_part *part, tn_fit *fit,
                             tenebra_error *error);
    /* The rows of a picture in a size in which it is shown. */
    tn_image_rows (*measure)(const void *rule, size_t width, size_t height);
    /* The pixels that become one row, about. */
    size_t (*area)(const void *rule);

    /* ------ with pixels, in a size in which they are shown */
    /* Errors: ARGUMENT (a size in which none is shown), MEMORY; *prepared is empty then. */
    tenebra_code (*prepare)(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error);
    /* Recordable. Observed: ("vision.patch_embed", 0, what enters the blocks), ("vision.block", i, output of block i). On failure
     * ops->failure is set. */
    tn_encoded (*encode)(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count);
} tn_image_encoder;

/* The size of that name in the configuration; 0 if the encoder has none. */
size_t tn_encoder_size(const tn_image_encoder *encoder, const tn_encoder_config *config, const char *name);

#endif
