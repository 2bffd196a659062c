/* The network of denoise.h: shape, forward, loss, sampling. */
#include "reason/denoise.h"

#include "base/checked.h"
#include "model/pieces.h"

#include <math.h>
#include <string.h>

static const double EPS = 1e-5; /* of its norms */

/* ---------------------------------------------------------------- shape -- */

enum { WIDTH_MOST = 256, FEATURES_MOST = 1024, HEADS_MOST = 8, PICTURE_GRID = 8, INNER_TIMES = 4, COLOURS = 3 };

void tn_denoiser_shape(const tn_denoiser_options *options, size_t hidden, size_t *sizes)
{
    bool picture = options->side > 0;
    size_t width = options->width > 0 ? options->width : tn_min(hidden, picture ? WIDTH_MOST : FEATURES_MOST), heads = HEADS_MOST;
    width += width % 2; /* half of the step's numbers are cosines */
    while (width % heads != 0)
        heads--;
    size_t grid = picture ? PICTURE_GRID : options->grid, piece = picture ? options->side / grid : 0;
    sizes[TN_DENOISER_PRESENT] = 1;
    sizes[TN_DENOISER_NOISED] = !options->regression;
    sizes[TN_DENOISER_LAYERS] = options->layers;
    sizes[TN_DENOISER_WIDTH] = width;
    sizes[TN_DENOISER_INNER] = INNER_TIMES * width;
    sizes[TN_DENOISER_HEADS] = heads;
    sizes[TN_DENOISER_GRID] = grid;
    sizes[TN_DENOISER_VALUES] = picture ? piece * piece * COLOURS : hidden;
    sizes[TN_DENOISER_CHANNELS] = picture ? COLOURS : hidden;
    sizes[TN_DENOISER_SIDE] = options->side;
}

tenebra_code tn_denoiser_check(const size_t *sizes, size_t hidden, const char *where, tenebra_error *error)
{
    enum { LAYERS_MOST = 64, GRID_MOST = 64, SIDE_MOST = 256 };
    const size_t *s = sizes;
    size_t grid = s[TN_DENOISER_GRID], side = s[TN_DENOISER_SIDE], width = s[TN_DENOISER_WIDTH], heads = s[TN_DENOISER_HEADS], any = 0;
    for (size_t i = 0; i < TN_DENOISER_SIZES; i++)
        any |= s[i];
    if (s[TN_DENOISER_PRESENT] == 0 && any == 0)
        return TENEBRA_OK;
    bool whole = s[TN_DENOISER_PRESENT] == 1 && s[TN_DENOISER_NOISED] <= 1 && s[TN_DENOISER_LAYERS] >= 1 &&
                 s[TN_DENOISER_LAYERS] <= LAYERS_MOST && width >= 2 && width % 2 == 0 && heads > 0 && width % heads == 0 &&
                 s[TN_DENOISER_INNER] > 0 && grid > 0 && grid <= GRID_MOST && side <= SIDE_MOST;
    size_t piece = whole ? side / grid : 0;
    if (whole && side > 0)
        whole = side % grid == 0 && s[TN_DENOISER_VALUES] == piece * piece * COLOURS && s[TN_DENOISER_CHANNELS] == COLOURS;
    else if (whole)
        whole = s[TN_DENOISER_VALUES] == hidden && s[TN_DENOISER_CHANNELS] == hidden;
    return whole ? TENEBRA_OK
                 : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"sizes\" of the denoiser do not fit each other: the file is damaged");
}

void tn_denoiser_start(const tn_denoiser *d)
{
    if (!tn_denoiser_is_present(d))
        return;
    tn_denoiser_frame *frame = d->parts.frame;
    const tn_matrix *out = &frame->out.matrix;
    memset((tn_real *)(uintptr_t)out->data, 0, out->rows * out->cols * sizeof(tn_real));
    tn_vector_fill(&frame->deviation, 0);
}

/* -------------------------------------------------------------- forward -- */

/* The cells of several cases, one case after another, and the thoughts that each of them reads. */
typedef struct layers_input {
    const tn_denoiser *d;
    size_t count;                /* cases                                   */
    size_t *cells, *thoughts;    /* [count + 1] borders                     */
    tn_tensor condition;         /* [thoughts, WIDTH]                       */
} layers_input;

