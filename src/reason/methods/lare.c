/* LaRe, latent refocusing: our reading of the published description (arXiv:2511.02360; no code is published). A chain of vectors, the
 * thoughts, is fed back, one row each. Before every thought the image is looked at again: the image embeddings to which the
 * last row attends most, together with the question's hidden states and the thoughts so far, are read by a small transformer, the
 * LQ-Former, that refines the thought. Picked embeddings are only read there and do not enter the sequence.
 *
 * The parts and their defaults, which the description leaves open, are in docs/methods.md. */
#include "reason/align.h"
#include "reason/denoise_batch.h"
#include "reason/latent.h"
#include "reason/lq_former.h"
#include "reason/parts.h"
#include "reason/train_example.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

/* --------------------------------------------------------------- module -- */

/* Sizes: those of the LQ-Former from LQ on; width and number of the maps of the contrastive loss, 0 without it; those of the denoiser. */
enum { HIDDEN = TN_MODULE_HIDDEN, LQ, MARKS = LQ + TN_LQ_SIZES, CONTRAST, MAPS, DENOISER };
enum { EPS }; /* numbers */
enum { LAYER_GROUP = 1, QUERY_GROUP, DENOISER_GROUP, MAP_GROUP = DENOISER_GROUP + TN_DENOISER_GROUP_COUNT };

typedef struct lare_module {
    tn_network network;
    tn_lq_former lq;
    tn_vector gamma, extent; /* [1] how much of the LQ-Former's result is added, and the size of a thought */
    tn_weight borders;       /* [2, C] rows before and after the thoughts */
    tn_denoiser_parts denoiser;
    tn_align_map *maps;      /* [MAPS] of the contrastive loss */
} lare_module;

#define TOP(name_, role_, member, ...) .name = "module." name_, TN_LAYOUT_ROW(role_, 0, offsetof(lare_module, member), 1, __VA_ARGS__)

static const tn_layout_row rows[] = {
    TN_LQ_ROWS(lare_module, lq, HIDDEN, LQ, LAYER_GROUP),
    { TOP("gamma", SCALE, gamma, LQ + TN_LQ_ONE) },
    { TOP("size", SCALE, extent, LQ + TN_LQ_ONE) },
    { TOP("marks.weight", PATCHES, borders, MARKS, HIDDEN) },
    TN_DENOISER_ROWS(DENOISER_GROUP, DENOISER, HIDDEN),
    { .name = "module.contrast.%zu.weight", TN_LAYOUT_ROW(LINEAR, MAP_GROUP, offsetof(tn_align_map, weight), 1, CONTRAST, HIDDEN) },
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_MODULE,
    .bytes = sizeof(lare_module),
    .groups = { [LAYER_GROUP] = TN_LQ_LAYER_GROUP(lare_module, lq, LQ), [QUERY_GROUP] = TN_LQ_QUERY_GROUP(lare_module, lq, LQ),
                TN_DENOISER_GROUPS(DENOISER_GROUP, lare_module, DENOISER),
                [MAP_GROUP] = { offsetof(lare_module, maps), sizeof(tn_align_map), MAPS, 0, NULL } },
    .rows = rows,
};

/* -------------------------------------------------------------- options -- */

