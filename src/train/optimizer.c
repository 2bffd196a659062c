#include "train/optimizer.h"

#include "base/checked.h"
#include "kern/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values of one piece: large enough to hide the cost of dispatch, small enough to divide small models among threads. */
enum { PIECE = 16384 };

typedef struct tn_piece {
    size_t item;   /* of the list                    */
    size_t begin;  /* first value in the item */
    size_t count;
    size_t moment; /* index in first and second      */
} tn_piece;

typedef struct adam_update {
    const tn_optimizer *optimizer;
    tn_real add1, keep2, add2; /* 1 - beta1, beta2, 1 - beta2 */
    tn_real root;   /* sqrt(1 - beta2^t)     */
    tn_real eps;
    tn_real step;   /* lr / (1 - beta1^t)    */
    tn_real shrink; /* 1 - lr * weight_decay */
    tn_real factor; /* of the gradients      */
} adam_update;

static tenebra_code check(const tn_optimized *items, size_t item_count, const tn_adamw *settings, tenebra_error *error)
{
    if (!(settings->beta1 >= 0 && settings->beta1 < 1) || !(settings->beta2 >= 0 && settings->beta2 < 1))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "optimizer", "beta1 and beta2 must be in [0, 1)");
    if (!(settings->eps >= 0 && settings->eps < 1) || !(settings->weight_decay >= 0 && settings->weight_decay < 1e3))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "optimizer", "eps must be in [0, 1) and the weight decay in [0, 1000)");
    for (size_t i = 0; i < item_count; i++)
        if (items[i].values == NULL || items[i].grad == NULL || items[i].count == 0)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "optimizer", "tensor %zu has no values or no gradient", i);
    return TENEBRA_OK;
}

static tenebra_code cut_pieces(tn_optimizer *optimizer, tenebra_error *error)
{
    size_t pieces = 0;
    for (size_t i = 0; i < optimizer->item_count; i++) {
        if (!tn_size_add(optimizer->total, optimizer->items[i].count, &optimizer->total))
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "optimizer", "more values than memory has addresses");
        pieces += tn_pieces(optimizer->items[i].count, PIECE);
    }
    optimizer->pieces = calloc(pieces + 1, sizeof *optimizer->pieces);
    optimizer->sums = calloc(pieces + 1, sizeof *optimizer->sums);
    optimizer->first = calloc(optimizer->total + 1, sizeof *optimizer->first);
    optimizer->second = calloc(optimizer->total + 1, sizeof *optimizer->second);
    if (optimizer->pieces == NULL || optimizer->sums == NULL || optimizer->first == NULL || optimizer->second == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "optimizer", "no memory for the moments of %zu values", optimizer->total);
    size_t moment = 0;
    for (size_t i = 0; i < optimizer->item_count; i++) {
        for (size_t begin = 0; begin < optimizer->items[i].count; begin += PIECE) {
            size_t count = tn_min(PIECE, optimizer->items[i].count - begin);
            optimizer->pieces[optimizer->piece_count++] = (tn_piece){ i, begin, count, moment };
            moment += count;
        }
    }
    return TENEBRA_OK;
}

tenebra_code tn_optimizer_open(tn_optimizer *optimizer, const tn_optimized *items, size_t item_count,
                               const tn_adamw *settings, tn_pool *pool, tenebra_error *error)
{
    *optimizer = (tn_optimizer){ .settings = *settings, .item_count = item_count, .pool = pool };
    TN_TRY(check(items, item_count, settings, error));
    optimizer->items = calloc(item_count + 1, sizeof *items);
    if (optimizer->items == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "optimizer", "no memory for a list of %zu tensors", item_count);
    memcpy(optimizer->items, items, item_count * sizeof *items);
    tenebra_code code = cut_pieces(optimizer, error);
    if (code != TENEBRA_OK)
        tn_optimizer_close(optimizer);
    return code;
}

void tn_optimizer_close(tn_optimizer *optimizer)
{
    free(optimizer->items);
    free(optimizer->pieces);
    free(optimizer->sums);
    free(optimizer->first);
    free(optimizer->second);
    *optimizer = (tn_optimizer){ 0 };
}

/* ---------------------------------------------------------------- norm -- */

