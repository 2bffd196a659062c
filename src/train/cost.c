/* Floating-point operations: of the networks by counting, of the machine by measuring. */
#include "train/parts.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* A walk through a network in the order of its forward: the work so far, and whether what comes out depends on something that is
 * trained. Only then is there a gradient of a product's input. */
typedef struct walk {
    double row;  /* operations of products for one row                         */
    double pair; /* of one pair of rows in attention, all layers together      */
    bool flows;
} walk;

static bool is_trained(const tn_weight *weight)
{
    bool trained = weight->grad != NULL;
    for (const tn_lora *lora = weight->lora; lora != NULL && !trained; lora = lora->next)
        trained = lora->a.grad != NULL || lora->b.grad != NULL;
    return trained;
}

/* One row with a matrix: forward 2, gradient of the input 2, of the matrix 2. */
static double of_product(const tn_weight *weight, bool input_gradient)
{
    double size = (double)weight->matrix.rows * (double)weight->matrix.cols;
    return size * (2 + (input_gradient ? 2 : 0) + (weight->grad != NULL ? 2 : 0));
}

/* Products that read the same rows, with their low-rank additions, and vectors that are added to what they give. */
static void multiply(walk *w, const tn_weight *const *weights, size_t count, const tn_vector *const *vectors, size_t vector_count)
{
    bool flows = w->flows;
    for (size_t i = 0; i < count; i++) {
        w->row += of_product(weights[i], flows);
        for (const tn_lora *lora = weights[i]->lora; lora != NULL; lora = lora->next)
            w->row += of_product(&lora->a, flows) + of_product(&lora->b, flows || lora->a.grad != NULL);
        w->flows = w->flows || is_trained(weights[i]);
    }
    for (size_t i = 0; i < vector_count; i++)
        w->flows = w->flows || vectors[i]->grad != NULL;
}

static void norm(walk *w, const tn_vector *scale, const tn_vector *bias)
{
    w->flows = w->flows || scale->grad != NULL || (bias != NULL && bias->grad != NULL);
}

/* Scores and weighted values: 4 a pair and channel forward, twice that backward. */
static void attend(walk *w, double channels)
{
    w->pair += channels * (w->flows ? 12 : 4);
}

static walk walk_decoder(const tn_decoder *decoder, bool flows)
{
    walk w = { .flows = flows };
    for (size_t l = 0; l < decoder->config.num_hidden_layers; l++) {
        const tn_decoder_layer *layer = &decoder->layers[l];
        norm(&w, &layer->input_norm, NULL);
        multiply(&w, (const tn_weight *const[]){ &layer->q, &layer->k, &layer->v }, 3,
                 (const tn_vector *const[]){ &layer->q_bias, &layer->k_bias, &layer->v_bias }, 3);
        attend(&w, (double)(decoder->config.num_attention_heads * decoder->config.head_dim));
        multiply(&w, (const tn_weight *const[]){ &layer->o }, 1, NULL, 0);
        norm(&w, &layer->post_attention_norm, NULL);
        multiply(&w, (const tn_weight *const[]){ &layer->gate, &layer->up }, 2, NULL, 0);
        multiply(&w, (const tn_weight *const[]){ &layer->down }, 1, NULL, 0);
    }
    norm(&w, &decoder->norm, NULL);
    return w;
}

