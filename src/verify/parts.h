/* Shared by the parts of verify. */
#ifndef TN_VERIFY_PARTS_H
#define TN_VERIFY_PARTS_H

#include "verify/verify.h"

/* The bound, relative to the largest magnitude in the reference's tensor: sums in another order differ at most by this
 * (docs/golden.md, "Tolerance"). */
#define TN_VERIFY_BOUND 1e-4

/* The tensor `name` (printf), NULL if the case has none. Marks it as handled. */
const tn_stored *tn_verify_input(tn_verify *verify, const char *name, ...) TN_PRINTF(2, 3);
bool tn_verify_has(const tn_verify *verify, const char *name, ...) TN_PRINTF(2, 3);

/* `count` zeroed items of `size` bytes, which the caller frees; NULL and an entry in `failure` without memory. */
void *tn_verify_take(tn_verify *verify, size_t count, size_t size);

/* A size of the image encoder, by the name under which the cases' programs know it. */
size_t tn_verify_side(const tn_model *model, const char *name);

/* A stored u8 image [h, w, 3]; pixels are NULL if it is not one. Must be freed. */
tn_image tn_verify_image(tn_verify *verify, const tn_stored *stored);

/* The path of `name` in the directory of the case, which the caller frees; NULL and an entry in `failure` without
 * memory. */
char *tn_verify_beside(tn_verify *verify, const char *name);

/* Complete tensors; the caller frees them (NULL and an entry in `failure` if of another type). */
float *tn_verify_floats(tn_verify *verify, const tn_stored *stored);
int64_t *tn_verify_integers(tn_verify *verify, const tn_stored *stored);

/* Token ids: as tn_verify_integers, but negative ids and ids beyond 32 bits are a failure. */
int64_t *tn_verify_ids(tn_verify *verify, const tn_stored *stored);

/* True if the parts below compute the quantity `name`; and whether that requires a model. */
bool tn_verify_is_result(const char *name, bool *needs_model);

/* Compares with the tensor `name` if the case contains it. The bound for a single number is relative to itself or to 1,
 * whichever is larger, because it is computed from larger numbers. */
void tn_verify_compare(tn_verify *verify, const char *name, const tn_real *got, size_t count);
void tn_verify_compare_integers(tn_verify *verify, const char *name, const int64_t *got, size_t count);

/* The same for rows of channels, which the case may hold as a map [1, channels, height, width]. */
void tn_verify_compare_tensor(tn_verify *verify, const char *name, tn_tensor value);

/* The same with one bound for the absolute difference of all elements. Elements with `leave_out` set ([count], may be
 * NULL) are not compared; it is a failure if these are more than half. */
void tn_verify_compare_absolute(tn_verify *verify, const char *name, const tn_real *got, size_t count, double bound,
                                const bool *leave_out);

/* A row for a quantity of which `differing` elements are wrong. */
void tn_verify_count(tn_verify *verify, const char *name, size_t differing);

/* Records that `name` could not be computed, as a failed row. */
void tn_verify_fail(tn_verify *verify, const char *name);

/* The parts, each for the names that it knows. */
void tn_verify_preprocess(tn_verify *verify); /* bicubic.*, smart_resize.*, qwen_full.* */
void tn_verify_vision(tn_verify *verify);     /* image_u8, vision.*, vq.*, multi.*      */
void tn_verify_plain(tn_verify *verify);      /* plain.*, textonly.*                    */
void tn_verify_latent(tn_verify *verify);     /* ivtlr.*, eos.*                         */
void tn_verify_batch(tn_verify *verify);      /* batch2.*                               */
void tn_verify_train(tn_verify *verify);      /* stage*.*, seq.*                        */

/* ------------------------------------------ shared by the latent parts -- */

/* The image of the case; what its encoder gives is compared elsewhere. */
typedef struct tn_verify_picture {
    tn_image_rows rows;
    tn_prepared prepared; /* the input of the encoder, owned               */
    tn_real *embeds;      /* memory of those of `rows`, owned, or NULL ... */
    int32_t *ids;         /* ... if it is tokens; likewise owned           */
    size_t width, height;
} tn_verify_picture;

/* False if the case has none, or its encoder fails; *picture is then empty. */
bool tn_verify_open_picture(tn_verify *verify, tn_verify_picture *picture);
void tn_verify_close_picture(tn_verify_picture *picture);

/* Ids of the sequence of `steps` latents that the case calls ids.N<steps>.<part> ("gen", "train", "labels"), or whose end it
 * calls ids.N<steps>.<part>_tail. The caller frees them; NULL if the case has no such sequence. */
int64_t *tn_verify_sequence(tn_verify *verify, size_t steps, const char *part, size_t *count);

/* A training sequence: a prompt, latent tokens, text. */
typedef struct tn_verify_example {
    const int64_t *ids, *labels; /* [count] */
    size_t count, prompt, latents, picks;
} tn_verify_example;

/* The logits [V] after its last token, computed by answering: the loop of inference, then the text. */
bool tn_verify_last_logits(tn_verify *verify, const tn_verify_picture *picture, const tn_verify_example *example,
                           tn_real *logits);

/* Mean cross entropy of the labelled rows, and their logits. `labels` [count] as the case stores them, negative if
 * unlabelled; the row that predicts labels[i] is normed[i - 1]. */
double tn_verify_loss(tn_verify *verify, const tn_real *normed, const int64_t *labels, size_t count,
                      tn_real *label_logits, size_t *labelled);

/* One sample of a padded batch [width], computed by itself: its loss, and its number of labels. Its picks go to selected [at most
 * TN_VERIFY_STEPS of sample_stride values]. */
enum { TN_VERIFY_STEPS = 16 };
double tn_verify_sample(tn_verify *verify, const tn_verify_picture *picture, size_t picks, const int64_t *ids, const int64_t *mask,
                        const int64_t *labels, size_t width, int64_t latent, int64_t *selected, size_t sample_stride, size_t *labelled);

/* Compares the positions of a padded batch [samples, width] with the tensor `name`: 0, 1, 2, ... inside, 0 at pads. */
void tn_verify_positions(tn_verify *verify, const char *name, const int64_t *mask, size_t samples, size_t width);

#endif