/* Eight independent sums, so that the loop is not one chain of additions. */
static void sum_squares(void *argument, size_t chunk, size_t worker)
{
    (void)worker;
    const tn_optimizer *optimizer = argument;
    const tn_piece *piece = &optimizer->pieces[chunk];
    const tn_real *grad = optimizer->items[piece->item].grad + piece->begin;
    double lanes[8] = { 0 };
    size_t i = 0;
    for (; i + 8 <= piece->count; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            lanes[lane] += (double)grad[i + lane] * (double)grad[i + lane];
    for (; i < piece->count; i++)
        lanes[0] += (double)grad[i] * (double)grad[i];
    optimizer->sums[chunk] = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

double tn_optimizer_norm(tn_optimizer *optimizer)
{
    tn_pool_run(optimizer->pool, optimizer->piece_count, sum_squares, optimizer);
    double sum = 0;
    for (size_t i = 0; i < optimizer->piece_count; i++)
        sum += optimizer->sums[i];
    return sqrt(sum);
}

double tn_clip_factor(double norm, double limit)
{
    if (!(limit > 0))
        return 1;
    double factor = limit / (norm + 1e-6);
    return factor > 1 ? 1 : factor;
}

/* -------------------------------------------------------------- update -- */

static void update_values(const adam_update *u, tn_real *restrict values, const tn_real *restrict grad,
                          tn_real *restrict first, tn_real *restrict second, tn_real shrink, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tn_real g = grad[i] * u->factor;
        tn_real m = first[i] + u->add1 * (g - first[i]);
        tn_real v = u->keep2 * second[i] + u->add2 * g * g;
        first[i] = m;
        second[i] = v;
        values[i] = values[i] * shrink - u->step * (m / (sqrtf(v) / u->root + u->eps));
    }
}

static void update_piece(void *argument, size_t chunk, size_t worker)
{
    (void)worker;
    const adam_update *u = argument;
    const tn_optimizer *optimizer = u->optimizer;
    const tn_piece *piece = &optimizer->pieces[chunk];
    const tn_optimized *item = &optimizer->items[piece->item];
    update_values(u, item->values + piece->begin, item->grad + piece->begin, optimizer->first + piece->moment,
                  optimizer->second + piece->moment, item->decay ? u->shrink : 1, piece->count);
    if (item->rounded != NULL)
        tn_dtype_of(TN_BF16)->pack(item->values + piece->begin, piece->count, item->rounded + piece->begin);
}

void tn_optimizer_step(tn_optimizer *optimizer, double lr, double factor)
{
    const tn_adamw *settings = &optimizer->settings;
    double t = (double)++optimizer->step;
    adam_update u = {
        .optimizer = optimizer,
        .add1 = (tn_real)(1 - settings->beta1),
        .keep2 = (tn_real)settings->beta2,
        .add2 = (tn_real)(1 - settings->beta2),
        .root = (tn_real)sqrt(1 - pow(settings->beta2, t)),
        .eps = (tn_real)settings->eps,
        .step = (tn_real)(lr / (1 - pow(settings->beta1, t))),
        .shrink = (tn_real)(1 - lr * settings->weight_decay),
        .factor = (tn_real)factor,
    };
    tn_pool_run(optimizer->pool, optimizer->piece_count, update_piece, &u);
}

/* ------------------------------------------------------------ the rest -- */

static void clear_piece(void *argument, size_t chunk, size_t worker)
{
    (void)worker;
    const tn_optimizer *optimizer = argument;
    const tn_piece *piece = &optimizer->pieces[chunk];
    memset(optimizer->items[piece->item].grad + piece->begin, 0, piece->count * sizeof(tn_real));
}

void tn_optimizer_clear(tn_optimizer *optimizer)
{
    tn_pool_run(optimizer->pool, optimizer->piece_count, clear_piece, optimizer);
}

void tn_optimizer_reset(tn_optimizer *optimizer)
{
    optimizer->step = 0;
    memset(optimizer->first, 0, optimizer->total * sizeof *optimizer->first);
    memset(optimizer->second, 0, optimizer->total * sizeof *optimizer->second);
}

static void round_piece(void *argument, size_t chunk, size_t worker)
{
    (void)worker;
    const tn_optimizer *optimizer = argument;
    const tn_piece *piece = &optimizer->pieces[chunk];
    const tn_optimized *item = &optimizer->items[piece->item];
    if (item->rounded != NULL)
        tn_dtype_of(TN_BF16)->pack(item->values + piece->begin, piece->count, item->rounded + piece->begin);
}

void tn_optimizer_round(tn_optimizer *optimizer)
{
    tn_pool_run(optimizer->pool, optimizer->piece_count, round_piece, optimizer);
}

/* ----------------------------------------------------------- schedules -- */

double tn_schedule_factor(const tn_schedule *schedule, uint64_t update)
{
    if (update < schedule->warmup)
        return (double)update / (double)schedule->warmup;
    if (schedule->kind == TN_SCHEDULE_CONSTANT)
        return 1;
    double span = schedule->total > schedule->warmup ? (double)(schedule->total - schedule->warmup) : 1;
    double progress = (double)(update - schedule->warmup) / span;
    if (progress > 1)
        progress = 1;
    if (schedule->kind == TN_SCHEDULE_LINEAR)
        return 1 - progress;
    return 0.5 * (1 + cos(3.14159265358979323846 * progress));
}
