/* A method with its own module, its own loss and one vector per step, which exists only in this file. It feeds back hidden
 * states like Coconut, but first passes each through its module: blocks of a norm and an MLP with residual connections, and the
 * picked cell of the image, as a vector or as the embedding of its token. Only the result is fed. A loss in training makes the
 * row tell the number of its step. */
#ifndef TN_TESTS_TOYS_REFINE_H
#define TN_TESTS_TOYS_REFINE_H

#include "model/pieces.h"
#include "reason/latent.h"
#include "reason/losses.h"
#include "reason/parts.h"

#include <string.h>

enum { REFINE_HIDDEN = TN_MODULE_HIDDEN, REFINE_INNER, REFINE_BLOCKS, REFINE_STEPS }; /* sizes */
enum { REFINE_EPS };                                                                  /* numbers */

typedef struct refine_block {
    tn_vector norm, bias;
    tn_weight up, down;
} refine_block;

typedef struct refine_module {
    tn_network network;
    tn_weight look, number; /* [C, C] for the cell; [STEPS, C] predicts the number of the step */
    refine_block *blocks;
} refine_module;

#define REFINE_ONE(name_, role_, member, ...) .name = "module." name_, TN_LAYOUT_ROW(role_, 0, offsetof(refine_module, member), 1, __VA_ARGS__)
#define REFINE_BLOCK(name_, role_, member, ...) \
    .name = "module.blocks.%zu." name_, TN_LAYOUT_ROW(role_, 1, offsetof(refine_block, member), 1, __VA_ARGS__)

static const tn_layout_row refine_rows[] = {
    { REFINE_BLOCK("norm.weight", SCALE, norm, REFINE_HIDDEN) },
    { REFINE_BLOCK("up.weight", LINEAR, up, REFINE_INNER, REFINE_HIDDEN) },
    { REFINE_BLOCK("up.bias", BIAS, bias, REFINE_INNER) },
    { REFINE_BLOCK("down.weight", LINEAR, down, REFINE_HIDDEN, REFINE_INNER), .residual = true },
    { REFINE_ONE("look.weight", LINEAR, look, REFINE_HIDDEN, REFINE_HIDDEN) },
    { REFINE_ONE("number.weight", LINEAR, number, REFINE_STEPS, REFINE_HIDDEN) },
    { .name = NULL }
};

static const tn_layout refine_layout = {
    .kind = TN_NETWORK_MODULE,
    .bytes = sizeof(refine_module),
    .groups = { [1] = { offsetof(refine_module, blocks), sizeof(refine_block), REFINE_BLOCKS, 0, NULL } },
    .rows = refine_rows,
};

static tenebra_code refine_shape(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error)
{
    (void)settings, (void)count, (void)error;
    shape->sizes[REFINE_INNER] = 24;
    shape->sizes[REFINE_BLOCKS] = 2;
    shape->sizes[REFINE_STEPS] = 4;
    shape->numbers[REFINE_EPS] = 1e-6;
    return TENEBRA_OK;
}

static tn_tensor refine_run(tn_ops *ops, const tn_network *network, tn_tensor x)
{
    const refine_module *module = (const refine_module *)network;
    for (size_t i = 0; i < network->sizes[REFINE_BLOCKS]; i++) {
        const refine_block *block = &module->blocks[i];
        tn_tensor normed = tn_op_rms_norm(ops, x, &block->norm, network->numbers[REFINE_EPS]);
        tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, normed, &block->up, &block->bias));
        x = tn_op_add(ops, tn_piece_linear(ops, inner, &block->down, NULL), x);
    }
    return x;
}

/* Coconut's step with a refined row. In answering, the row is in memory of the step; while recording, it carries a gradient. */
static tenebra_code refine_step(tn_choice *choice, const tn_latent_view *view, tn_row *fed, size_t *count, tenebra_error *error)
{
    TN_TRY(tn_latent_step(choice, view, fed, count, error));
    const refine_module *module = (const refine_module *)view->module;
    size_t mark = tn_ops_mark(view->ops), picks = choice->pick_count;
    tn_tensor refined = refine_run(view->ops, view->module, tn_op_compose(view->ops, &fed[picks].vector, 1, view->module->sizes[REFINE_HIDDEN]));
    if (picks > 0)
        refined = tn_op_add(view->ops, refined,
                            tn_piece_linear(view->ops, tn_rows_input(view->ops, view->decoder, fed, 1), &module->look, NULL));
    if (tn_tensor_is_empty(refined))
        return tn_fail(error, view->ops->failure.code, "module", "%s", view->ops->failure.sentence);
    if (!tn_tensor_is_empty(view->made)) {
        tn_op_copy(view->ops, view->made, refined);
        refined = view->made;
        tn_ops_release(view->ops, mark);
    }
    fed[0] = tn_row_of_vector(refined, 0);
    *count = 1;
    return TENEBRA_OK;
}

/* The cross entropy of the number of each step, predicted from its row; the sum over the steps of an example. */
static size_t refine_losses(const tn_loss_batch *batch, tn_loss_part *parts)
{
    tn_ops *ops = batch->ops;
    const tn_network *network = batch->module;
    const tn_loss_example *examples = batch->examples;
    const refine_module *module = (const refine_module *)network;
    size_t count = batch->count;
    size_t rows = 0, seen = 0;
    for (size_t i = 0; i < count; i++)
        rows += examples[i].count;
    if (rows == 0)
        return 0;
    tn_row_ref *refs = tn_arena_take(ops->arena, rows, sizeof *refs);
    int32_t *labels = tn_arena_take(ops->arena, rows, sizeof *labels);
    for (size_t i = 0; refs != NULL && labels != NULL && i < count; i++)
        for (size_t row = 0; row < examples[i].count; row++, seen++) {
            refs[seen] = examples[i].rows[row].vector;
            labels[seen] = (int32_t)(row % network->sizes[REFINE_STEPS]);
        }
    tn_tensor all = tn_op_compose(ops, refs, seen, network->sizes[REFINE_HIDDEN]);
    const tn_tensor loss = tn_op_cross_entropy(ops, tn_piece_linear(ops, all, &module->number, NULL), labels, batch->share);
    parts[0] = (tn_loss_part){ "number", loss, 1, false };
    return 1;
}

static const tn_option refine_options[] = {
    TN_SETTING_SIZE("n-latent", "N", "2", 0, 16, "latent steps", .means = TN_MEANS_LATENT_STEPS),
    TN_SETTING_SIZE("k-select", "K", "1", 0, 1, "cells of an image that a step picks", .means = TN_MEANS_PICKS),
    TN_OPTIONS_END
};

static tenebra_code refine_open(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_latent_settings settings = { .steps = tn_setting_size(reasoner, 0), .picks = tn_setting_size(reasoner, 1) };
    return tn_latent_open(reasoner, &settings, error);
}

static const tn_method refine_method = {
    .name = "toy",
    .summary = "reason in hidden states that a module refines",
    .options = refine_options,
    .sequential = true,
    .tap_prompt = true,
    .open = refine_open,
    .latent_step = refine_step,
    .next = tn_latent_next,
    .arrange_training = tn_latent_example,
    .module = &refine_layout,
    .batch_losses = refine_losses,
    .shape_module = refine_shape,
};

#endif
