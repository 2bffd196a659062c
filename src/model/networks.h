/* The networks of one model: the decoder, the image encoder, a method's module. */
#ifndef TN_MODEL_NETWORKS_H
#define TN_MODEL_NETWORKS_H

#include "model/backbone.h"
#include "model/wrapped.h"

enum { TN_NETWORKS_MAX = 3 };

typedef struct tn_networks {
    const tn_backbone *backbone;
    tn_network *list[TN_NETWORKS_MAX]; /* [count] */
    size_t count;
    bool tied;                         /* the head is the embedding: files may lack it; after matching, whether they do */
    bool renamed;                      /* after matching: the files use the first of the other names             */
    tn_wrapping wrapping;              /* after matching: words before all names in the files                    */
    size_t adapted;                    /* after matching: tensors of a low-rank adapter in the files (lora.h)    */
} tn_networks;

/* Fills the sizes of a decoder's layout. */
void tn_decoder_sizes(const tn_decoder_config *config, size_t sizes[TN_LAYOUT_SIZES]);

/* Makes decoder and image encoder with empty slots, as the backbone and the configuration, which must outlive them, describe
 * them. The caller provides the decoder's struct. Errors: MEMORY; they must also be closed then. */
tenebra_code tn_networks_open(tn_networks *networks, const tn_backbone *backbone, const tn_model_config *config, tn_decoder *decoder,
                              tenebra_error *error);
void tn_networks_close(tn_networks *networks);

/* Adds a network with empty slots; sizes [TN_LAYOUT_SIZES], numbers [TN_LAYOUT_NUMBERS]. Errors: MEMORY. */
tenebra_code tn_networks_add(tn_networks *networks, const tn_layout *layout, const size_t *sizes, const double *numbers,
                             tenebra_error *error);

/* The network of a kind, or NULL. */
tn_network *tn_networks_find(const tn_networks *networks, tn_network_kind kind);

/* tn_image_encoder.encode of the encoder among them. */
tn_encoded tn_networks_encode(tn_ops *ops, const tn_networks *networks, const tn_prepared *const *pictures, size_t count);

/* tn_network_each of all networks. */
tenebra_code tn_networks_each(const tn_networks *networks, tn_place_fn *visit, void *user, tenebra_error *error);

/* ------------------------------------------------- how tensors fit ---- */

/* "[128]" of a vector (cols == 1), else "[64, 128]", or "[vocab_size, 128]" if the number of rows is not known (0). Returns text. */
enum { TN_SHAPE_TEXT = 48 };
const char *tn_shape_print(size_t rows, size_t cols, char text[TN_SHAPE_TEXT]);

typedef enum tn_match {
    TN_MATCHED,
    TN_MISSING,
    TN_UNEXPECTED,
    TN_MISSHAPEN,
    TN_ADAPTER_PART, /* of a low-rank adapter, which is read after the model (lora.h)            */
    TN_SECOND,       /* a second name of a tensor, or the original of one that was trained anew  */
    TN_MATCH_COUNT
} tn_match;

/* Whether a tensor does not fit. */
static inline bool tn_match_fails(tn_match match) { return match != TN_MATCHED && match != TN_ADAPTER_PART && match != TN_SECOND; }

/* One line of the report: `name` as expected, or, for a tensor that is not part of a network, as stored; `stored` may be NULL. */
typedef void tn_match_fn(void *user, tn_match match, const char *name, const tn_stored *stored,
                         size_t rows, size_t cols);

/* Keeps the first tensor that does not match as an error, MISMATCH. user: a tenebra_error without a code. */
void tn_match_keep_first(void *user, tn_match match, const char *name, const tn_stored *stored, size_t rows, size_t cols);

/* Points the slots of the networks to the tensors of `store`, which must outlive them, and calls `each` for every tensor.
 * *mismatches is set to the number of tensors that do not match. Errors: MEMORY. */
tenebra_code tn_networks_match(tn_networks *networks, const tn_store *store, tn_match_fn *each, void *user, size_t *mismatches,
                               tenebra_error *error);

/* Notes what the tensors decide otherwise than config.json, after matching: a head in the files counts, even if it says that there
 * is none. */
void tn_networks_note(const tn_networks *networks, const tn_model_config *config, tn_notes *notes);

/* The stored tensor of the place, under any of its names; NULL if there is none. *which (may be NULL): the number of that name. */
const tn_stored *tn_place_stored(const tn_networks *networks, const tn_place *place, const tn_store *store, size_t *which);

/* tn_layout_rename in all networks. */
bool tn_networks_rename(const tn_networks *networks, const char *name, size_t length, size_t to, char other[TN_PLACE_NAME],
                        size_t *from);

#endif
