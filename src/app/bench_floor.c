/* The floor of each measurement: the least time in which this machine, at its present load, could compute the products of a
 * span. Every weight is read from memory once, and every multiply-add is done once at the speed of registers. The longer of
 * these two times counts, matrix by matrix. Attention, norms and activations are assumed to cost nothing. */
#include "app/bench.h"

#include "base/checked.h"
#include "kern/probe.h"

#include <math.h>

/* Bytes read and operations done per millisecond; operations are measured for the weight types of the model. */
typedef struct rates {
    tn_pool *pool;
    const tn_kernels *kernels;
    double bytes, operations[TN_DTYPE_COUNT];
    bool known[TN_DTYPE_COUNT];
} rates;

/* Operations per millisecond of products with weights of `type`; 0: not known. */
static double spin_rate(rates *r, tn_dtype type)
{
    if (!r->known[type])
        r->operations[type] = tn_probe_operations(r->pool, r->kernels, type);
    r->known[type] = true;
    return r->operations[type];
}

/* -------------------------------------------------------------- floors -- */

static double floor_of(rates *r, const tn_weight *w, size_t rows)
{
    const tn_matrix *m = &w->matrix;
    double read_ms = (double)tn_matrix_bytes(m) / r->bytes;
    double operations = 2.0 * (double)rows * (double)m->rows * (double)m->cols;
    if (m->data == NULL)
        return 0;
    return spin_rate(r, m->type) > 0 ? fmax(read_ms, operations / r->operations[m->type]) : read_ms;
}

typedef struct floor_job {
    rates *rates;
    tn_network_kind kind;
    size_t rows; /* of input */
    double sum;
} floor_job;

static tenebra_code add_floor(void *user, const tn_place *place, tenebra_error *error)
{
    floor_job *job = user;
    tn_role role = place->row->role;
    (void)error;
    if (place->network->layout->kind == job->kind && (role == TN_ROLE_LINEAR || role == TN_ROLE_PATCHES))
        for (size_t part = 0; part < place->row->parts; part++)
            job->sum += floor_of(job->rates, (const tn_weight *)place->slot + part, job->rows / tn_place_pool(place));
    return TENEBRA_OK;
}

static tenebra_code find_pool(void *user, const tn_place *place, tenebra_error *error)
{
    size_t *pool = user;
    (void)error;
    if (place->network->layout->kind == TN_NETWORK_IMAGES)
        *pool = tn_max(*pool, tn_place_pool(place));
    return TENEBRA_OK;
}

/* The floor of a network, without its embedding and head. */
static double floor_of_network(rates *r, const tn_model *model, tn_network_kind kind, size_t rows)
{
    floor_job job = { r, kind, rows, 0 };
    tn_networks_each(&model->networks, add_floor, &job, NULL);
    return job.sum;
}

static void add_rates(const tn_bench *bench, rates *r, json_t *json)
{
    const tn_decoder *decoder = &bench->model->decoder;
    json_object_set_new(json, "read_gb_per_s", json_real(r->bytes * 1e-6));
    tn_dtype type = decoder->layers[0].gate.matrix.type;
    if (spin_rate(r, type) > 0)
        json_object_set_new(json, "peak_gop_per_s", json_real(r->operations[type] * 1e-6));
    json_object_set_new(json, "weight_type", json_string(tn_dtype_of(type)->name));
}

void tn_bench_floors(tn_bench *bench, json_t *json)
{
    const tn_model *model = bench->model;
    const tn_bench_options *options = bench->options;
    size_t pool = 1; /* rows that the tower reads for one that it gives */
    tn_networks_each(&model->networks, find_pool, &pool, NULL);
    rates r = { .pool = bench->session->engine->pool, .kernels = model->kernels, .bytes = tn_probe_bytes(bench->session->engine->pool) };
    if (r.bytes <= 0)
        return;
    double vision = floor_of_network(&r, model, TN_NETWORK_IMAGES, bench->picture->rows * pool);
    double prompt = floor_of_network(&r, model, TN_NETWORK_DECODER, bench->prompt_count);
    double step = floor_of_network(&r, model, TN_NETWORK_DECODER, tn_min(options->picks, bench->picture->rows) + 1);
    double head = floor_of(&r, &model->decoder.head, 1), token = floor_of_network(&r, model, TN_NETWORK_DECODER, 1) + head;
    add_rates(bench, &r, json);
    json_object_set_new(json, "floor_vision_ms", json_real(vision));
    json_object_set_new(json, "floor_prompt_ms", json_real(prompt));
    json_object_set_new(json, "floor_latent_step_ms", json_real(step));
    json_object_set_new(json, "floor_token_ms", json_real(token));
    json_object_set_new(json, "floor_question_ms",
                        json_real(vision + prompt + (double)options->latents * step + head +
                                  (double)(options->tokens - 1) * token));
}
