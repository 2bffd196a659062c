/* Floating-point operations: counted for the networks, measured for the machine. */
#include "train/parts.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Operations of a network: of products for one row of its input, of the head for one row, and of attention for one pair of
 * rows, summed over all layers. The input of a product has a gradient if a tensor that the forward uses earlier is trained. */
typedef struct walk {
    tn_network_kind kind;
    bool forward; /* only the forward runs */
    size_t first; /* 1 + the order of the first tensor that is trained; 0: the network's input has a gradient */
    double row, head, pair;
} walk;

static tenebra_code find_first(void *user, const tn_place *place, tenebra_error *error)
{
    walk *w = user;
    (void)error;
    if (place->network->layout->kind == w->kind && tn_place_is_trained(place))
        w->first = tn_min(w->first, place->order + 1);
    return TENEBRA_OK;
}

/* Operations of one row with a matrix, per element: 2 in the forward, 2 for the gradient of the input, 2 for that of the
 * matrix. */
static double of_product(const walk *w, const tn_weight *weight, bool input_gradient)
{
    double size = (double)weight->matrix.rows * (double)weight->matrix.cols;
    return size * (2 + (input_gradient ? 2 : 0) + (tn_weight_has_grad(weight) && !w->forward ? 2 : 0));
}

/* Counts products with their low-rank additions and, if the layout says so, attention: scores and weighted values take 4
 * operations per pair and channel in the forward, and twice as many in the backward. */
static tenebra_code add_place(void *user, const tn_place *place, tenebra_error *error)
{
    walk *w = user;
    const tn_layout_row *reader = place->row; /* the first matrix that reads the same rows */
    const tn_weight *weights = place->slot;
    (void)error;
    if (place->network->layout->kind != w->kind || !tn_place_is_matrix(place) || place->row->role == TN_ROLE_EMBEDDING)
        return TENEBRA_OK;
    while (reader->reads == TN_READS_SAME || !tn_role_is_matrix(reader->role))
        reader--;
    bool flows = !w->forward && w->first <= place->order - (size_t)(place->row - reader);
    double sum = 0;
    for (size_t part = 0; part < place->row->parts; part++) {
        sum += of_product(w, &weights[part], flows);
        for (const tn_lora *lora = weights[part].lora; lora != NULL; lora = lora->next)
            sum += of_product(w, &lora->a, flows) +
                   of_product(w, &lora->b, flows || (tn_weight_has_grad(&lora->a) && !w->forward));
    }
    if (place->row->role == TN_ROLE_HEAD)
        w->head += sum;
    else
        w->row += sum / (double)tn_place_pool(place);
    if (place->row->reads == TN_READS_ATTENTION)
        w->pair += (double)place->cols * (flows ? 12 : 4);
    return TENEBRA_OK;
}

static walk walk_network(const tn_model *model, tn_network_kind kind, size_t first, bool forward)
{
    walk w = { .kind = kind, .first = first, .forward = forward };
    tn_networks_each(&model->networks, find_first, &w, NULL);
    tn_networks_each(&model->networks, add_place, &w, NULL);
    return w;
}

double tn_trainer_flops(const tn_trainer *trainer, const tn_train_example *const *examples, size_t count)
{
    walk tower = walk_network(trainer->model, TN_NETWORK_IMAGES, SIZE_MAX, false);
    walk looks = walk_network(trainer->model, TN_NETWORK_IMAGES, SIZE_MAX, !trainer->config->full_picks_grad);
    walk module = walk_network(trainer->model, TN_NETWORK_MODULE, SIZE_MAX, false);
    bool before = tower.first < SIZE_MAX || module.first < SIZE_MAX; /* rows of the decoder have gradients */
    walk rows = walk_network(trainer->model, TN_NETWORK_DECODER, before ? 0 : SIZE_MAX, false);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double length = (double)examples[i]->rows;
        sum += length * rows.row + length * length / 2 * rows.pair; /* causal attention: half of the pairs are visible */
        sum += (double)examples[i]->label_count * rows.head + (double)tn_train_example_prepared(examples[i], 0) * tower.row;
        sum += (double)tn_train_example_prepared(examples[i], 1) * looks.row;
        sum += (double)examples[i]->latent_steps * module.row; /* a method's module: one row per latent step */
        for (size_t p = 0; p < examples[i]->picture_count; p++)
            sum += examples[i]->prepared[p].pairs * tower.pair;
        for (size_t p = 0; p < examples[i]->look_count; p++)
            sum += examples[i]->prepared[examples[i]->picture_count + p].pairs * looks.pair;
    }
    return sum;
}

/* The rate of a product of 512 rows with a 1024 x 1024 matrix of the decoder's weight type, on all threads, the best of several
 * attempts. */
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
    tn_ops ops = { .kernels = trainer->model->kernels, .pool = tn_training_pool(trainer->training), .arena = &arena };
    tn_dtype type = trainer->model->decoder.layers[0].gate.matrix.type; /* no type takes more bytes than F32, which `values` has */
    tn_weight weight = { .matrix = { .type = type, .rows = SIZE, .cols = SIZE, .data = values } };
    const tn_tensor x = tn_op_constant(&ops, ROWS, SIZE, NULL);
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
