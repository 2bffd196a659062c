/* The CPU: the device whose memory is that of the host. */
#include "ops/internal.h"

#include <string.h>

/* Copying and zeroing memory that is larger than the caches is divided among threads. */
enum { MOVE_BLOCK = 1 << 16 };

typedef struct move_job {
    tn_real *to;
    const tn_real *from; /* NULL: zeros */
    size_t count;
    bool add;
} move_job;

static void move_chunk(void *argument, size_t chunk, size_t worker)
{
    const move_job *job = argument;
    size_t begin = chunk * MOVE_BLOCK, end = tn_min(job->count, begin + MOVE_BLOCK);
    (void)worker;
    if (job->from == NULL)
        memset(job->to + begin, 0, (end - begin) * sizeof *job->to);
    else if (!job->add)
        memcpy(job->to + begin, job->from + begin, (end - begin) * sizeof *job->to);
    for (size_t i = begin; job->add && i < end; i++)
        job->to[i] += job->from[i];
}

static void move(tn_ops *ops, tn_real *to, const tn_real *from, size_t count, bool add)
{
    move_job job = { to, from, count, add };
    tn_ops_run(ops, tn_pieces(count, MOVE_BLOCK), (double)count / 8, move_chunk, &job);
}

static void copy(tn_ops *ops, tn_real *to, const tn_real *from, size_t count)
{
    move(ops, to, from, count, false);
}

static void add(tn_ops *ops, tn_real *to, const tn_real *from, size_t count)
{
    move(ops, to, from, count, true);
}

/* Only read; the tensor type has no const variant. */
static tn_real *import(tn_ops *ops, const tn_real *host, size_t count)
{
    (void)ops, (void)count;
    return (tn_real *)(uintptr_t)host;
}

static const tn_real *view(tn_ops *ops, const tn_real *from, size_t count)
{
    (void)ops, (void)count;
    return from;
}

static bool is_finite(tn_ops *ops, tn_tensor x)
{
    (void)ops;
    return tn_all_finite(x.data, x.rows * x.cols);
}

static void argmax(tn_ops *ops, tn_tensor x, size_t *places)
{
    (void)ops;
    for (size_t row = 0; row < x.rows; row++)
        places[row] = tn_argmax(x.data + row * x.cols, x.cols);
}

static void mean_rows(tn_ops *ops, tn_tensor mean, tn_tensor x)
{
    (void)ops;
    for (size_t row = 0; row < x.rows; row++)
        for (size_t i = 0; i < x.cols; i++) {
            tn_real value = x.data[row * x.cols + i];
            mean.data[i] = row == 0 ? value : mean.data[i] + (value - mean.data[i]) * ((tn_real)1 / (tn_real)(row + 1));
        }
}

static void add_heads(tn_ops *ops, tn_tensor sum, tn_tensor rows, tn_real share)
{
    (void)ops;
    for (size_t i = 0; i < rows.cols; i++) {
        tn_real all = 0;
        for (size_t row = 0; row < rows.rows; row++)
            all += rows.data[row * rows.cols + i];
        sum.data[i] += all * share;
    }
}

typedef struct angles_job {
    const float *places;
    const tn_turn *turns;
    size_t count, axes, half;
    tn_real *cosines, *sines;
} angles_job;

static void angles_chunk(void *argument, size_t chunk, size_t worker)
{
    const angles_job *job = argument;
    size_t block = tn_ops_row_block(job->half), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(job->count, begin + block); row++)
        for (size_t i = 0; i < job->half; i++) {
            tn_real angle = job->places[row * job->axes + job->turns[i].axis] * job->turns[i].speed;
            job->cosines[row * job->half + i] = cos(angle);
            job->sines[row * job->half + i] = sin(angle);
        }
}

static void angles(tn_ops *ops, const float *places, size_t count, size_t axes, const tn_turn *turns, size_t half,
                   tn_real *cosines, tn_real *sines)
{
    angles_job job = { places, turns, count, axes, half, cosines, sines };
    /* A sine or cosine takes some tens of steps. */
    tn_ops_run(ops, tn_pieces(count, tn_ops_row_block(half)), (double)count * (double)half * 40, angles_chunk, &job);
}

const tn_device tn_device_cpu = {
    .name = "cpu",
    .operations = {
        [TN_OP_LINEAR] = &tn_cpu_linear,
        [TN_OP_LORA] = &tn_cpu_lora,
        [TN_OP_GATHER] = &tn_cpu_gather,
        [TN_OP_COMPOSE] = &tn_cpu_compose,
        [TN_OP_JOIN] = &tn_shared_join,
        [TN_OP_CHECKPOINT] = &tn_shared_checkpoint,
        [TN_OP_ADD] = &tn_cpu_element,
        [TN_OP_SWIGLU] = &tn_cpu_element,
        [TN_OP_QUICK_GELU] = &tn_cpu_element,
        [TN_OP_GELU] = &tn_cpu_element,
        [TN_OP_NORM] = &tn_cpu_norm,
        [TN_OP_ROPE] = &tn_cpu_rope,
        [TN_OP_STORE] = &tn_cpu_store,
        [TN_OP_ATTENTION] = &tn_cpu_attention,
        [TN_OP_CROSS_ENTROPY] = &tn_cpu_loss,
        [TN_OP_ADD_ROWS] = &tn_cpu_add_rows,
        [TN_OP_RULE_OUT] = &tn_cpu_rule_out,
        [TN_OP_SILU] = &tn_cpu_element,
        [TN_OP_GROUP_NORM] = &tn_cpu_group_norm,
        [TN_OP_CONV] = &tn_cpu_conv,
        [TN_OP_MULTIPLY] = &tn_cpu_element,
        [TN_OP_SIGMOID] = &tn_cpu_element,
        [TN_OP_TANH] = &tn_cpu_element,
        [TN_OP_VECTOR] = &tn_cpu_vector,
        [TN_OP_MIX] = &tn_cpu_mix,
        [TN_OP_PRODUCT] = &tn_cpu_product,
        [TN_OP_SQUARED_ERROR] = &tn_cpu_squared,
    },
    .copy = copy,
    .add = add,
    .read = copy,
    .write = copy,
    .import = import,
    .view = view,
    .is_finite = is_finite,
    .argmax = argmax,
    .nearest = tn_cpu_nearest,
    .mean_rows = mean_rows,
    .add_heads = add_heads,
    .angles = angles,
};
