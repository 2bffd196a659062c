/* Nearest neighbours among the rows of a codebook (vector quantisation). The dot products are one matrix product; it is computed from
 * a copy of the codebook in the type of activations, whatever type the file has. */
#include "ops/internal.h"

#include <string.h>

/* Rows of x at a time: their products with 8192 entries take 8 MB. */
enum { SLAB = 256 };

typedef struct nearest_job {
    const tn_kernels *kernels;
    tn_tensor x;
    const tn_weight *book;
    tn_matrix matrix;     /* the copy                                     */
    tn_real *entries;     /* [N, C] of the copy                           */
    tn_real *squares;     /* [N] |e|^2                                    */
    tn_real *dots;        /* [SLAB, N]                                    */
    size_t begin, count;  /* rows of the slab                             */
    int32_t *codes;
    tn_real *distances;
    tn_real *scratch;
    size_t slice;
} nearest_job;

static tn_real square_of(const tn_real *row, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)row[i] * (double)row[i];
    return (tn_real)sum;
}

static void entry_chunk(void *argument, size_t chunk, size_t worker)
{
    const nearest_job *job = argument;
    size_t cols = job->matrix.cols, block = tn_ops_row_block(cols), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(job->matrix.rows, begin + block); row++) {
        tn_matrix_unpack(&job->book->matrix, row, 0, cols, job->entries + row * cols);
        job->squares[row] = square_of(job->entries + row * cols, cols);
    }
}

static void dots_chunk(void *argument, size_t chunk, size_t worker)
{
    const nearest_job *job = argument;
    size_t begin = chunk * job->kernels->linear_chunk, end = tn_min(job->matrix.rows, begin + job->kernels->linear_chunk);
    job->kernels->linear(&job->matrix, begin, end, job->x.data + job->begin * job->x.cols, job->x.cols, NULL, job->count, job->dots,
                         job->matrix.rows, job->scratch + worker * job->slice);
}

/* The first of equal distances; -1 if the least one is not finite, or any is not a number. */
static void choose_chunk(void *argument, size_t row, size_t worker)
{
    const nearest_job *job = argument;
    const tn_real *dots = job->dots + row * job->matrix.rows;
    tn_real square = square_of(job->x.data + (job->begin + row) * job->x.cols, job->x.cols), least = 0;
    int32_t best = -1;
    bool known = true;
    (void)worker;
    for (size_t n = 0; n < job->matrix.rows; n++) {
        tn_real distance = square + job->squares[n] - 2 * dots[n];
        known = known && !isnan(distance);
        if (distance < least || best < 0) {
            least = distance;
            best = (int32_t)n;
        }
    }
    job->codes[job->begin + row] = known && isfinite(least) ? best : -1;
    if (job->distances != NULL)
        job->distances[job->begin + row] = least;
}

void tn_cpu_nearest(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances)
{
    size_t rows = book->matrix.rows, cols = book->matrix.cols, mark = tn_arena_mark(ops->arena);
    nearest_job job = { .kernels = ops->kernels, .x = x, .book = book, .codes = codes, .distances = distances };
    job.entries = tn_ops_take(ops, "nearest", rows * cols, sizeof *job.entries);
    job.squares = tn_ops_take(ops, "nearest", rows, sizeof *job.squares);
    job.dots = tn_ops_take(ops, "nearest", SLAB * rows, sizeof *job.dots);
    job.matrix = (tn_matrix){ sizeof(tn_real) == sizeof(float) ? TN_F32 : TN_F64, rows, cols, job.entries, TN_ROWS };
    job.scratch = tn_ops_scratch(ops, "nearest", ops->kernels->linear_scratch(&job.matrix, SLAB), &job.slice);
    if (job.scratch != NULL)
        tn_ops_run(ops, tn_pieces(rows, tn_ops_row_block(cols)), (double)rows * (double)cols, entry_chunk, &job);
    for (; job.scratch != NULL && job.begin < x.rows; job.begin += SLAB) {
        job.count = tn_min(SLAB, x.rows - job.begin);
        double work = (double)job.count * (double)rows;
        tn_ops_run(ops, tn_pieces(rows, ops->kernels->linear_chunk), work * (double)cols / 8, dots_chunk, &job);
        tn_ops_run(ops, job.count, work, choose_chunk, &job);
    }
    tn_arena_release(ops->arena, mark);
}

bool tn_op_nearest(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances)
{
    const tn_matrix *m = &book->matrix;
    if (!tn_ops_usable(ops, "nearest", x))
        return false;
    if (m->data == NULL || m->rows == 0 || m->rows > INT32_MAX || m->cols != x.cols || !tn_matrix_fits(m)) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "nearest", "rows of %zu columns do not fit a codebook [%zu, %zu]%s", x.cols, m->rows,
                m->cols, m->data == NULL ? ", which is absent" : "");
        return false;
    }
    tn_device_of(ops)->nearest(ops, x, book, codes, distances);
    return ops->failure.code == TENEBRA_OK;
}