static walk walk_tower(const tn_vision *vision)
{
    walk w = { 0 };
    double merged = (double)(vision->config.spatial_merge_size * vision->config.spatial_merge_size);
    multiply(&w, (const tn_weight *const[]){ &vision->patch_embed }, 1, NULL, 0);
    for (size_t b = 0; b < vision->config.depth; b++) {
        const tn_vision_block *block = &vision->blocks[b];
        norm(&w, &block->norm1, &block->norm1_bias);
        multiply(&w, (const tn_weight *const[]){ &block->q, &block->k, &block->v }, 3,
                 (const tn_vector *const[]){ &block->q_bias, &block->k_bias, &block->v_bias }, 3);
        attend(&w, (double)vision->config.embed_dim);
        multiply(&w, (const tn_weight *const[]){ &block->proj }, 1, (const tn_vector *const[]){ &block->proj_bias }, 1);
        norm(&w, &block->norm2, &block->norm2_bias);
        multiply(&w, (const tn_weight *const[]){ &block->fc1 }, 1, (const tn_vector *const[]){ &block->fc1_bias }, 1);
        multiply(&w, (const tn_weight *const[]){ &block->fc2 }, 1, (const tn_vector *const[]){ &block->fc2_bias }, 1);
    }
    norm(&w, &vision->merge_norm, &vision->merge_norm_bias);
    walk merge = { .flows = w.flows };
    multiply(&merge, (const tn_weight *const[]){ &vision->merge1 }, 1, (const tn_vector *const[]){ &vision->merge1_bias }, 1);
    multiply(&merge, (const tn_weight *const[]){ &vision->merge2 }, 1, (const tn_vector *const[]){ &vision->merge2_bias }, 1);
    w.row += merge.row / (merged > 0 ? merged : 1); /* one row for so many patches */
    w.flows = merge.flows;
    return w;
}

double tn_trainer_flops(const tn_trainer *trainer, const tn_lesson *const *lessons, size_t count)
{
    const tn_decoder *decoder = &trainer->model->decoder;
    walk tower = walk_tower(&trainer->model->vision);
    walk rows = walk_decoder(decoder, decoder->embed.grad != NULL || tower.flows), head = { .flows = rows.flows };
    multiply(&head, (const tn_weight *const[]){ &decoder->head }, 1, NULL, 0);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double length = (double)lessons[i]->rows;
        sum += length * rows.row + length * length / 2 * rows.pair; /* half of the pairs are visible */
        sum += (double)lessons[i]->label_count * head.row + (double)lessons[i]->patch_count * tower.row;
        for (size_t p = 0; p < lessons[i]->picture_count; p++) {
            double frame = (double)lessons[i]->grids[p].h * (double)lessons[i]->grids[p].w;
            sum += (double)lessons[i]->grids[p].t * frame * frame * tower.pair;
        }
    }
    return sum;
}

/* One product of 512 rows with a 1024 x 1024 matrix of the type that the decoder reads, on all threads, the best of several. */
double tn_trainer_peak(tn_trainer *trainer)
{
    enum { ROWS = 512, SIZE = 1024, TRIES = 24 };
    if (trainer->peak > 0)
        return trainer->peak;
    tn_arena arena;
    float *values = calloc((size_t)SIZE * SIZE, sizeof *values);
    if (values == NULL || tn_arena_open(&arena, (size_t)64 << 20, NULL) != TENEBRA_OK) {
        free(values);
        return 0;
    }
    tn_ops ops = { .kernels = trainer->model->kernels, .pool = tn_teacher_pool(trainer->teacher), .arena = &arena };
    tn_dtype type = trainer->model->decoder.layers[0].gate.matrix.type; /* none is larger than the F32 of `values` */
    tn_weight weight = { .matrix = { .type = type, .rows = SIZE, .cols = SIZE, .data = values } };
    tn_tensor x = tn_op_new(&ops, ROWS, SIZE);
    if (x.data != NULL)
        memset(x.data, 0, (size_t)ROWS * SIZE * sizeof *x.data);
    for (int i = 0; i < TRIES && ops.failure.code == TENEBRA_OK; i++) {
        size_t mark = tn_ops_mark(&ops);
        double start = tn_clock_ms();
        tn_op_linear(&ops, x, &weight, NULL);
        double seconds = (tn_clock_ms() - start) / 1e3;
        tn_ops_release(&ops, mark);
        if (seconds > 0 && 2.0 * ROWS * SIZE * SIZE / seconds > trainer->peak)
            trainer->peak = 2.0 * ROWS * SIZE * SIZE / seconds;
    }
    tn_arena_close(&arena);
    free(values);
    return trainer->peak;
}