static tn_tensor norm(tn_ops *ops, tn_tensor x, const tn_denoiser_norm *n)
{
    return tn_op_layer_norm(ops, x, &n->scale, &n->shift, EPS);
}

/* Cells attend to rows of the same case: to `keys`, whose borders may be others. */
static tn_tensor attend(tn_ops *ops, const layers_input *in, const tn_denoiser_attention *w, tn_tensor u, tn_tensor keys,
                        const size_t *borders)
{
    size_t heads = in->d->sizes[TN_DENOISER_HEADS];
    tn_tensor q = tn_piece_linear(ops, u, &w->q, NULL), k = tn_piece_linear(ops, keys, &w->k, NULL);
    const tn_keys cache = tn_keys_of(k, tn_piece_linear(ops, keys, &w->v, NULL));
    const tn_attention shape = { .heads = heads, .kv_heads = heads, .head_dim = u.cols / heads, .segments = in->cells,
                                 .segment_count = in->count, .key_segments = borders };
    return tn_tensor_is_empty(q) || tn_tensor_is_empty(k) ? (tn_tensor){ 0 }
                                                          : tn_piece_linear(ops, tn_op_attention(ops, q, &cache, &shape), &w->o, NULL);
}

static tn_tensor run_block(tn_ops *ops, const layers_input *in, const tn_denoiser_block *block, tn_tensor x)
{
    tn_tensor u = norm(ops, x, &block->before_self);
    x = tn_op_add(ops, attend(ops, in, &block->self, u, u, in->cells), x);
    u = norm(ops, x, &block->before_cross);
    x = tn_op_add(ops, attend(ops, in, &block->cross, u, in->condition, in->thoughts), x);
    u = norm(ops, x, &block->before_mlp);
    tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, u, &block->up, &block->up_bias));
    return tn_op_add(ops, tn_piece_linear(ops, inner, &block->down, &block->down_bias), x);
}

/* The position of every cell: a vector of its row and one of its column. */
static tn_tensor positions(tn_ops *ops, const layers_input *in, const tn_denoiser_case *cases)
{
    const tn_denoiser_frame *frame = in->d->parts.frame;
    size_t total = in->cells[in->count];
    int32_t *rows = tn_ops_take(ops, "positions", total, sizeof *rows), *columns = tn_ops_take(ops, "positions", total, sizeof *columns);
    for (size_t c = 0, at = 0; rows != NULL && columns != NULL && c < in->count; c++)
        for (size_t i = 0; i < in->cells[c + 1] - in->cells[c]; i++, at++) {
            rows[at] = (int32_t)(i / cases[c].target.columns);
            columns[at] = (int32_t)(i % cases[c].target.columns);
        }
    if (rows == NULL || columns == NULL)
        return (tn_tensor){ 0 };
    return tn_op_add(ops, tn_op_gather(ops, &frame->rows, rows, total), tn_op_gather(ops, &frame->columns, columns, total));
}

/* Cosines and sines of a step at frequencies from 1 down to 1/10000 [count, WIDTH], through an MLP (arXiv:2006.11239, appendix B), then
 * for every cell of the case. */
static tn_tensor times(tn_ops *ops, const layers_input *in, const size_t *steps)
{
    const tn_denoiser_noised *noised = in->d->parts.noised;
    size_t width = in->d->sizes[TN_DENOISER_WIDTH], half = width / 2, total = in->cells[in->count];
    tn_real *waves = tn_ops_take(ops, "times", in->count * width, sizeof *waves);
    tn_row_ref *refs = tn_ops_take(ops, "times", total, sizeof *refs);
    for (size_t c = 0; waves != NULL && c < in->count; c++)
        for (size_t i = 0; i < half; i++) {
            double angle = (double)steps[c] * pow(1e-4, (double)i / (double)half);
            waves[c * width + i] = (tn_real)cos(angle);
            waves[c * width + half + i] = (tn_real)sin(angle);
        }
    if (waves == NULL || refs == NULL)
        return (tn_tensor){ 0 };
    tn_tensor x = tn_piece_linear(ops, tn_op_constant(ops, in->count, width, waves), &noised->up, &noised->up_bias);
    x = tn_piece_linear(ops, tn_op_silu(ops, x), &noised->down, &noised->down_bias);
    for (size_t c = 0; c < in->count; c++)
        for (size_t i = in->cells[c]; i < in->cells[c + 1]; i++)
            refs[i] = (tn_row_ref){ x, c };
    return tn_op_compose(ops, refs, total, width);
}

