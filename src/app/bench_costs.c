/* What observation costs. Differences of 1 % require pairs: both variants run one after the other, their order changes from
 * pair to pair, and the result is the median of the ratios. */
#include "app/bench.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* A latent step as the loop runs it: picked embeddings, then a hidden state. */
typedef struct step {
    tn_row *rows;
    size_t count, at; /* rows of the step; the first row of the cache that they fill */
    size_t *keys;     /* of the image */
    tn_real *mean;
} step;

static tenebra_code run_step(tn_bench *bench, const step *s, bool tapped, double *ms, tenebra_error *error)
{
    const tn_span_tap tap = { .query = s->count - 1, .keys = s->keys, .count = bench->picture->rows, .mean = s->mean };
    tn_sequence_truncate(&bench->session->sequence, s->at);
    double start = tn_clock_ms();
    TN_TRY(tn_session_append(bench->session, s->rows, s->count, tapped ? &tap : NULL, NULL, error));
    *ms = tn_clock_ms() - start;
    return TENEBRA_OK;
}

/* The rows of the last question's image, and its hidden state. */
static tenebra_code make_step(tn_bench *bench, step *s, tenebra_error *error)
{
    tn_session *session = bench->session;
    size_t picks = tn_min(bench->options->picks, bench->picture->rows);
    *s = (step){ .rows = calloc(picks + 1, sizeof *s->rows), .count = picks + 1, .at = bench->prompt_count,
                 .keys = calloc(bench->picture->rows + 1, sizeof *s->keys),
                 .mean = calloc(bench->picture->rows + 1, sizeof *s->mean) };
    if (s->rows == NULL || s->keys == NULL || s->mean == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "bench", "no memory");
    for (size_t i = 0; i < bench->picture->rows; i++)
        s->keys[i] = TN_BENCH_IMAGE_AT + i;
    for (size_t i = 0; i < picks; i++)
        s->rows[i] = tn_row_of_cell(bench->picture, i);
    tn_tensor hidden;
    TN_TRY(tn_session_keep_row(session, tn_session_hidden(session), &hidden, error));
    s->rows[picks] = tn_row_of_vector(hidden, 0);
    for (size_t i = 0; i <= picks; i++)
        for (size_t axis = 0; axis < 3; axis++)
            s->rows[i].position.axis[axis] = (int32_t)(s->at + i);
    return TENEBRA_OK;
}

static tenebra_code tap_cost(tn_bench *bench, double *percent, tenebra_error *error)
{
    step s;
    double ratios[TN_BENCH_REPEATS], ms[2];
    tenebra_code code = make_step(bench, &s, error);
    for (size_t i = 0; code == TENEBRA_OK && i < bench->options->repeats; i++) {
        for (size_t turn = 0; code == TENEBRA_OK && turn < 2; turn++) {
            bool tapped = (i + turn) % 2 == 0;
            code = run_step(bench, &s, tapped, &ms[tapped], error);
        }
        ratios[i] = ms[1] / ms[0];
    }
    free(s.rows);
    free(s.keys);
    free(s.mean);
    *percent = code == TENEBRA_OK ? 100 * (tn_bench_median(ratios, bench->options->repeats) - 1) : 0;
    return code;
}

/* Asks question after question; only the latent steps and one token are computed anew. */
static tenebra_code question_cost(tn_bench *bench, tn_bench_way plain, tn_bench_way looking, double *percent, double *plain_ms,
                                  tenebra_error *error)
{
    double ratios[TN_BENCH_REPEATS], totals[TN_BENCH_REPEATS];
    const tn_bench_way ways[2] = { plain, looking };
    tn_measures measures[2];
    TN_TRY(tn_bench_ask(bench, plain, &measures[0], error));
    for (size_t i = 0; i < bench->options->repeats; i++) {
        for (size_t turn = 0; turn < 2; turn++)
            TN_TRY(tn_bench_ask(bench, ways[(i + turn) % 2], &measures[(i + turn) % 2], error));
        ratios[i] = measures[1].total / measures[0].total;
        totals[i] = measures[0].total;
        if (tn_app_interrupted())
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, "bench", "was interrupted");
    }
    *percent = 100 * (tn_bench_median(ratios, bench->options->repeats) - 1);
    *plain_ms = tn_bench_median(totals, bench->options->repeats);
    return TENEBRA_OK;
}

tenebra_code tn_bench_costs(tn_bench *bench, json_t *json, tenebra_error *error)
{
    double tap = 0, trace, lens, warm, steps;
    const tn_bench_way plain = { .warm = true, .tokens = 1 }, observed = { .warm = true, .tokens = 1, .observe = true },
                       read = { .warm = true, .tokens = 1, .observe = true, .lens = 5 },
                       whole = { .warm = true, .tokens = bench->options->tokens };
    if (bench->picture->rows > 0)
        TN_TRY(tap_cost(bench, &tap, error));
    TN_TRY(question_cost(bench, plain, observed, &trace, &steps, error));
    TN_TRY(question_cost(bench, observed, read, &lens, &steps, error));
    tn_measures measures;
    TN_TRY(tn_bench_ask(bench, whole, &measures, error));
    warm = measures.total;
    json_t *costs = json_pack("{s:f, s:f, s:f, s:f}", "tap_cost_percent", tap, "trace_cost_percent", trace,
                              "lens_cost_percent", lens, "warm_question_ms", warm);
    json_object_update(json, costs);
    json_decref(costs);
    return TENEBRA_OK;
}
