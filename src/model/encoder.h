/* An image encoder: converts images to rows of input for the decoder. One file of model/encoders/ with its own struct,
 * tensor table, reader of the processor file and forward, built from shared pieces (model/pieces.h, model/picture.h); a backbone
 * names the one that it uses. Only the encoder knows what it reads from an image (patches, or pixels). */
#ifndef TN_MODEL_ENCODER_H
#define TN_MODEL_ENCODER_H

#include "base/json.h"
#include "base/notes.h"
#include "model/picture.h"

/* An encoder's part of config.json. The encoder defines the meaning of `sizes` and `numbers`. */
typedef struct tn_encoder_config {
    size_t sizes[TN_LAYOUT_SIZES];
    double numbers[TN_LAYOUT_NUMBERS];
    size_t deep;        /* number of tensors that are added after decoder layers, at most TN_DEEP_MAX */
    int32_t *ids;       /* [code_count] the token of each code, if images are tokens; owned, from malloc. The backbone, whose
                         * vocabulary it is, fills it in. These tokens are never generated */
    size_t code_count;  /* 0: images are vectors */
} tn_encoder_config;

/* The group of the blocks in the layout of an encoder with blocks. The forward of each block begins with tn_ops_proceed. */
enum { TN_ENCODER_BLOCK = 1 };

typedef struct tn_model_config tn_model_config;

/* A size with the name under which it is shown to users. */
typedef struct tn_size_name {
    const char *name; /* NULL at the end of a list */
    size_t size;
} tn_size_name;

/* The output of an encoder for several images, one after another. */
typedef struct tn_encoded {
    tn_tensor embeds;            /* [sum J, C]; without data if there are codes */
    const int32_t *codes;        /* [sum J] indices of tn_encoder_config.ids; -1 if numbers are not finite */
    tn_tensor deep[TN_DEEP_MAX]; /* [config.deep] of [sum J, C]                       */
} tn_encoded;

typedef struct tn_image_encoder {
    const tn_layout *layout;
    const char *const *keys; /* known keys of the encoder's part of config.json, for tn_notes_unknown */
    const tn_size_name *names;

    /* Reads the encoder's part of config.json into config->vision. The decoder's part has already been
     * read. Errors: FORMAT, UNSUPPORTED,
     * MEMORY. */
    tenebra_code (*read_config)(const json_t *part, const char *file, tn_model_config *config, tenebra_error *error);

    /* ------ the rule: how images are prepared; a struct that belongs to the encoder, zeroed and then filled from a processor
     * file */
    size_t rule_bytes;
    /* Reads the object of a processor file. Errors: FORMAT, UNSUPPORTED, MISMATCH (sizes that differ from those of the
     * configuration). */
    tenebra_code (*read_rule)(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error);
    /* Adds keys without effect to the notes, as members of `prefix` (NULL: none). */
    void (*note_rule)(const json_t *part, const char *file, const char *prefix, tn_notes *notes);
    bool (*same_rule)(const void *one, const void *other);
    /* The minimum and maximum number of pixels of an image after resizing. */
    void (*bounds)(const void *rule, size_t *least, size_t *most);
    /* Writes the members of a processor file into an object: the sizes of a configuration (if not NULL), and the bounds of a
     * rule (if not NULL) narrowed by the request. False without memory. NULL: such a file has no members that depend on them. */
    bool (*write_rule)(json_t *part, const tn_encoder_config *config, const void *rule, const tenebra_image_rule *asked);

    /* ------ from the size alone, without pixels */
    /* The size to which an image of width x height pixels is resized, by the rule and the request. Errors: ARGUMENT (also a
     * request that it cannot follow). */
    tenebra_code (*fit)(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *fit,
                        tenebra_error *error);
    /* The same for a part of a message with its own sizes: the size that the family's library chooses before `fit`. NULL: parts
     * cannot have sizes. Errors: ARGUMENT, LIMIT. */
    tenebra_code (*fit_part)(const void *rule, size_t width, size_t height, const tenebra_part *part, tn_fit *fit,
                             tenebra_error *error);
    /* The number of rows of a resized image. */
    tn_image_rows (*measure)(const void *rule, size_t width, size_t height);
    /* The approximate number of pixels that become one row. */
    size_t (*area)(const void *rule);

    /* ------ with the pixels of a resized image */
    /* Makes the encoder's input from an image. Errors: ARGUMENT (a size that `fit` never gives), MEMORY; *prepared is then
     * empty. */
    tenebra_code (*prepare)(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error);
    /* Encodes images; can be recorded. Watched values: ("vision.patch_embed", 0, input of the blocks), ("vision.block", i,
     * output of block i). On failure, ops->failure is set. */
    tn_encoded (*encode)(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count);
} tn_image_encoder;

/* The size of that name in the configuration; 0 if the encoder has none. */
size_t tn_encoder_size(const tn_image_encoder *encoder, const tn_encoder_config *config, const char *name);

#endif
