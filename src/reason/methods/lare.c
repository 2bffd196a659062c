/* LaRe, latent refocusing: our reading of the published description (arXiv:2511.02360; no code is published). A chain of vectors, the
 * thoughts, is fed back, one row each. Before every thought the image is looked at again: the image embeddings to which the
 * last row attends most, together with the question's hidden states and the thoughts so far, are read by a small transformer, the
 * LQ-Former, that refines the thought. Picked embeddings are only read there and do not enter the sequence.
 *
 * The parts and their defaults, which the description leaves open, are in docs/methods.md. */
#include "model/pieces.h"
#include "reason/latent.h"
#include "reason/parts.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

/* --------------------------------------------------------------- module -- */

enum { HIDDEN = TN_MODULE_HIDDEN, WIDTH, INNER, LAYERS, HEADS, STEPS, EXTRA, ONE, MARKS }; /* sizes; EXTRA: learned queries */
enum { EPS };                                                                              /* numbers */

typedef struct lq_norm {
    tn_vector scale, shift;
} lq_norm;

typedef struct lq_attention {
    tn_weight q, k, v, o;
} lq_attention;

typedef struct lq_layer {
    lq_norm before_self, before_look, before_mlp;
    lq_attention self, look, read; /* to itself and earlier thoughts; to the picked embeddings; to the question */
    tn_weight gate_state, gate_look, gate_read;
    tn_vector gate_bias;
    tn_weight up, down;
    tn_vector up_bias, down_bias;
} lq_layer;

typedef struct lq_query {
    tn_weight row; /* [1, WIDTH] */
} lq_query;

typedef struct lq_former {
    tn_network network;
    tn_weight from_state, from_image, from_question, from_thought; /* [WIDTH, C] into the LQ-Former's width */
    tn_weight numbers; /* [STEPS, WIDTH] added for the number of a thought */
    lq_query *queries; /* [EXTRA] learned queries beside the one from the state */
    lq_layer *layers;
    lq_norm last;
    tn_weight out;     /* [C, WIDTH] */
    tn_vector gamma, extent; /* [1] how much of the result is added, and the size of a thought */
    tn_weight borders; /* [2, C] rows before and after the thoughts */
} lq_former;

#define TOP(name_, role_, member, ...) .name = "module." name_, TN_LAYOUT_ROW(role_, 0, offsetof(lq_former, member), 1, __VA_ARGS__)
#define IN(name_, role_, member, ...) \
    .name = "module.layers.%zu." name_, TN_LAYOUT_ROW(role_, 1, offsetof(lq_layer, member), 1, __VA_ARGS__)
/* Members follow a dot, so they are without parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define NORM(name, member)                                            \
    { IN(name ".weight", SCALE, member.scale, WIDTH) },               \
    { IN(name ".bias", SHIFT, member.shift, WIDTH) }
#define ATTENTION(name, member)                                       \
    { IN(name ".q_proj.weight", LINEAR, member.q, WIDTH, WIDTH) },    \
    { IN(name ".k_proj.weight", LINEAR, member.k, WIDTH, WIDTH) },    \
    { IN(name ".v_proj.weight", LINEAR, member.v, WIDTH, WIDTH), .reads = TN_READS_SAME }, \
    { IN(name ".o_proj.weight", LINEAR, member.o, WIDTH, WIDTH), .reads = TN_READS_ATTENTION, .residual = true }
/* NOLINTEND(bugprone-macro-parentheses) */