enum {
    N_LATENT, K_SELECT, LOOK_SIZE, EXCLUDE, GATE, RESCALE, REFINE, ALIKE, LATENT_TEXT, LATENT_PICKS, LQ_WIDTH, LQ_LAYERS, LQ_HEADS,
    LQ_QUERIES, LQ_STEPS, LOSS, LAMBDA_C, LAMBDA_R, REC, REC_TARGET, REC_SIZE, REC_LAYERS, REC_WIDTH
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
    [LOSS] = TN_SETTING_CHOICE("loss", "v3|v4|lm", "v4",
                               "training: the losses of that version of the paper, or the answer alone; sets the weights"),
    [LAMBDA_C] = TN_SETTING_NUMBER("lambda-c", "X", "-1", -1, 1e6, "training: weight of the contrastive loss; -1: v3 0.1, else 0"),
    [LAMBDA_R] = TN_SETTING_NUMBER("lambda-r", "X", "-1", -1, 1e6,
                                   "training: weight of the reconstruction of the image from the thoughts; -1: v3 and v4 0.1, lm 0"),
    [REC] = TN_SETTING_CHOICE("rec", "diffusion|mse", "diffusion", "training: a new module predicts noise, or the target itself"),
    [REC_TARGET] = TN_SETTING_CHOICE("rec-target", "rgb|features", "rgb",
                                     "training: it reconstructs a small picture, or averages of image embeddings"),
    [REC_SIZE] = TN_SETTING_SIZE("rec-size", "N", "0", 0, 32,
                                 "training: side of the picture, 16 or 32, or of the averages, 4 or 8; 0: 16, 4"),
    [REC_LAYERS] = TN_SETTING_SIZE("rec-layers", "N", "2", 2, 4, "training: layers of the network that reconstructs"),
    [REC_WIDTH] = TN_SETTING_SIZE("rec-width", "N", "0", 0, 1 << 13, "training: its width; 0: as the model, at most 256 (features: 1024)"),
    TN_OPTIONS_END
};

/* Weights of the losses beside that of the answer. */
typedef struct lare_weights {
    double contrast, reconstruct;
} lare_weights;

typedef struct lare_settings {
    tn_lq_gate gate;
    bool rescale, refine;
    lare_weights weights;
} lare_settings;

/* Those of the preset, unless they are given. */
static lare_weights weigh(size_t preset, double contrast, double reconstruct)
{
    static const lare_weights presets[] = { { 0.1, 0.1 }, { 0, 0.1 }, { 0, 0 } }; /* v3, v4, lm */
    const lare_weights *own = &presets[preset];
    return (lare_weights){ contrast < 0 ? own->contrast : contrast, reconstruct < 0 ? own->reconstruct : reconstruct };
}

static lare_weights weights_of(const tn_reasoner *reasoner)
{
    return weigh(tn_setting_choice(reasoner, LOSS), tn_setting_number(reasoner, LAMBDA_C), tn_setting_number(reasoner, LAMBDA_R));
}

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    lare_settings *own = tn_reasoner_take(reasoner, 1, sizeof *own);
    const tn_network *module = tn_module_of(reasoner->session->model, reasoner->method->name);
    if (own == NULL)
        return tn_fail_session_full(error);
    *own = (lare_settings){ (tn_lq_gate)tn_setting_choice(reasoner, GATE), tn_setting_choice(reasoner, RESCALE) == 0,
                            tn_setting_choice(reasoner, REFINE) == 0, weights_of(reasoner) };
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
    if (module != NULL && steps > module->sizes[LQ + TN_LQ_STEPS])
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[N_LATENT].name, "%zu steps, but the module of this model was made for at "
                       "most %zu (%s)", steps, module->sizes[LQ + TN_LQ_STEPS], options[LQ_STEPS].name);
    return tn_latent_open(reasoner, &settings, error);
}

/* The value of an option for a new module: that of the settings, else the default. */
static tenebra_code read_value(const tenebra_setting *settings, size_t count, size_t option, tn_setting_value *value, tenebra_error *error)
{
    TN_TRY(tn_option_read(&options[option], options[option].value, value, error));
    for (size_t i = 0; i < count; i++)
        if (tn_option_is_same_name(settings[i].name, options[option].name))
            TN_TRY(tn_option_read(&options[option], settings[i].value, value, error));
    return TENEBRA_OK;
}

static tenebra_code read_size(const tenebra_setting *settings, size_t count, size_t option, size_t *size, tenebra_error *error)
{
    tn_setting_value value;
    TN_TRY(read_value(settings, count, option, &value, error));
    *size = value.size;
    return TENEBRA_OK;
}