/* Sets borders and condition from the cases. */
static bool read_cases(tn_ops *ops, layers_input *in, const tn_denoiser_case *cases)
{
    const tn_denoiser_frame *frame = in->d->parts.frame;
    in->cells = tn_ops_take(ops, "denoiser", in->count + 1, sizeof *in->cells);
    in->thoughts = tn_ops_take(ops, "denoiser", in->count + 1, sizeof *in->thoughts);
    if (in->cells == NULL || in->thoughts == NULL)
        return false;
    in->cells[0] = in->thoughts[0] = 0;
    for (size_t c = 0; c < in->count; c++) {
        in->cells[c + 1] = in->cells[c] + cases[c].target.rows * cases[c].target.columns;
        in->thoughts[c + 1] = in->thoughts[c] + cases[c].thought_count;
    }
    size_t total = in->thoughts[in->count];
    tn_row_ref *refs = tn_ops_take(ops, "denoiser", total, sizeof *refs);
    for (size_t c = 0; refs != NULL && c < in->count; c++)
        memcpy(refs + in->thoughts[c], cases[c].thoughts, cases[c].thought_count * sizeof *refs);
    if (refs == NULL)
        return false;
    tn_tensor all = tn_op_compose(ops, refs, total, frame->from_thought.matrix.cols);
    in->condition = norm(ops, tn_piece_linear(ops, all, &frame->from_thought, NULL), &frame->thought);
    return !tn_tensor_is_empty(in->condition);
}

/* The prediction for all cells [cells, VALUES]. noised, steps [count]: input and step of each case; a regression has neither. */
static tn_tensor predict(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_case *cases, size_t count, const tn_real *noised,
                         const size_t *steps)
{
    layers_input in = { .d = d, .count = count };
    if (!read_cases(ops, &in, cases))
        return (tn_tensor){ 0 };
    tn_tensor x = positions(ops, &in, cases);
    if (noised != NULL) {
        tn_tensor cells = tn_op_constant(ops, in.cells[count], d->sizes[TN_DENOISER_VALUES], noised);
        x = tn_op_add(ops, tn_piece_linear(ops, cells, &d->parts.noised->in, &d->parts.noised->in_bias), x);
        x = tn_op_add(ops, times(ops, &in, steps), x);
    }
    for (size_t i = 0; i < d->sizes[TN_DENOISER_LAYERS] && tn_ops_proceed(ops); i++)
        x = run_block(ops, &in, &d->parts.blocks[i], x);
    return tn_piece_linear(ops, norm(ops, x, &d->parts.frame->last), &d->parts.frame->out, &d->parts.frame->out_bias);
}

/* ----------------------------------------------------------------- loss -- */

/* Targets of the prediction, one case after another, and, for a denoiser, its input. */
typedef struct goals {
    tn_real *wanted, *noised;
    size_t *steps;
} goals;

static bool draw_goals(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_case *cases, size_t count, size_t values, goals *g)
{
    bool regression = d->sizes[TN_DENOISER_NOISED] == 0;
    tn_noise_schedule *schedule = tn_ops_take(ops, "denoiser", 1, sizeof *schedule);
    *g = (goals){ .wanted = tn_ops_take(ops, "denoiser", values, sizeof(tn_real)),
                  .noised = tn_ops_take(ops, "denoiser", values, sizeof(tn_real)),
                  .steps = tn_ops_take(ops, "denoiser", count, sizeof(size_t)) };
    if (schedule == NULL || g->wanted == NULL || g->noised == NULL || g->steps == NULL)
        return false;
    tn_noise_schedule_fill(schedule);
    for (size_t c = 0, at = 0; c < count; c++) {
        size_t size = tn_denoiser_count(d, &cases[c].target);
        memcpy((regression ? g->wanted : g->noised) + at, cases[c].target.values, size * sizeof *g->wanted);
        if (!regression) {
            g->steps[c] = tn_diffusion_draw(cases[c].seed, g->wanted + at, size);
            tn_diffusion_add_noise(schedule, g->steps[c], g->wanted + at, g->noised + at, size);
        }
        at += size;
    }
    if (regression)
        g->noised = NULL;
    return true;
}