static const tn_layout_row rows[] = {
    { TOP("state.weight", LINEAR, from_state, WIDTH, HIDDEN) },
    { TOP("picture.weight", LINEAR, from_image, WIDTH, HIDDEN) },
    { TOP("text.weight", LINEAR, from_question, WIDTH, HIDDEN) },
    { TOP("thought.weight", LINEAR, from_thought, WIDTH, HIDDEN) },
    { TOP("steps.weight", PATCHES, numbers, STEPS, WIDTH) },
    { .name = "module.queries.%zu.weight", TN_LAYOUT_ROW(PATCHES, 2, offsetof(lq_query, row), 1, ONE, WIDTH) },
    NORM("self_norm", before_self),
    ATTENTION("self_attn", self),
    NORM("cross_norm", before_look),
    ATTENTION("vision_attn", look),
    ATTENTION("text_attn", read),
    { IN("gate.state.weight", LINEAR, gate_state, WIDTH, WIDTH) },
    { IN("gate.bias", BIAS, gate_bias, WIDTH) },
    { IN("gate.vision.weight", LINEAR, gate_look, WIDTH, WIDTH) },
    { IN("gate.text.weight", LINEAR, gate_read, WIDTH, WIDTH) },
    NORM("mlp_norm", before_mlp),
    { IN("mlp.up.weight", LINEAR, up, INNER, WIDTH) },
    { IN("mlp.up.bias", BIAS, up_bias, INNER) },
    { IN("mlp.down.weight", LINEAR, down, WIDTH, INNER), .residual = true },
    { IN("mlp.down.bias", BIAS, down_bias, WIDTH) },
    { TOP("norm.weight", SCALE, last.scale, WIDTH) },
    { TOP("norm.bias", SHIFT, last.shift, WIDTH) },
    { TOP("out.weight", LINEAR, out, HIDDEN, WIDTH) },
    { TOP("gamma", SCALE, gamma, ONE) },
    { TOP("size", SCALE, extent, ONE) },
    { TOP("marks.weight", PATCHES, borders, MARKS, HIDDEN) },
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_MODULE,
    .bytes = sizeof(lq_former),
    .groups = { [1] = { offsetof(lq_former, layers), sizeof(lq_layer), LAYERS, 0, NULL },
                [2] = { offsetof(lq_former, queries), sizeof(lq_query), EXTRA, 0, NULL } },
    .rows = rows,
};

/* -------------------------------------------------------------- options -- */

enum {
    N_LATENT, K_SELECT, LOOK_SIZE, EXCLUDE, GATE, RESCALE, REFINE, ALIKE, LATENT_TEXT, LATENT_PICKS, LQ_WIDTH, LQ_LAYERS, LQ_HEADS,
    LQ_QUERIES, LQ_STEPS
};

static const tn_option options[] = {
    [N_LATENT] = TN_SETTING_SIZE("n-latent", "N", "4", 0, 1024, "number of latent steps", .means = TN_MEANS_LATENT_STEPS),
    [K_SELECT] = TN_SETTING_SIZE("k-select", "K", "32", 0, 4096, "image embeddings that a step reads again", .means = TN_MEANS_PICKS),
    [LOOK_SIZE] = TN_LOOK_OPTION,
    [EXCLUDE] = TN_SETTING_CHOICE("exclude", "no|yes", "no", "whether an embedding can be read in one step only"),
    [GATE] = TN_SETTING_CHOICE("gate", "learned|half|vision|text", "learned",
                               "how image and question are joined: by learned gates, in equal parts, or only one of them"),
    [RESCALE] = TN_SETTING_CHOICE("rescale", "yes|no", "yes", "scale a thought to the size of input embeddings"),
    [REFINE] = TN_SETTING_CHOICE("refine", "yes|no", "yes", "no: feed back the hidden state without the LQ-Former"),
    [ALIKE] = TN_SETTING_NUMBER("alike", "D", "0", 0, 2, "stop when two thoughts have a cosine above 1 - D; 0: never"),
    [LATENT_TEXT] = TN_SETTING_CHOICE("latent-text", "keep|zero|noise|mean|frozen|shuffle|given", "keep",
                                      "intervention: what replaces the thought", .means = TN_MEANS_LATENT_TEXT),
    [LATENT_PICKS] = TN_SETTING_CHOICE("latent-picks", "top|random|lowest|repeat|none|all", "top",
                                       "intervention: which embeddings are read", .means = TN_MEANS_LATENT_PICKS),
    [LQ_WIDTH] = TN_SETTING_SIZE("lq-width", "N", "0", 0, 1 << 14, "training: width of a new LQ-Former; 0: as the model, at most 1024"),
    [LQ_LAYERS] = TN_SETTING_SIZE("lq-layers", "N", "2", 1, 64, "training: its layers"),
    [LQ_HEADS] = TN_SETTING_SIZE("lq-heads", "N", "0", 0, 128, "training: its heads; 0: 8, or fewer if the width requires it"),
    [LQ_QUERIES] = TN_SETTING_SIZE("lq-queries", "N", "1", 1, 64, "training: its queries, of which all but one are learned"),
    [LQ_STEPS] = TN_SETTING_SIZE("lq-steps", "N", "16", 1, 1024, "training: the largest number of latent steps that it knows"),
    TN_OPTIONS_END
};

