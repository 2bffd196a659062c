/* Reconstruction from thoughts: a small transformer predicts what the model sees from the vectors that a method feeds back, and from
 * nothing else. Trained with a method's other losses, it makes the vectors keep what is in the image; run after an answer, it shows what
 * they keep. Our reading of arXiv:2511.02360 (docs/methods.md); no code is published.
 *
 * The target x_0 is a grid of cells: pieces of a small RGB picture, or pooled image embeddings. Either the network predicts the noise in a
 * noised target (diffusion.h), or, as a regression, the target itself.
 *
 *     x = W_in x_t + position (+ MLP(t))                  one row per cell; a regression starts from the position alone
 *     per block: x += self-attention(LN x);  x += cross-attention(LN x; LN(W_c Z));  x += MLP(LN x)
 *     prediction = W_out LN x                             W_out starts at zero
 *
 * It can be part of any method's module: the module's struct has a tn_denoiser_parts, its layout the rows and groups below, and its
 * sizes, from some number on, those of tn_denoiser_size. */
#ifndef TN_REASON_DENOISE_H
#define TN_REASON_DENOISE_H

#include "model/layout.h"
#include "model/picture.h"
#include "reason/diffusion.h"

typedef struct tn_denoiser_norm {
    tn_vector scale, shift;
} tn_denoiser_norm;

typedef struct tn_denoiser_attention {
    tn_weight q, k, v, o;
} tn_denoiser_attention;

typedef struct tn_denoiser_block {
    tn_denoiser_norm before_self, before_cross, before_mlp;
    tn_denoiser_attention self, cross;
    tn_weight up, down;
    tn_vector up_bias, down_bias;
} tn_denoiser_block;

/* What a regression lacks: the noised target and its step as input. */
typedef struct tn_denoiser_noised {
    tn_weight in, up, down;
    tn_vector in_bias, up_bias, down_bias;
} tn_denoiser_noised;

typedef struct tn_denoiser_frame {
    tn_vector mean, deviation; /* [CHANNELS] of targets; a deviation of 0: not measured yet. No gradient reaches them, so training keeps
                                * them */
    tn_weight rows, columns;   /* [GRID, WIDTH] position of a cell */
    tn_weight from_thought;    /* [WIDTH, C] W_c                   */
    tn_denoiser_norm thought, last;
    tn_weight out;             /* [VALUES, WIDTH]                  */
    tn_vector out_bias;
} tn_denoiser_frame;

typedef struct tn_denoiser_parts {
    tn_denoiser_frame *frame;   /* one, or none */
    tn_denoiser_noised *noised; /* one, or none */
    tn_denoiser_block *blocks;
} tn_denoiser_parts;

/* Sizes, in this order, from the number on that the module gives to the first. */
enum tn_denoiser_size {
    TN_DENOISER_PRESENT,  /* 1, or 0: the module has none, and all of these are 0      */
    TN_DENOISER_NOISED,   /* 1: it predicts noise; 0: a regression                     */
    TN_DENOISER_LAYERS,
    TN_DENOISER_WIDTH,
    TN_DENOISER_INNER,    /* of its MLPs                                               */
    TN_DENOISER_HEADS,
    TN_DENOISER_GRID,     /* rows and columns of cells; images of fewer have fewer      */
    TN_DENOISER_VALUES,   /* of a cell                                                 */
    TN_DENOISER_CHANNELS, /* with a mean of their own: 3 colours, or C                 */
    TN_DENOISER_SIDE,     /* of the RGB picture; 0: image embeddings                   */
    TN_DENOISER_SIZES
};

/* Layout groups number g, g + 1 and g + 2 of a module, whose struct has `tn_denoiser_parts denoiser`. */
#define TN_DENOISER_GROUPS(g, module_, first)                                                                                              \
    [g] = { offsetof(module_, denoiser.frame), sizeof(tn_denoiser_frame), (first) + TN_DENOISER_PRESENT, 0, NULL },                        \
    [(g) + 1] = { offsetof(module_, denoiser.noised), sizeof(tn_denoiser_noised), (first) + TN_DENOISER_NOISED, 0, NULL },                 \
    [(g) + 2] = { offsetof(module_, denoiser.blocks), sizeof(tn_denoiser_block), (first) + TN_DENOISER_LAYERS, 0, NULL }

enum { TN_DENOISER_GROUP_COUNT = 3 };

