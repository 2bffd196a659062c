/* Speed of the kernel sets on the matrix shapes of Qwen2-VL, compared with the peak of the machine.
 *
 *     bench_kernels [--set NAME] [--type NAME] [--shape NAME] [--rows M,M,...] [--gradients] [--panels]
 *                   [--seconds S]
 *
 * For each set, type and shape: GFLOP/s (2 m n k operations) and GB/s (bytes of weights read), with one
 * thread and with all processors; best of the runs that fit into S seconds (0.4). Weights are taken one after another from one
 * large buffer, so that they come from memory as they do in a model. --panels: weights in the
 * packed order. */
#include "base/clock.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kern/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 512, MAX_COLS = 18944, WEIGHT_BYTES = 512 << 20, INPUT_ROWS = 4 };

typedef struct tn_shape {
    const char *name;
    size_t n, k;
} tn_shape;

static const tn_shape shapes[] = {
    { "2B qkv", 2048, 1536 },     { "2B gate", 8960, 1536 },    { "2B down", 1536, 8960 },
    { "7B qkv", 4608, 3584 },     { "7B gate", 18944, 3584 },   { "7B down", 3584, 18944 },
    { "vision qkv", 3840, 1280 },
};

typedef struct tn_bench {
    tn_pool *pool;
    const tn_kernels *kernels;
    unsigned char *weights;
    float *x, *y, *scratch, *dw;
    void *input;  /* x in the form that `linear` reads */
    size_t slice; /* size of the scratch memory of one thread, in reals */
    double seconds;
    const char *set, *type, *shape, *rows; /* what is measured; set, type, shape: NULL for all */
    bool gradients, panels;
} tn_bench;

/* One measured operation; `run` executes it once. */
typedef struct tn_job {
    const tn_bench *bench;
    tn_matrix w;
    size_t m, chunks, turn;
    tn_chunk_fn *run;
} tn_job;

/* ------------------------------------------------------------- kernels -- */

static void linear_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_job *job = argument;
    const tn_bench *b = job->bench;
    size_t begin = chunk * b->kernels->linear_chunk, end = begin + b->kernels->linear_chunk;
    b->kernels->linear(&job->w, begin, end < job->w.rows ? end : job->w.rows, b->x, job->w.cols, b->input, job->m,
                       b->y, job->w.rows, b->scratch + worker * b->slice);
}

static void input_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_job *job = argument;
    size_t begin = chunk * INPUT_ROWS, end = begin + INPUT_ROWS;
    (void)worker;
    job->bench->kernels->input(&job->w, job->bench->x, job->w.cols, begin, end < job->m ? end : job->m, job->m,
                               job->bench->input);
}

static void dx_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_job *job = argument;
    const tn_bench *b = job->bench;
    size_t begin = chunk * b->kernels->linear_chunk, end = begin + b->kernels->linear_chunk;
    b->kernels->linear_dx(&job->w, begin, end < job->w.cols ? end : job->w.cols, b->x, job->w.rows, job->m, b->y,
                          job->w.cols, b->scratch + worker * b->slice);
}

static void dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_job *job = argument;
    const tn_bench *b = job->bench;
    size_t begin = chunk * b->kernels->linear_chunk, end = begin + b->kernels->linear_chunk;
    b->kernels->linear_dw(b->dw, job->w.cols, begin, end < job->w.rows ? end : job->w.rows, b->x, job->w.rows,
                          b->y, job->w.cols, job->m, b->scratch + worker * b->slice);
}

/* x for linear, and linear itself, as the operation runs them. */
static void run_job(tn_job *job)
{
    const tn_bench *b = job->bench;
    if (job->run == linear_chunk && b->kernels->input_bytes(&job->w, job->m) > 0)
        tn_pool_run(b->pool, (job->m + INPUT_ROWS - 1) / INPUT_ROWS, input_chunk, job);
    tn_pool_run(b->pool, job->chunks, job->run, job);
}

/* The least milliseconds of one run; every run uses the next matrix of the buffer. */
static double best_ms(tn_job *job)
{
    size_t bytes = tn_matrix_bytes(&job->w);
    size_t copies = WEIGHT_BYTES / bytes;
    double best = 1e30, until = tn_clock_ms() + job->bench->seconds * 1e3;
    do {
        job->w.data = job->bench->weights + job->turn++ % copies * bytes;
        double start = tn_clock_ms();
        run_job(job);
        double time = tn_clock_ms() - start;
        best = time < best ? time : best;
    } while (tn_clock_ms() < until || job->turn < 3);
    return best;
}

static void report(tn_bench *bench, const char *what, const tn_shape *shape, tn_dtype type, size_t m)
{
    tn_job job = { .bench = bench, .w = { type, shape->n, shape->k, NULL, bench->panels ? TN_PANELS : TN_ROWS },
                   .m = m };
    bool dx = strcmp(what, "dx") == 0;
    job.run = dx ? dx_chunk : strcmp(what, "dw") == 0 ? dw_chunk : linear_chunk;
    size_t outputs = dx ? shape->k : shape->n, chunk = bench->kernels->linear_chunk;
    job.chunks = (outputs + chunk - 1) / chunk;
    double ms = best_ms(&job);
    double flops = 2.0 * (double)m * (double)shape->n * (double)shape->k;
    double bytes = (double)tn_matrix_bytes(&job.w);
    printf("%-10s %zu thr  %-6s %-5s %-10s m %-4zu %9.3f ms %8.1f GFLOP/s %7.1f GB/s\n", bench->kernels->name,
           tn_pool_threads(bench->pool), what, tn_dtype_of(type)->name, shape->name, m, ms, flops / ms * 1e-6,
           bytes / ms * 1e-6);
    fflush(stdout);
}

