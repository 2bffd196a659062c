/* Speed of the image encoder of a shape, with random weights in memory: the decoder is not made, so the encoder of a large model can be
 * measured alone.
 *
 *     bench_encode [--shape NAME] [--set NAME] [--type NAME] [--size WxH] [--threads N] [--repetitions N] [--blocks]
 *
 * Prints the median time of one image, the operations of its products (2 m n k), their rate, and the time that these products take at the
 * peak of the kernel set (spin). --blocks: also the time of each watched value, from the one before. */
#include "base/clock.h"
#include "base/rng.h"
#include "image/image.h"
#include "kern/probe.h"
#include "model/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPETITIONS = 64 };

typedef struct tn_bench {
    const char *shape, *set, *type;
    size_t width, height, threads, repetitions;
    bool blocks;
    tn_plan plan;
    tn_dtype dtype;
    tn_rng rng;
    tn_ops ops;
    double operations; /* for one image           */
    size_t pixels;     /* rows of the encoder's input for one image */
    double last;       /* time of the last watched value, ms        */
} tn_bench;

static void stop(const char *what, const tenebra_error *error)
{
    fprintf(stderr, "bench_encode: %s%s%s\n", what, error ? ": " : "", error ? error->sentence : "");
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *memory = aligned_alloc(64, (count * size + 63) / 64 * 64 + 64);
    if (memory == NULL)
        stop("no memory", NULL);
    return memory;
}

/* --------------------------------------------------------------- weights -- */