/* Members follow a dot, so they are without parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define TN_DENOISER_PART(part_, group_, name_, role_, member, ...)                                                                         \
    .name = "module.denoiser." name_, TN_LAYOUT_ROW(role_, group_, offsetof(part_, member), 1, __VA_ARGS__)
#define TN_DENOISER_NORM(part_, g, name, member, f)                                                                                        \
    { TN_DENOISER_PART(part_, g, name ".weight", SCALE, member.scale, (f) + TN_DENOISER_WIDTH) },                                          \
    { TN_DENOISER_PART(part_, g, name ".bias", SHIFT, member.shift, (f) + TN_DENOISER_WIDTH) }
#define TN_DENOISER_SQUARE(g, name, member, f)                                                                                             \
    TN_DENOISER_PART(tn_denoiser_block, g, name ".weight", LINEAR, member, (f) + TN_DENOISER_WIDTH, (f) + TN_DENOISER_WIDTH)
#define TN_DENOISER_ATTENTION(g, name, member, f)                                                                                          \
    { TN_DENOISER_SQUARE(g, name ".q_proj", member.q, f) },                                                                                \
    { TN_DENOISER_SQUARE(g, name ".k_proj", member.k, f) },                                                                                \
    { TN_DENOISER_SQUARE(g, name ".v_proj", member.v, f), .reads = TN_READS_SAME },                                                        \
    { TN_DENOISER_SQUARE(g, name ".o_proj", member.o, f), .reads = TN_READS_ATTENTION, .residual = true }
/* NOLINTEND(bugprone-macro-parentheses) */

/* Its rows in the layout of a module: groups from g on, sizes from f on, hidden_: the size of the decoder's rows. */
#define TN_DENOISER_ROWS(g, f, hidden_)                                                                                                    \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "mean", SHIFT, mean, (f) + TN_DENOISER_CHANNELS) },                                           \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "deviation", SCALE, deviation, (f) + TN_DENOISER_CHANNELS) },                                 \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "rows.weight", PATCHES, rows, (f) + TN_DENOISER_GRID, (f) + TN_DENOISER_WIDTH) },             \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "columns.weight", PATCHES, columns, (f) + TN_DENOISER_GRID, (f) + TN_DENOISER_WIDTH) },       \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "thought.weight", LINEAR, from_thought, (f) + TN_DENOISER_WIDTH, hidden_) },                  \
    TN_DENOISER_NORM(tn_denoiser_frame, g, "thought_norm", thought, f),                                                                    \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "in.weight", LINEAR, in, (f) + TN_DENOISER_WIDTH, (f) + TN_DENOISER_VALUES) },         \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "in.bias", BIAS, in_bias, (f) + TN_DENOISER_WIDTH) },                                  \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "time.up.weight", LINEAR, up, (f) + TN_DENOISER_WIDTH, (f) + TN_DENOISER_WIDTH) },     \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "time.up.bias", BIAS, up_bias, (f) + TN_DENOISER_WIDTH) },                             \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "time.down.weight", LINEAR, down, (f) + TN_DENOISER_WIDTH,                             \
                       (f) + TN_DENOISER_WIDTH) },                                                                                         \
    { TN_DENOISER_PART(tn_denoiser_noised, (g) + 1, "time.down.bias", BIAS, down_bias, (f) + TN_DENOISER_WIDTH) },                         \
    TN_DENOISER_NORM(tn_denoiser_block, (g) + 2, "blocks.%zu.self_norm", before_self, f),                                                  \
    TN_DENOISER_ATTENTION((g) + 2, "blocks.%zu.self_attn", self, f),                                                                       \
    TN_DENOISER_NORM(tn_denoiser_block, (g) + 2, "blocks.%zu.cross_norm", before_cross, f),                                                \
    TN_DENOISER_ATTENTION((g) + 2, "blocks.%zu.cross_attn", cross, f),                                                                     \
    TN_DENOISER_NORM(tn_denoiser_block, (g) + 2, "blocks.%zu.mlp_norm", before_mlp, f),                                                    \
    { TN_DENOISER_PART(tn_denoiser_block, (g) + 2, "blocks.%zu.mlp.up.weight", LINEAR, up, (f) + TN_DENOISER_INNER,                        \
                       (f) + TN_DENOISER_WIDTH) },                                                                                         \
    { TN_DENOISER_PART(tn_denoiser_block, (g) + 2, "blocks.%zu.mlp.up.bias", BIAS, up_bias, (f) + TN_DENOISER_INNER) },                    \
    { TN_DENOISER_PART(tn_denoiser_block, (g) + 2, "blocks.%zu.mlp.down.weight", LINEAR, down, (f) + TN_DENOISER_WIDTH,                    \
                       (f) + TN_DENOISER_INNER), .residual = true },                                                                       \
    { TN_DENOISER_PART(tn_denoiser_block, (g) + 2, "blocks.%zu.mlp.down.bias", BIAS, down_bias, (f) + TN_DENOISER_WIDTH) },                \
    TN_DENOISER_NORM(tn_denoiser_frame, g, "norm", last, f),                                                                               \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "out.weight", LINEAR, out, (f) + TN_DENOISER_VALUES, (f) + TN_DENOISER_WIDTH) },              \
    { TN_DENOISER_PART(tn_denoiser_frame, g, "out.bias", BIAS, out_bias, (f) + TN_DENOISER_VALUES) }

/* What a new one is like. */
typedef struct tn_denoiser_options {
    bool regression;
    size_t layers;   /* 2 .. 4                                             */
    size_t width;    /* 0: that of the decoder's rows, at most 256, or 1024 if it must carry noise in image embeddings */
    size_t side;     /* of the RGB picture, 16 or 32; 0: image embeddings  */
    size_t grid;     /* of image embeddings, 4 or 8; not used for pictures */
} tn_denoiser_options;