/* The weights of the losses for which a new module is made. */
static tenebra_code read_weights(const tenebra_setting *settings, size_t count, lare_weights *weights, tenebra_error *error)
{
    tn_setting_value preset, contrast, reconstruct;
    TN_TRY(read_value(settings, count, LOSS, &preset, error));
    TN_TRY(read_value(settings, count, LAMBDA_C, &contrast, error));
    TN_TRY(read_value(settings, count, LAMBDA_R, &reconstruct, error));
    *weights = weigh(preset.size, contrast.number, reconstruct.number);
    return TENEBRA_OK;
}

static tn_denoiser denoiser_of(const tn_network *network)
{
    return (tn_denoiser){ network->sizes + DENOISER, ((const lare_module *)network)->denoiser };
}

static size_t picture_side(const tn_network *network)
{
    return network->sizes[DENOISER + TN_DENOISER_SIDE];
}

static tenebra_code shape_denoiser(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error)
{
    tn_setting_value kind, target;
    lare_weights weights;
    tn_denoiser_options wanted = { 0 };
    size_t size;
    TN_TRY(read_weights(settings, count, &weights, error));
    TN_TRY(read_value(settings, count, REC, &kind, error));
    TN_TRY(read_value(settings, count, REC_TARGET, &target, error));
    TN_TRY(read_size(settings, count, REC_SIZE, &size, error));
    TN_TRY(read_size(settings, count, REC_LAYERS, &wanted.layers, error));
    TN_TRY(read_size(settings, count, REC_WIDTH, &wanted.width, error));
    bool picture = target.size == 0;
    size = size > 0 ? size : picture ? 16 : 4;
    if (size != (picture ? 16u : 4u) && size != (picture ? 32u : 8u))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[REC_SIZE].name, "%zu, but it is %s", size,
                       picture ? "16 or 32 for a picture" : "4 or 8 for averages of embeddings");
    *(picture ? &wanted.side : &wanted.grid) = size;
    wanted.regression = kind.size == 1;
    if (weights.reconstruct > 0)
        tn_denoiser_shape(&wanted, shape->sizes[HIDDEN], shape->sizes + DENOISER);
    return TENEBRA_OK;
}

static tenebra_code shape_module(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error)
{
    enum { WIDTH_MOST = 1024, HEADS_MOST = 8, CONTRAST_MOST = 256 };
    size_t *sizes = shape->sizes + LQ, steps, queries;
    lare_weights weights;
    TN_TRY(read_size(settings, count, LQ_WIDTH, &sizes[TN_LQ_WIDTH], error));
    TN_TRY(read_size(settings, count, LQ_LAYERS, &sizes[TN_LQ_LAYERS], error));
    TN_TRY(read_size(settings, count, LQ_HEADS, &sizes[TN_LQ_HEADS], error));
    TN_TRY(read_size(settings, count, LQ_QUERIES, &queries, error));
    TN_TRY(read_size(settings, count, LQ_STEPS, &sizes[TN_LQ_STEPS], error));
    TN_TRY(read_size(settings, count, N_LATENT, &steps, error));
    if (sizes[TN_LQ_WIDTH] == 0)
        sizes[TN_LQ_WIDTH] = tn_min(shape->sizes[HIDDEN], WIDTH_MOST);
    bool free = sizes[TN_LQ_HEADS] == 0;
    for (sizes[TN_LQ_HEADS] = free ? HEADS_MOST : sizes[TN_LQ_HEADS]; free && sizes[TN_LQ_WIDTH] % sizes[TN_LQ_HEADS] != 0;)
        sizes[TN_LQ_HEADS]--;
    if (sizes[TN_LQ_WIDTH] % sizes[TN_LQ_HEADS] != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[LQ_HEADS].name, "%zu heads do not divide a width of %zu", sizes[TN_LQ_HEADS],
                       sizes[TN_LQ_WIDTH]);
    sizes[TN_LQ_STEPS] = tn_max(sizes[TN_LQ_STEPS], steps);
    sizes[TN_LQ_INNER] = 4 * sizes[TN_LQ_WIDTH];
    sizes[TN_LQ_EXTRA] = queries - 1;
    sizes[TN_LQ_ONE] = 1;
    shape->sizes[MARKS] = 2;
    TN_TRY(read_weights(settings, count, &weights, error));
    shape->sizes[CONTRAST] = weights.contrast > 0 ? tn_min(shape->sizes[HIDDEN], CONTRAST_MOST) : 0;
    shape->sizes[MAPS] = weights.contrast > 0 ? TN_ALIGN_MAPS : 0;
    shape->numbers[EPS] = 1e-5;
    return shape_denoiser(settings, count, shape, error);
}