/* Normal numbers with variance 1 / inputs in matrices; scales of 1 and shifts of 0. The memory belongs to the process. */
static tenebra_code fill(void *user, const tn_place *place, tenebra_error *error)
{
    tn_bench *b = user;
    size_t parts = place->row->parts, share = place->rows * place->cols / parts;
    tn_real *values = take(place->rows * place->cols, sizeof *values);
    (void)error;
    if (place->network->layout->kind != TN_NETWORK_IMAGES) {
        free(values);
        return TENEBRA_OK;
    }
    for (size_t part = 0; !tn_place_is_matrix(place) && part < parts; part++) {
        tn_vector *vector = (tn_vector *)place->slot + part;
        for (size_t i = 0; i < share; i++)
            values[part * share + i] = place->row->role == TN_ROLE_SCALE ? 1 : 0;
        vector->size = share;
        tn_vector_bind(vector, values + part * share, NULL);
    }
    if (!tn_place_is_matrix(place))
        return TENEBRA_OK;
    tn_dtype type = place->cols % tn_dtype_of(b->dtype)->block == 0 ? b->dtype : TN_F32;
    unsigned char *packed = take(place->rows, tn_dtype_row_bytes(type, place->cols));
    for (size_t i = 0; i < place->rows * place->cols; i++)
        values[i] = (tn_real)(tn_rng_normal(&b->rng) / sqrt((double)place->cols));
    tn_dtype_of(type)->pack(values, place->rows * place->cols, packed);
    for (size_t part = 0; part < parts; part++)
        tn_weight_bind((tn_weight *)place->slot + part,
                       (tn_matrix){ type, place->rows / parts, place->cols, packed + part * tn_dtype_row_bytes(type, share), TN_ROWS }, NULL);
    b->operations += 2.0 * (double)(b->pixels / tn_place_pool(place)) * (double)(place->rows * place->cols);
    free(values);
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- measuring -- */

static void watch(void *user, const char *name, size_t index, const tn_tensor *value)
{
    tn_bench *b = user;
    double now = tn_clock_ms();
    printf("  %-20s %3zu  [%zu, %zu]  %8.1f ms\n", name, index, value->rows, value->cols, now - b->last);
    b->last = now;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The input for an image of random pixels, and the rows that it becomes. */
static tn_prepared prepare(tn_bench *b, size_t *rows)
{
    const tn_image_encoder *encoder = b->plan.backbone->encoder;
    tenebra_error error;
    tn_image image;
    tn_prepared prepared;
    json_t *part;
    void *rule = calloc(1, encoder->rule_bytes);
    const char *text = b->plan.backbone->preprocessor;
    if (rule == NULL || tn_json_parse(text, strlen(text), "preprocessor", &part, &error) != TENEBRA_OK ||
        encoder->read_rule(part, "preprocessor", &b->plan.sizes.vision, rule, &error) != TENEBRA_OK ||
        tn_image_new(&image, b->width, b->height, 3, &error) != TENEBRA_OK)
        stop("the image cannot be made", &error);
    for (size_t i = 0; i < b->width * b->height * 3; i++)
        image.pixels[i] = (unsigned char)tn_rng_below(&b->rng, 256);
    if (encoder->prepare(rule, &image, &prepared, &error) != TENEBRA_OK)
        stop("the image does not fit", &error);
    *rows = encoder->measure(rule, b->width, b->height).rows;
    tn_image_free(&image);
    json_decref(part);
    free(rule);
    return prepared;
}

static void measure(tn_bench *b)
{
    double times[REPETITIONS];
    tenebra_error error;
    size_t rows;
    tn_prepared prepared = prepare(b, &rows);
    const tn_prepared *one = &prepared;
    b->pixels = prepared.rows;
    if (tn_networks_each(&b->plan.networks, fill, b, &error) != TENEBRA_OK)
        stop("weights", &error);
    for (size_t i = 0; i < b->repetitions + 1; i++) { /* the first one warms up */
        size_t mark = tn_ops_mark(&b->ops);
        double start = b->last = tn_clock_ms();
        b->ops.watch = b->blocks && i == b->repetitions ? watch : NULL;
        b->ops.watch_user = b;
        tn_networks_encode(&b->ops, &b->plan.networks, &one, 1);
        if (b->ops.failure.code != TENEBRA_OK)
            stop("encoding", &b->ops.failure);
        if (i > 0)
            times[i - 1] = tn_clock_ms() - start;
        tn_ops_release(&b->ops, mark);
    }
    qsort(times, b->repetitions, sizeof *times, compare);
    double median = times[b->repetitions / 2], most = tn_probe_operations(b->ops.pool, b->ops.kernels, b->dtype);
    printf("%s, %s, %s, %zu threads: %zu x %zu pixels, %zu rows: %.0f ms (%.0f to %.0f), %.1f GOP, %.1f GOP/s", b->shape, b->ops.kernels->name,
           tn_dtype_of(b->dtype)->name, tn_pool_threads(b->ops.pool), b->width, b->height, rows, median, times[0], times[b->repetitions - 1],
           b->operations * 1e-9, b->operations * 1e-6 / median);
    if (most > 0)
        printf("; at the peak of %.0f GOP/s: %.0f ms", most * 1e-6, b->operations / most);
    printf("\n");
    tn_prepared_free(&prepared);
}

static void read_arguments(tn_bench *b, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--blocks") == 0) {
            b->blocks = true;
            continue;
        }
        i++;
        if (strcmp(arguments[i - 1], "--shape") == 0)
            b->shape = value;
        else if (strcmp(arguments[i - 1], "--set") == 0)
            b->set = value;
        else if (strcmp(arguments[i - 1], "--type") == 0)
            b->type = value;
        else if (strcmp(arguments[i - 1], "--threads") == 0)
            b->threads = strtoul(value, NULL, 10);
        else if (strcmp(arguments[i - 1], "--repetitions") == 0)
            b->repetitions = strtoul(value, NULL, 10);
        else if (strcmp(arguments[i - 1], "--size") != 0 || sscanf(value, "%zux%zu", &b->width, &b->height) != 2)
            stop("options: --shape --set --type --size WxH --threads --repetitions --blocks", NULL);
    }
    if (b->repetitions < 1 || b->repetitions > REPETITIONS)
        stop("1 to 64 repetitions", NULL);
    for (b->dtype = 0; b->dtype < TN_DTYPE_COUNT && strcmp(tn_dtype_of(b->dtype)->name, b->type) != 0;)
        b->dtype++;
    if (b->dtype == TN_DTYPE_COUNT)
        stop("unknown type of weights", NULL);
}

int main(int count, char **arguments)
{
    static tn_bench b = { .shape = "chameleon-7b", .type = "BF16", .width = 512, .height = 512, .repetitions = 3 };
    tenebra_error error;
    tn_arena arena;
    read_arguments(&b, count, arguments);
    b.rng = tn_rng_seed(1);
    if (tn_kernels_choose(b.set, &b.ops.kernels, &error) != TENEBRA_OK || tn_plan_open(&b.plan, b.shape, NULL, &error) != TENEBRA_OK ||
        tn_pool_open(b.threads > 0 ? b.threads : tn_cpu_count(), &b.ops.pool, &error) != TENEBRA_OK ||
        tn_arena_reserve(&arena, (size_t)64 << 30, &error) != TENEBRA_OK)
        stop("start", &error);
    b.ops.arena = &arena;
    measure(&b);
    tn_pool_close(b.ops.pool);
    tn_arena_close(&arena);
    tn_plan_close(&b.plan);
    return 0;
}