/* Writes the sizes [TN_DENOISER_SIZES] of a new one; hidden: size of the decoder's rows. */
void tn_denoiser_shape(const tn_denoiser_options *options, size_t hidden, size_t *sizes);

/* Checks sizes [TN_DENOISER_SIZES] from a file. Errors: FORMAT (in `where`). */
tenebra_code tn_denoiser_check(const size_t *sizes, size_t hidden, const char *where, tenebra_error *error);

/* A denoiser in a module; sizes [TN_DENOISER_SIZES] and parts are the module's. NULL frame: none. */
typedef struct tn_denoiser {
    const size_t *sizes;
    tn_denoiser_parts parts;
} tn_denoiser;

static inline bool tn_denoiser_is_present(const tn_denoiser *d) { return d->sizes != NULL && d->sizes[TN_DENOISER_PRESENT] > 0; }

/* Whether the target is a picture, and whether its mean and deviation are known. */
static inline bool tn_denoiser_shows(const tn_denoiser *d) { return tn_denoiser_is_present(d) && d->sizes[TN_DENOISER_SIDE] > 0; }
bool tn_denoiser_is_measured(const tn_denoiser *d);

/* Changes values of a new module: the last layer is zero, and the targets are not measured. */
void tn_denoiser_start(const tn_denoiser *d);

/* ------------------------------------------------------------- targets -- */

/* Where the target of one image comes from. */
typedef struct tn_denoiser_source {
    const tn_image_rows *picture; /* as it is fed; its gradient is not used          */
    const tn_weight *embed;       /* embeddings of tokens, for images that are tokens */
    const unsigned char *small;   /* [SIDE, SIDE, 3] RGB, or NULL                      */
} tn_denoiser_source;

/* A target: values [rows * columns, VALUES], cells row by row; those of a picture are from 0 to 1 before they are normalised. No values:
 * there is none. */
typedef struct tn_denoiser_target {
    size_t rows, columns;
    tn_real *values;
} tn_denoiser_target;

static inline size_t tn_denoiser_count(const tn_denoiser *d, const tn_denoiser_target *target)
{
    return target->rows * target->columns * d->sizes[TN_DENOISER_VALUES];
}

/* Makes the target of an image in ops->arena, in its own units. A picture is divided into cells; image embeddings are averaged in a
 * grid. Empty if the image is not there, or on failure (ops->failure). */
tn_denoiser_target tn_denoiser_target_of(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_source *source);

/* From its own units to zero mean and unit variance per channel, if these were measured; in place. */
void tn_denoiser_normalise(const tn_denoiser *d, const tn_denoiser_target *target);

/* Sums over targets in their own units, from which mean and deviation are computed. */
typedef struct tn_denoiser_sums {
    double *sum, *square; /* [CHANNELS], owned, like those below */
    tn_real *mean, *deviation;
    size_t channels;
    double values;        /* of each channel                     */
} tn_denoiser_sums;

/* Opens zeroed sums, and adds a target. Errors: MEMORY. */
tenebra_code tn_denoiser_sums_open(tn_denoiser_sums *sums, const tn_denoiser *d, tenebra_error *error);
void tn_denoiser_sums_add(tn_denoiser_sums *sums, const tn_denoiser *d, const tn_denoiser_target *target);
/* Sets mean and deviation of the module; a channel that does not vary gets a deviation of 1. Nothing if no target was added. */
void tn_denoiser_sums_set(tn_denoiser_sums *sums, const tn_denoiser *d);
void tn_denoiser_sums_close(tn_denoiser_sums *sums);

/* The picture of a target, normalised [SIDE, SIDE, 3] in bytes, for looking at it. */
void tn_denoiser_draw(const tn_denoiser *d, const tn_denoiser_target *target, unsigned char *rgb);

/* --------------------------------------------------------------- network -- */

/* One image to reconstruct. */
typedef struct tn_denoiser_case {
    const tn_row_ref *thoughts; /* [thought_count] at least one; with gradients if they may flow */
    size_t thought_count;
    tn_denoiser_target target;  /* normalised                                                     */
    uint64_t seed;              /* of t and eps, which depend on nothing else                      */
} tn_denoiser_case;

/* scale * the sum over the cases of the mean over all values of (eps - prediction)^2, or (x_0 - prediction)^2 of a regression
 * -> [1, 1], recorded. Several losses of the same images and other seeds are further cases. */
tn_tensor tn_denoiser_loss(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_case *cases, size_t count, double scale);

/* Reconstructs a target from thoughts: target->rows and columns say how many cells it has; its values are overwritten, normalised. A
 * regression predicts it at once, else it takes `steps` predictions from noise of `seed`. Not recorded. False on failure. */
bool tn_denoiser_sample(tn_ops *ops, const tn_denoiser *d, const tn_row_ref *thoughts, size_t thought_count, size_t steps, uint64_t seed,
                        const tn_denoiser_target *target);

enum { TN_DENOISER_SAMPLE_STEPS = 50 };

#endif