enum { GATE_LEARNED, GATE_HALF, GATE_VISION, GATE_TEXT };

typedef struct lare_settings {
    size_t gate;
    bool rescale, refine;
} lare_settings;

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    lare_settings *own = tn_reasoner_take(reasoner, 1, sizeof *own);
    const tn_network *module = tn_module_of(reasoner->session->model, reasoner->method->name);
    if (own == NULL)
        return tn_fail_session_full(error);
    *own = (lare_settings){ tn_setting_choice(reasoner, GATE), tn_setting_choice(reasoner, RESCALE) == 0,
                            tn_setting_choice(reasoner, REFINE) == 0 };
    size_t text = tn_setting_choice(reasoner, LATENT_TEXT), steps = tn_setting_size(reasoner, N_LATENT);
    tn_latent_settings settings = {
        .steps = steps,
        .picks = tn_setting_size(reasoner, K_SELECT),
        .order = TN_PICK_ASC,
        .text = (tn_latent_text)(text + (text >= TN_TEXT_DROP)), /* a step feeds nothing else, so nothing is dropped */
        .source = (tn_latent_picks)tn_setting_choice(reasoner, LATENT_PICKS),
        .reads = true,
        .look = { tn_setting_sides(reasoner, LOOK_SIZE)[0], tn_setting_sides(reasoner, LOOK_SIZE)[1] },
        .returns = tn_setting_choice(reasoner, EXCLUDE) == 0,
        .alike = tn_setting_number(reasoner, ALIKE),
        .own = own,
    };
    if (module != NULL && steps > module->sizes[STEPS])
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[N_LATENT].name, "%zu steps, but the module of this model was made for at "
                       "most %zu (%s)", steps, module->sizes[STEPS], options[LQ_STEPS].name);
    return tn_latent_open(reasoner, &settings, error);
}

/* A size that a new module has: that of the settings, else the default. */
static tenebra_code read_size(const tenebra_setting *settings, size_t count, size_t option, size_t *size, tenebra_error *error)
{
    tn_setting_value value;
    TN_TRY(tn_option_read(&options[option], options[option].value, &value, error));
    for (size_t i = 0; i < count; i++)
        if (tn_option_is_same_name(settings[i].name, options[option].name))
            TN_TRY(tn_option_read(&options[option], settings[i].value, &value, error));
    *size = value.size;
    return TENEBRA_OK;
}

static tenebra_code shape_module(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error)
{
    enum { WIDTH_MOST = 1024, HEADS_MOST = 8 };
    size_t *sizes = shape->sizes, steps, queries;
    TN_TRY(read_size(settings, count, LQ_WIDTH, &sizes[WIDTH], error));
    TN_TRY(read_size(settings, count, LQ_LAYERS, &sizes[LAYERS], error));
    TN_TRY(read_size(settings, count, LQ_HEADS, &sizes[HEADS], error));
    TN_TRY(read_size(settings, count, LQ_QUERIES, &queries, error));
    TN_TRY(read_size(settings, count, LQ_STEPS, &sizes[STEPS], error));
    TN_TRY(read_size(settings, count, N_LATENT, &steps, error));
    if (sizes[WIDTH] == 0)
        sizes[WIDTH] = tn_min(sizes[HIDDEN], WIDTH_MOST);
    bool free = sizes[HEADS] == 0;
    for (sizes[HEADS] = free ? HEADS_MOST : sizes[HEADS]; free && sizes[WIDTH] % sizes[HEADS] != 0;)
        sizes[HEADS]--;
    if (sizes[WIDTH] % sizes[HEADS] != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[LQ_HEADS].name, "%zu heads do not divide a width of %zu", sizes[HEADS],
                       sizes[WIDTH]);
    sizes[STEPS] = tn_max(sizes[STEPS], steps);
    sizes[INNER] = 4 * sizes[WIDTH];
    sizes[EXTRA] = queries - 1;
    sizes[ONE] = 1;
    sizes[MARKS] = 2;
    shape->numbers[EPS] = 1e-5;
    return TENEBRA_OK;
}