static tenebra_code check_module(const tn_module_shape *shape, const char *where, tenebra_error *error)
{
    double eps = shape->numbers[EPS];
    bool maps = shape->sizes[MAPS] == TN_ALIGN_MAPS && shape->sizes[CONTRAST] > 0;
    if (!tn_lq_sizes_fit(shape->sizes + LQ) || shape->sizes[MARKS] != 2 || !(eps > 0 && eps < 1))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"sizes\" or \"numbers\" of the LQ-Former do not fit each other: the file is "
                                                           "damaged");
    if (!maps && (shape->sizes[MAPS] != 0 || shape->sizes[CONTRAST] != 0))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"sizes\" of the contrastive loss do not fit each other: the file is damaged");
    return tn_denoiser_check(shape->sizes + DENOISER, shape->sizes[HIDDEN], where, error);
}

/* Thoughts start with the mean size of the token embeddings, and the marks as their mean, over at most 4,096 of them. */
static void start_module(tn_network *network, const tn_model *model)
{
    enum { ROWS_MOST = 4096 };
    static const double gamma = 0.1;
    lare_module *module = (lare_module *)network;
    const tn_matrix *table = &model->decoder.embed.matrix;
    size_t cols = table->cols, count = tn_min(table->rows, ROWS_MOST);
    tn_real *marks = (tn_real *)(uintptr_t)module->borders.matrix.data, *row = marks + cols;
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
    tn_vector_fill(&module->gamma, gamma);
    tn_vector_fill(&module->extent, size);
    const tn_denoiser d = denoiser_of(network);
    tn_denoiser_start(&d);
}

/* -------------------------------------------------------------- forward -- */

/* The embeddings that this step reads. */
static tn_tensor picture_of(tn_ops *ops, const tn_choice *choice, const tn_latent_view *view)
{
    bool all = choice->settings.source == TN_PICKS_ALL;
    size_t picks = all ? choice->candidates : choice->pick_count, count = 0;
    if (picks == 0)
        return (tn_tensor){ 0 };
    tn_row *picked = tn_ops_take(ops, "picture", picks * choice->most, sizeof *picked);
    for (size_t i = 0; picked != NULL && i < picks; i++)
        count += tn_choice_cells(choice, all ? i : choice->picks[i], picked + count);
    return picked != NULL ? tn_rows_input(ops, view->decoder, picked, count) : (tn_tensor){ 0 };
}

/* What the LQ-Former adds to the state [1, C] in step `step`, from 0. */
static tn_tensor refine(const lare_module *module, const tn_choice *choice, const tn_latent_view *view, tn_tensor state, size_t step)
{
    tn_ops *ops = view->ops;
    const tn_network *network = &module->network;
    const lare_settings *own = choice->settings.own;
    tn_lq_input input = { .state = state, .step = step, .gate = own->gate };
    if (step > 0)
        input.thoughts = tn_op_compose(ops, choice->thoughts, step, network->sizes[HIDDEN]);
    if (own->gate != TN_LQ_GATE_TEXT)
        input.picture = picture_of(ops, choice, view);
    if (own->gate != TN_LQ_GATE_IMAGE)
        input.question = tn_op_rows(ops, view->question.source, view->question.row, view->question_rows);
    return tn_lq_former_run(ops, &module->lq, network->sizes + LQ, network->numbers[EPS], &input);
}

