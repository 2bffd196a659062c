/* Floating-point operations: of the networks by counting, of the machine by measuring. */
#include "train/parts.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Multiplications of one row with a matrix, forward (2), gradient of its input (2) and of itself (2 if trained). */
static double of_weight(const tn_weight *weight, bool has_input_gradient)
{
    double size = (double)weight->matrix.rows * (double)weight->matrix.cols;
    return size * (2 + (has_input_gradient ? 2 : 0) + (weight->grad != NULL ? 2 : 0));
}

static double of_decoder_row(const tn_decoder *decoder)
{
    double sum = 0;
    for (size_t l = 0; l < decoder->config.num_hidden_layers; l++) {
        const tn_decoder_layer *layer = &decoder->layers[l];
        const tn_weight *const weights[] = { &layer->q, &layer->k, &layer->v, &layer->o, &layer->gate, &layer->up, &layer->down };
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
            sum += of_weight(weights[i], true);
    }
    return sum;
}

static bool trains_tower(const tn_vision *vision)
{
    return vision->patch_embed.grad != NULL || vision->merge2.grad != NULL;
}

static double of_patch(const tn_vision *vision)
{
    bool trained = trains_tower(vision);
    double sum = of_weight(&vision->patch_embed, false);
    double merged = (double)(vision->config.spatial_merge_size * vision->config.spatial_merge_size);
    for (size_t b = 0; b < vision->config.depth; b++) {
        const tn_vision_block *block = &vision->blocks[b];
        const tn_weight *const weights[] = { &block->q, &block->k, &block->v, &block->proj, &block->fc1, &block->fc2 };
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
            sum += of_weight(weights[i], trained);
    }
    return sum + (of_weight(&vision->merge1, trained) + of_weight(&vision->merge2, trained)) / (merged > 0 ? merged : 1);
}

double tn_trainer_flops(const tn_trainer *trainer, const tn_lesson *const *lessons, size_t count)
{
    const tn_decoder *decoder = &trainer->model->decoder;
    const tn_vision_config *vision = &trainer->model->vision.config;
    double row = of_decoder_row(decoder), patch = of_patch(&trainer->model->vision), sum = 0;
    double head = of_weight(&decoder->head, true);
    /* Scores and weighted values, 4 a pair forward, twice that backward; half of the pairs are visible. */
    double pair = 12.0 * (double)(decoder->config.num_attention_heads * decoder->config.head_dim * decoder->config.num_hidden_layers) / 2;
    double patch_pair = (trains_tower(&trainer->model->vision) ? 12.0 : 4.0) * (double)(vision->embed_dim * vision->depth);
    for (size_t i = 0; i < count; i++) {
        double rows = (double)lessons[i]->rows;
        sum += rows * row + rows * rows * pair + (double)lessons[i]->label_count * head + (double)lessons[i]->patch_count * patch;
        for (size_t p = 0; p < lessons[i]->picture_count; p++) {
            double frame = (double)lessons[i]->grids[p].h * (double)lessons[i]->grids[p].w;
            sum += (double)lessons[i]->grids[p].t * frame * frame * patch_pair;
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