/* Thoughts start with the mean size of the token embeddings, and the marks as their mean, over at most 4,096 of them. */
static void start_module(tn_network *network, const tn_model *model)
{
    enum { ROWS_MOST = 4096 };
    static const double gamma = 0.1;
    lq_former *lq = (lq_former *)network;
    const tn_matrix *table = &model->decoder.embed.matrix;
    size_t cols = table->cols, count = tn_min(table->rows, ROWS_MOST);
    tn_real *marks = (tn_real *)(uintptr_t)lq->borders.matrix.data, *row = marks + cols;
    double size = 0;
    memset(marks, 0, 2 * cols * sizeof *marks);
    for (size_t i = 0; i < count; i++) {
        double square = 0;
        tn_matrix_unpack(table, i * table->rows / count, 0, cols, row);
        for (size_t c = 0; c < cols; c++) {
            square += (double)row[c] * (double)row[c];
            marks[c] += row[c] / (tn_real)count;
        }
        size += sqrt(square / (double)cols) / (double)count;
    }
    memcpy(row, marks, cols * sizeof *row);
    tn_vector_fill(&lq->gamma, gamma);
    tn_vector_fill(&lq->extent, size);
}

/* -------------------------------------------------------------- forward -- */

/* What the LQ-Former reads, in its own width; empty: nothing. */
typedef struct lq_input {
    tn_tensor state, thoughts, picture, question;
} lq_input;

static tn_tensor norm(tn_ops *ops, const tn_network *lq, tn_tensor x, const lq_norm *n)
{
    return tn_op_layer_norm(ops, x, &n->scale, &n->shift, lq->numbers[EPS]);
}

/* Every row of `queries` attends to all rows of `keys`. */
static tn_tensor attend(tn_ops *ops, const tn_network *lq, const lq_attention *w, tn_tensor queries, tn_tensor keys)
{
    size_t heads = lq->sizes[HEADS];
    tn_tensor q = tn_piece_linear(ops, queries, &w->q, NULL);
    tn_tensor k = tn_piece_linear(ops, keys, &w->k, NULL), v = tn_piece_linear(ops, keys, &w->v, NULL);
    tn_attention_part *parts = tn_ops_take(ops, "attend", queries.rows, sizeof *parts);
    for (size_t i = 0; parts != NULL && i < queries.rows; i++)
        parts[i] = (tn_attention_part){ 1, tn_keys_of(k, v), { .heads = heads, .kv_heads = heads, .head_dim = lq->sizes[WIDTH] / heads,
                                                               .causal = true, .start = keys.rows - 1 } };
    return parts == NULL ? (tn_tensor){ 0 } : tn_piece_linear(ops, tn_op_attention_parts(ops, q, parts, queries.rows), &w->o, NULL);
}

/* factor * x in new memory. */
static tn_tensor scaled(tn_ops *ops, tn_tensor x, double factor)
{
    tn_real *shares = tn_ops_take(ops, "scaled", x.rows * x.rows, sizeof *shares);
    for (size_t i = 0; shares != NULL && i < x.rows * x.rows; i++)
        shares[i] = i % (x.rows + 1) == 0 ? (tn_real)factor : 0;
    return shares != NULL ? tn_op_mix(ops, x, shares, x.rows) : (tn_tensor){ 0 };
}

/* gate * look + (1 - gate) * read = read + gate * (look - read), or the one of them that is not empty. */
static tn_tensor fuse(tn_ops *ops, const lq_layer *layer, size_t gate, tn_tensor u, tn_tensor look, tn_tensor read)
{
    if (tn_tensor_is_empty(read) || tn_tensor_is_empty(look))
        return tn_tensor_is_empty(read) ? look : read;
    if (gate == GATE_HALF)
        return tn_op_add(ops, scaled(ops, look, 0.5), scaled(ops, read, 0.5));
    tn_tensor g = tn_piece_linear(ops, u, &layer->gate_state, &layer->gate_bias);
    g = tn_op_add(ops, g, tn_piece_linear(ops, look, &layer->gate_look, NULL));
    g = tn_op_sigmoid(ops, tn_op_add(ops, g, tn_piece_linear(ops, read, &layer->gate_read, NULL)));
    tn_tensor more = tn_op_multiply(ops, tn_op_add(ops, scaled(ops, read, -1), look), g);
    return tn_op_add(ops, more, read);
}

