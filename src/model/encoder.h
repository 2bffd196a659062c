/* An image encoder: converts images to rows of input for the decoder. One file of model/encoders/ with its own struct,
 * tensor table and forward, built from shared pieces (model/pieces.h); a backbone names the one that it uses. */
#ifndef TN_MODEL_ENCODER_H
#define TN_MODEL_ENCODER_H

#include "base/json.h"
#include "model/layout.h"

/* Patches of one image: frames, rows, columns (before merging; h and w are multiples of the merge). */
typedef struct tn_grid {
    size_t t, h, w;
} tn_grid;

static inline size_t tn_grid_patches(tn_grid grid) { return grid.t * grid.h * grid.w; }

/* An encoder's part of config.json. Its forward reads `sizes` and `numbers`, which it numbers itself; other code reads
 * the rest. */
typedef struct tn_vision_config {
    size_t sizes[TN_LAYOUT_SIZES];
    double numbers[TN_LAYOUT_NUMBERS];
    size_t patch_values;       /* channels * temporal_patch_size * patch_size^2                      */
    size_t spatial_merge_size; /* merged cells are this many patches wide and high                   */
    size_t hidden_size;        /* size of its output rows: that of the decoder                       */
    size_t depth;              /* members of TN_ENCODER_BLOCK                                        */
    size_t embed_dim, num_heads, mlp_dim; /* name shown to users                                     */
} tn_vision_config;

/* The group of the blocks in every encoder's layout. */
enum { TN_ENCODER_BLOCK = 1 };

typedef struct tn_model_config tn_model_config;

typedef struct tn_image_encoder {
    const tn_layout *layout;
    const char *const *keys; /* known keys of its part of config.json, for tn_notes_unknown */

    /* Reads its part of config.json into config->vision and the sizes of patches; the decoder's part has already been
     * read. Errors: FORMAT, UNSUPPORTED. */
    tenebra_code (*read_config)(const json_t *part, const char *file, tn_model_config *config, tenebra_error *error);

    /* patches [sum t*h*w, patch_values], grouped by merged cell, of `count` images -> [J, hidden_size], one row per
     * merged cell; recordable. Observed: ("vision.patch_embed", 0, [N, E]), ("vision.block", i, output of block i). */
    tn_tensor (*encode)(tn_ops *ops, const tn_network *network, tn_tensor patches, const tn_grid *grids, size_t count);
} tn_image_encoder;

#endif