tn_tensor tn_denoiser_loss(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_case *cases, size_t count, double scale)
{
    size_t width = d->sizes[TN_DENOISER_VALUES], values = 0;
    goals g;
    for (size_t c = 0; c < count; c++)
        values += tn_denoiser_count(d, &cases[c].target);
    if (count == 0)
        return tn_op_constant(ops, 1, 1, NULL);
    if (!draw_goals(ops, d, cases, count, values, &g))
        return (tn_tensor){ 0 };
    tn_tensor all = predict(ops, d, cases, count, g.noised, g.steps), sum = { 0 };
    const tn_tensor wanted = tn_op_constant(ops, values / width, width, g.wanted);
    for (size_t c = 0, row = 0; c < count; c++) {
        size_t rows = cases[c].target.rows * cases[c].target.columns;
        tn_tensor one = tn_op_squared_error(ops, tn_op_rows(ops, all, row, rows), tn_op_rows(ops, wanted, row, rows),
                                            scale / ((double)rows * (double)width));
        sum = c == 0 ? one : tn_op_add(ops, sum, one);
        row += rows;
    }
    return sum;
}

/* ------------------------------------------------------------- sampling -- */

typedef struct sampled {
    tn_ops *ops;
    const tn_denoiser *d;
    const tn_denoiser_case *one;
} sampled;

/* One prediction, whose memory is released. */
static bool predict_noise(void *user, const tn_real *x, size_t t, tn_real *eps)
{
    const sampled *s = user;
    size_t mark = tn_ops_mark(s->ops);
    bool noised = s->d->sizes[TN_DENOISER_NOISED] > 0;
    bool read = tn_op_read(s->ops, predict(s->ops, s->d, s->one, 1, noised ? x : NULL, &t), eps);
    tn_ops_release(s->ops, mark);
    return read;
}

/* Bounds of each value, normalised: black and white of a picture, else some deviations. At the first steps, abar is so small that an
 * error of the prediction would otherwise be multiplied by 158. */
static bool find_bounds(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_target *target, const tn_real **lowest,
                        const tn_real **highest)
{
    enum { DEVIATIONS = 3 };
    bool picture = tn_denoiser_shows(d) && tn_denoiser_is_measured(d);
    for (int white = 0; white < 2; white++) {
        tn_denoiser_target bounds = *target;
        size_t count = tn_denoiser_count(d, target);
        tn_real *values = bounds.values = tn_ops_take(ops, "denoiser", count, sizeof *values);
        if (values == NULL)
            return false;
        for (size_t i = 0; i < count; i++)
            values[i] = picture ? (tn_real)white : (tn_real)(white ? DEVIATIONS : -DEVIATIONS);
        if (picture)
            tn_denoiser_normalise(d, &bounds);
        *(white ? highest : lowest) = values;
    }
    return true;
}

bool tn_denoiser_sample(tn_ops *ops, const tn_denoiser *d, const tn_row_ref *thoughts, size_t thought_count, size_t steps, uint64_t seed,
                        const tn_denoiser_target *target)
{
    const tn_denoiser_case one = { thoughts, thought_count, *target, seed };
    size_t count = tn_denoiser_count(d, target), mark = tn_ops_mark(ops);
    sampled s = { ops, d, &one };
    tn_sampling_plan plan = { .count = count, .steps = steps, .seed = seed };
    bool done;
    if (d->sizes[TN_DENOISER_NOISED] == 0) {
        done = predict_noise(&s, target->values, 0, target->values);
    } else {
        tn_real *scratch = tn_ops_take(ops, "denoiser", count, sizeof *scratch);
        done = scratch != NULL && find_bounds(ops, d, target, &plan.lowest, &plan.highest) &&
               tn_diffusion_sample(&plan, predict_noise, &s, target->values, scratch);
    }
    tn_ops_release(ops, mark);
    if (done && !tn_all_finite(target->values, count)) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "denoiser", "the reconstruction holds a value that is NaN or infinite");
        return false;
    }
    return done;
}