static tn_tensor run_layer(tn_ops *ops, const tn_network *lq, const lq_layer *layer, const lq_input *in, size_t gate, tn_tensor x)
{
    tn_tensor u = norm(ops, lq, x, &layer->before_self), around[2] = { u, in->thoughts };
    tn_tensor seen = tn_op_join(ops, around, tn_tensor_is_empty(in->thoughts) ? 1 : 2);
    x = tn_op_add(ops, attend(ops, lq, &layer->self, u, seen), x);
    u = norm(ops, lq, x, &layer->before_look);
    tn_tensor look = tn_tensor_is_empty(in->picture) ? in->picture : attend(ops, lq, &layer->look, u, in->picture);
    tn_tensor read = tn_tensor_is_empty(in->question) ? in->question : attend(ops, lq, &layer->read, u, in->question);
    tn_tensor both = fuse(ops, layer, gate, u, look, read);
    if (!tn_tensor_is_empty(both))
        x = tn_op_add(ops, both, x);
    u = norm(ops, lq, x, &layer->before_mlp);
    tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, u, &layer->up, &layer->up_bias));
    return tn_op_add(ops, tn_piece_linear(ops, inner, &layer->down, &layer->down_bias), x);
}

/* Rows first .. first + count - 1 of a table. */
static tn_tensor rows_of(tn_ops *ops, const tn_weight *table, size_t first, size_t count)
{
    int32_t *ids = tn_ops_take(ops, "rows", count, sizeof *ids);
    for (size_t i = 0; ids != NULL && i < count; i++)
        ids[i] = (int32_t)(first + i);
    return ids != NULL ? tn_op_gather(ops, table, ids, count) : (tn_tensor){ 0 };
}

/* The first `count` thoughts, and the embeddings that this step reads, in the LQ-Former's width. */
static tn_tensor thoughts_of(tn_ops *ops, const lq_former *lq, const tn_choice *choice, size_t count)
{
    tn_tensor all = tn_op_compose(ops, choice->thoughts, count, lq->network.sizes[HIDDEN]);
    return tn_op_add(ops, tn_piece_linear(ops, all, &lq->from_thought, NULL), rows_of(ops, &lq->numbers, 0, count));
}

static tn_tensor picture_of(tn_ops *ops, const lq_former *lq, const tn_choice *choice, const tn_latent_view *view)
{
    bool all = choice->settings.source == TN_PICKS_ALL;
    size_t picks = all ? choice->candidates : choice->pick_count, count = 0;
    tn_row *picked = tn_ops_take(ops, "picture", picks * choice->most, sizeof *picked);
    for (size_t i = 0; picked != NULL && i < picks; i++)
        count += tn_choice_cells(choice, all ? i : choice->picks[i], picked + count);
    return picked == NULL ? (tn_tensor){ 0 }
                          : tn_piece_linear(ops, tn_rows_input(ops, view->decoder, picked, count), &lq->from_image, NULL);
}

static tn_tensor with_queries(tn_ops *ops, const lq_former *lq, tn_tensor x)
{
    size_t count = lq->network.sizes[EXTRA];
    tn_tensor *all = tn_ops_take(ops, "queries", count + 1, sizeof *all);
    if (all == NULL)
        return x;
    all[0] = x;
    for (size_t i = 0; i < count; i++)
        all[i + 1] = rows_of(ops, &lq->queries[i].row, 0, 1);
    return tn_op_join(ops, all, count + 1);
}