static bool wanted(const char *choice, const char *name)
{
    return choice == NULL || strcmp(choice, name) == 0;
}

/* Every row count for one set, type and shape. */
static void run_shape(tn_bench *bench, tn_dtype type, const tn_shape *shape)
{
    bool slow = strcmp(bench->kernels->name, "reference") == 0 && bench->shape == NULL;
    char *next = NULL;
    for (const char *p = bench->rows; *p != '\0'; p = *next == ',' ? next + 1 : next) {
        size_t m = strtoul(p, &next, 10);
        if (next == p || m < 1 || m > MAX_ROWS)
            break;
        if (slow && m > 1 && shape != &shapes[0])
            continue;
        if (!bench->gradients)
            report(bench, "linear", shape, type, m);
        if (bench->gradients && m > 1)
            report(bench, "dx", shape, type, m);
        if (bench->gradients && m > 1 && type == TN_F32)
            report(bench, "dw", shape, type, m);
    }
}

static void run_set(tn_bench *bench)
{
    const tn_dtype types[] = { TN_F32, TN_BF16, TN_F16, TN_Q8_0, TN_Q4_0, TN_IQ4_NL, TN_Q8_256, TN_Q4_256 };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            if ((!bench->panels || tn_dtype_of(types[t])->bits > 0) && wanted(bench->type, tn_dtype_of(types[t])->name) && wanted(bench->shape, shapes[s].name))
                run_shape(bench, types[t], &shapes[s]);
}

/* Weights that are ordinary numbers in all three types: 16-bit words 0x3000 .. 0x33FF with either sign. Memory is aligned like
 * that of an arena. */
static bool open_bench(tn_bench *bench)
{
    size_t threads = tn_cpu_count();
    const tn_matrix widest = { TN_F32, MAX_COLS, MAX_COLS, NULL, TN_ROWS };
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        size_t need = tn_kernels_at(i)->linear_scratch(&widest, MAX_ROWS) + 16;
        bench->slice = need > bench->slice ? need : bench->slice;
    }
    bench->weights = aligned_alloc(64, WEIGHT_BYTES);
    bench->x = aligned_alloc(64, sizeof(float) * MAX_ROWS * MAX_COLS);
    bench->y = aligned_alloc(64, sizeof(float) * MAX_ROWS * MAX_COLS);
    bench->input = aligned_alloc(64, sizeof(float) * MAX_ROWS * MAX_COLS);
    bench->dw = calloc((size_t)MAX_COLS * 3584, sizeof(float));
    bench->scratch = malloc(sizeof(float) * bench->slice * threads);
    if (!bench->weights || !bench->x || !bench->y || !bench->input || !bench->dw || !bench->scratch)
        return false;
    tn_rng rng = tn_rng_seed(1);
    for (size_t i = 0; i < (size_t)WEIGHT_BYTES; i += 2) {
        uint16_t word = (uint16_t)(0x3000u | (tn_rng_next(&rng) & 0x83FFu));
        memcpy(bench->weights + i, &word, 2);
    }
    for (size_t i = 0; i < (size_t)MAX_ROWS * MAX_COLS; i++)
        bench->x[i] = bench->y[i] = (float)tn_rng_uniform(&rng) - 0.5f;
    return true;
}

static void run_all(tn_bench *bench)
{
    size_t counts[2] = { 1, tn_cpu_count() };
    const tn_kernels *best = tn_kernels_reference(); /* of those whose peak can be measured */
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++)
        best = tn_kernels_at(i)->spin != NULL ? tn_kernels_at(i) : best;
    for (size_t c = 0; c < (counts[1] > 1 ? 2u : 1u); c++) {
        tn_pool_open(counts[c], &bench->pool, NULL);
        if (bench->pool == NULL)
            return;
        double flops = tn_probe_operations(bench->pool, best, TN_F32) * 1e-6, read = tn_probe_bytes(bench->pool) * 1e-6;
        printf("peaks      %zu thr  fused multiply-adds %.1f GFLOP/s, streaming read %.1f GB/s\n", counts[c], flops,
               read);
        for (size_t i = 0; (bench->kernels = tn_kernels_at(i)) != NULL; i++)
            if (wanted(bench->set, bench->kernels->name))
                run_set(bench);
        tn_pool_close(bench->pool);
    }
}

/* Stores the value of option `name` if argv[*i] is it. */
static bool take_option(int argc, char **argv, int *i, const char *name, const char **value)
{
    if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc)
        return false;
    *value = argv[++*i];
    return true;
}

int main(int argc, char **argv)
{
    tn_bench bench = { .rows = "1,5,20,64,400" };
    const char *seconds = "0.4";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--gradients") == 0)
            bench.gradients = true;
        else if (strcmp(argv[i], "--panels") == 0)
            bench.panels = true;
        else if (!take_option(argc, argv, &i, "--set", &bench.set) &&
                 !take_option(argc, argv, &i, "--type", &bench.type) &&
                 !take_option(argc, argv, &i, "--shape", &bench.shape) &&
                 !take_option(argc, argv, &i, "--rows", &bench.rows) &&
                 !take_option(argc, argv, &i, "--seconds", &seconds)) {
            fprintf(stderr, "usage: bench_kernels [--set NAME] [--type NAME] [--shape NAME] [--rows M,M,...] "
                            "[--gradients] [--panels] [--seconds S]\n");
            return 2;
        }
    }
    bench.seconds = strtod(seconds, NULL);
    if (!open_bench(&bench)) {
        fprintf(stderr, "bench_kernels: not enough memory\n");
        return 1;
    }
    run_all(&bench);
    free(bench.weights);
    free(bench.x);
    free(bench.y);
    free(bench.input);
    free(bench.dw);
    free(bench.scratch);
    return 0;
}
