/* Shared by the files of `tenebra bench`. */
#ifndef TN_APP_BENCH_H
#define TN_APP_BENCH_H

#include "app/app.h"

#include "reason/reasoner.h"

#include <jansson.h>

enum { TN_BENCH_REPEATS = 100 };

typedef struct tn_bench_options {
    const char *directory, *kernels, *cache_type;
    size_t image_size[2]; /* width and height in pixels; 0: the default */
    const char *shape, *output, *tokenizer, *type, *order;
    size_t threads, prompt, latents, picks, tokens, repeats;
    uint64_t seed;
    bool json, list_kernels, compare, costs;
} tn_bench_options;

/* How a question is asked. */
typedef struct tn_bench_way {
    bool recompute;
    bool warm;    /* cached image embeddings and rows of the prompt may be used again */
    bool observe; /* observe every event                             */
    size_t lens;
    size_t tokens;
} tn_bench_way;

/* Times of one question, in milliseconds. */
typedef struct tn_measures {
    double vision, prompt, latent_step, token, total;
    size_t positions;
} tn_measures;

/* The row of the prompt at which the image begins. */
enum { TN_BENCH_IMAGE_AT = 4 };

typedef struct tn_bench {
    const tn_bench_options *options;
    tn_model *model;
    tn_session *session;
    tn_image image;
    struct tn_reasoner *reasoner;  /* of the last question, closed: what the session still holds refers to it */
    const tn_image_rows *picture;  /* its                    */
    size_t prompt_count;           /* rows                   */
    double load_ms;
    tn_measures runs[2][TN_BENCH_REPEATS]; /* [0]: incremental, [1]: recomputing all rows at every step */
} tn_bench;

tenebra_code tn_bench_ask(tn_bench *bench, tn_bench_way way, tn_measures *out, tenebra_error *error);

/* The median of `count` values, which are sorted in place. */
double tn_bench_median(double *values, size_t count);

/* Adds the least times that this machine could need for the same products, as floor_..._ms, and the rates that they
 * follow from (read_gb_per_s; peak_gop_per_s for the weights' type, if the kernel set can measure it). Requires that a question
 * was run. */
void tn_bench_floors(tn_bench *bench, json_t *json);

/* Measures what observation costs, in pairs of runs. Adds tap_cost_percent (attention scores of all image rows, relative to a
 * latent step), trace_cost_percent and lens_cost_percent (an observer, and the tokens read from each latent, relative to the
 * steps of a question), and warm_question_ms. Requires that a question was run. */
tenebra_code tn_bench_costs(tn_bench *bench, json_t *json, tenebra_error *error);

#endif