/* What the LQ-Former adds to the state [1, C] in step `step`, from 0. */
static tn_tensor refine(const lq_former *lq, const tn_choice *choice, const tn_latent_view *view, tn_tensor state, size_t step)
{
    tn_ops *ops = view->ops;
    const tn_network *network = &lq->network;
    const lare_settings *own = choice->settings.own;
    lq_input in = { 0 };
    if (step > 0)
        in.thoughts = thoughts_of(ops, lq, choice, step);
    if (own->gate != GATE_TEXT && (choice->settings.source == TN_PICKS_ALL ? choice->candidates : choice->pick_count) > 0)
        in.picture = picture_of(ops, lq, choice, view);
    if (own->gate != GATE_VISION)
        in.question = tn_piece_linear(ops, tn_op_rows(ops, view->question.source, view->question.row, view->question_rows),
                                      &lq->from_question, NULL);
    tn_tensor x = tn_op_add(ops, tn_piece_linear(ops, state, &lq->from_state, NULL), rows_of(ops, &lq->numbers, step, 1));
    if (network->sizes[EXTRA] > 0)
        x = with_queries(ops, lq, x);
    for (size_t i = 0; i < network->sizes[LAYERS] && tn_ops_proceed(ops); i++)
        x = run_layer(ops, network, &lq->layers[i], &in, own->gate, x);
    return tn_piece_linear(ops, norm(ops, network, tn_op_mean(ops, x), &lq->last), &lq->out, NULL);
}

/* Thought z = size * y / rms(y), y = h + tanh(gamma) * refinement. */
static tn_tensor think(const lq_former *lq, const tn_choice *choice, const tn_latent_view *view, size_t step)
{
    tn_ops *ops = view->ops;
    const lare_settings *own = choice->settings.own;
    size_t cols = lq->network.sizes[HIDDEN];
    tn_tensor state = tn_op_compose(ops, &view->hidden, 1, cols), y = state;
    if (own->refine) {
        tn_tensor more = refine(lq, choice, view, state, step);
        y = tn_op_add(ops, tn_op_multiply(ops, more, tn_op_tanh(ops, tn_op_of_vector(ops, &lq->gamma))), state);
    }
    if (!own->rescale)
        return y;
    tn_real *ones = tn_ops_take(ops, "ones", cols, sizeof *ones);
    for (size_t i = 0; ones != NULL && i < cols; i++)
        ones[i] = 1;
    const tn_vector even = { cols, ones, NULL };
    return ones == NULL ? (tn_tensor){ 0 }
                        : tn_op_multiply(ops, tn_op_rms_norm(ops, y, &even, 1e-12), tn_op_of_vector(ops, &lq->extent));
}

/* ----------------------------------------------------------------- step -- */

/* Ends the thinking if this thought is like the one before. */
static void stop_if_alike(tn_choice *choice, tn_ops *ops, tn_tensor before, tn_tensor now)
{
    const tn_real *a = tn_op_view(ops, before), *b = tn_op_view(ops, now);
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; a != NULL && b != NULL && i < now.cols; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (ab > (1 - choice->settings.alike) * sqrt(aa * bb))
        choice->settings.steps = choice->done;
}

static tenebra_code take_step(tn_choice *choice, const tn_latent_view *view, tn_row *fed, size_t *count, tenebra_error *error)
{
    tn_ops *ops = view->ops;
    size_t step = choice->done, mark = tn_ops_mark(ops);
    tn_choice_pick(choice, view->scores, view->rng);
    tn_tensor thought = think((const lq_former *)view->module, choice, view, step);
    if (tn_tensor_is_empty(thought))
        return tn_fail(error, ops->failure.code, "module", "%s", ops->failure.sentence);
    if (!tn_tensor_is_empty(view->thought)) {
        tn_op_copy(ops, view->thought, thought);
        thought = view->thought;
        tn_ops_release(ops, mark);
    }
    if (view->answering && step > 0 && choice->settings.alike > 0)
        stop_if_alike(choice, ops, choice->thoughts[step - 1].source, thought);
    tn_latent_view own = *view;
    own.hidden = own.raw = (tn_row_ref){ thought, 0 };
    TN_TRY(tn_choice_text(choice, &own, fed, error));
    choice->thoughts[step] = fed->vector;
    *count = 1;
    return TENEBRA_OK;
}

static tn_tensor marks_of(tn_ops *ops, const tn_network *network)
{
    return rows_of(ops, &((const lq_former *)network)->borders, 0, network->sizes[MARKS]);
}

const tn_method tn_method_lare = {
    .name = "lare",
    .summary = "reason in vectors that look at the image again, then answer (our reading of arXiv:2511.02360)",
    .options = options,
    .sequential = true,
    .reads_question = true,
    .open = open_method,
    .latent_step = take_step,
    .marks = marks_of,
    .next = tn_latent_next,
    .arrange_training = tn_latent_example,
    .module = &layout,
    .shape_module = shape_module,
    .start_module = start_module,
};