/* Thought z = size * y / rms(y), y = h + tanh(gamma) * refinement. */
static tn_tensor think(const lare_module *module, const tn_choice *choice, const tn_latent_view *view, size_t step)
{
    tn_ops *ops = view->ops;
    const lare_settings *own = choice->settings.own;
    size_t cols = module->network.sizes[HIDDEN];
    tn_tensor state = tn_op_compose(ops, &view->hidden, 1, cols), y = state;
    if (own->refine) {
        tn_tensor more = refine(module, choice, view, state, step);
        y = tn_op_add(ops, tn_op_multiply(ops, more, tn_op_tanh(ops, tn_op_of_vector(ops, &module->gamma))), state);
    }
    if (!own->rescale)
        return y;
    tn_real *ones = tn_ops_take(ops, "ones", cols, sizeof *ones);
    for (size_t i = 0; ones != NULL && i < cols; i++)
        ones[i] = 1;
    const tn_vector even = { cols, ones, NULL };
    return ones == NULL ? (tn_tensor){ 0 }
                        : tn_op_multiply(ops, tn_op_rms_norm(ops, y, &even, 1e-12), tn_op_of_vector(ops, &module->extent));
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
    tn_tensor thought = think((const lare_module *)view->module, choice, view, step);
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
    return tn_lq_rows(ops, &((const lare_module *)network)->borders, 0, network->sizes[MARKS]);
}

/* --------------------------------------------------------------- losses -- */

static tenebra_code check_training(const tn_reasoner *reasoner, tenebra_error *error)
{
    const tn_network *module = tn_module_of(reasoner->session->model, reasoner->method->name);
    const lare_weights weights = weights_of(reasoner);
    size_t preset = tn_setting_choice(reasoner, LOSS), length;
    const char *name = tn_option_word(&options[LOSS], preset, &length);
    if (module != NULL && module->sizes[MAPS] == 0 && weights.contrast > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[LAMBDA_C].name, "%g (%s %.*s), but the module of this model was made without "
                       "the maps of the contrastive loss; use 0, or start with a model without a module", weights.contrast,
                       options[LOSS].name, (int)length, name);
    if (module != NULL && module->sizes[DENOISER] == 0 && weights.reconstruct > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[LAMBDA_R].name, "%g (%s %.*s), but the module of this model was made without "
                       "a network that reconstructs; use 0, or start with a model without a module", weights.reconstruct,
                       options[LOSS].name, (int)length, name);
    return TENEBRA_OK;
}

/* In training, its stage decides how many latent steps an example has. */
static tenebra_code arrange_training(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    const tn_network *module = tn_module_of(reasoner->session->model, reasoner->method->name);
    if (module != NULL && example->source->latents > module->sizes[LQ + TN_LQ_STEPS])
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, options[LQ_STEPS].name, "%zu, but this stage of the training has %zu latent steps",
                       module->sizes[LQ + TN_LQ_STEPS], example->source->latents);
    return tn_latent_example(reasoner, example, error);
}

static bool compares(const void *own)
{
    return own != NULL && ((const lare_settings *)own)->weights.contrast > 0;
}

static tn_tensor show(const tn_loss_batch *batch)
{
    return tn_align_show(batch, ((const lare_module *)batch->module)->maps);
}

static size_t losses(const tn_loss_batch *batch, tn_loss_part *parts)
{
    size_t count = 0;
    const lare_settings *own = batch->own;
    const lare_weights weights = own != NULL ? own->weights : (lare_weights){ 0, 0 };
    if (weights.contrast > 0) {
        tn_tensor loss = tn_align_loss(batch, ((const lare_module *)batch->module)->maps, weights.contrast);
        parts[count++] = (tn_loss_part){ "contrastive", loss, weights.contrast, true };
    }
    if (weights.reconstruct > 0) {
        const tn_denoiser d = denoiser_of(batch->module);
        tn_tensor loss = tn_denoiser_batch_loss(batch, &d, weights.reconstruct);
        parts[count++] = (tn_loss_part){ "reconstruction", loss, weights.reconstruct, false };
    }
    return count;
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
    .arrange_training = arrange_training,
    .module = &layout,
    .shape_module = shape_module,
    .check_module = check_module,
    .start_module = start_module,
    .exact_gradient = true,
    .check_training = check_training,
    .denoiser = denoiser_of,
    .picture_side = picture_side,
    .batch_losses = losses,
    .show = show,
    .compares = compares,
};
