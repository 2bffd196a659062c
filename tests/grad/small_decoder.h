/* A small decoder of constants, for gradients of what runs through it. Include after check.h. */
#ifndef TN_TESTS_GRAD_SMALL_DECODER_H
#define TN_TESTS_GRAD_SMALL_DECODER_H

#include "model/row.h"

enum { HIDDEN = 12, HEADS = 2, DIM = 6, INNER = 5, LAYERS = 3, VOCABULARY = 11 };

/* Weights that are not moved, the same ones in every evaluation. */
typedef struct constants {
    tn_rng rng;
    gradient_case *c;
} constants;

static inline double *constant(constants *all, size_t count, double mean, double deviation)
{
    double *values = tn_arena_take(&all->c->work, count, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = mean + deviation * tn_rng_normal(&all->rng);
    return values;
}

static inline tn_weight fixed(constants *all, size_t rows, size_t cols, double size)
{
    return (tn_weight){ { TN_F64, rows, cols, constant(all, rows * cols, 0, size), TN_ROWS }, NULL, NULL };
}

static inline tn_vector scale(constants *all, size_t size)
{
    return (tn_vector){ size, constant(all, size, 1, 0.2), NULL };
}

static inline tenebra_code fill_fixed(void *user, const tn_place *place, tenebra_error *error)
{
    (void)error;
    assert_true(tn_place_is_matrix(place));
    *(tn_weight *)place->slot = fixed(user, place->rows, place->cols, 0.3);
    return TENEBRA_OK;
}

typedef struct filler {
    gradient_case *c;
    size_t next;
    bool adds;
} filler;

static inline tenebra_code fill_parameter(void *user, const tn_place *place, tenebra_error *error)
{
    filler *f = user;
    bool matrix = tn_place_is_matrix(place);
    (void)error;
    if (f->adds)
        add(f->c, place->rows, place->cols, place->row->role == TN_ROLE_SCALE, matrix ? 0.5 : 0.3);
    else if (matrix)
        *(tn_weight *)place->slot = weight(f->c, f->next++);
    else
        *(tn_vector *)place->slot = vector(f->c, f->next++);
    return TENEBRA_OK;
}

/* A decoder of constants whose head is the table, parameter 0. deep: norms before attention and MLP, and of heads without shifts. */
static inline void make_decoder(gradient_case *c, constants *all, const tn_layout *layout, bool deep, const int32_t *never,
                                size_t never_count, tn_decoder *decoder)
{
    tn_decoder_layer *layers = tn_arena_take(&c->work, LAYERS, sizeof *layers);
    assert_non_null(layers);
    *decoder = (tn_decoder){ .embed = weight(c, 0), .head = weight(c, 0), .layers = layers, .norm = scale(all, HIDDEN),
                             .never = never, .never_count = never_count };
    decoder->config = (tn_decoder_config){ .hidden_size = HIDDEN, .num_hidden_layers = LAYERS, .num_attention_heads = HEADS,
                                           .num_key_value_heads = HEADS, .head_dim = DIM, .intermediate_size = INNER,
                                           .max_position_embeddings = 64, .rms_norm_eps = 1e-6, .rope_theta = 100,
                                           .head_norm_eps = 1e-6, .head_norm_centred = !deep, .norm_after = !deep,
                                           .mrope_section = { DIM / 2, 0, 0 } };
    decoder->network = (tn_network){ .layout = layout,
                                     .sizes = { [TN_SIZE_FREE] = VOCABULARY, [TN_DECODER_HIDDEN] = HIDDEN, [TN_DECODER_QUERY] = HIDDEN,
                                                [TN_DECODER_KEY] = HIDDEN, [TN_DECODER_HEADS] = HEADS, [TN_DECODER_KEY_HEADS] = HEADS,
                                                [TN_DECODER_HEAD] = DIM, [TN_DECODER_INTERMEDIATE] = INNER, [TN_DECODER_LAYERS] = LAYERS } };
    for (size_t l = 0; l < LAYERS; l++)
        layers[l] = (tn_decoder_layer){ .input_norm = scale(all, HIDDEN), .post_attention_norm = scale(all, HIDDEN),
                                        .q = fixed(all, HIDDEN, HIDDEN, 1), .k = fixed(all, HIDDEN, HIDDEN, 1),
                                        .v = fixed(all, HIDDEN, HIDDEN, 0.3),
                                        .o = fixed(all, HIDDEN, HIDDEN, 0.3), .gate = fixed(all, INNER, HIDDEN, 0.3),
                                        .up = fixed(all, INNER, HIDDEN, 0.3),
                                        .down = fixed(all, HIDDEN, INNER, 0.3), .q_norm = scale(all, deep ? DIM : HIDDEN),
                                        .k_norm = scale(all, deep ? DIM : HIDDEN),
                                        .q_norm_bias = deep ? (tn_vector){ 0 } : scale(all, HIDDEN) };
}

#endif
