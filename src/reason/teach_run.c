/* One batch of lessons: spans side by side, then the loss, then back. */
#include "reason/teach_parts.h"

#include "base/checked.h"

#include <string.h>

/* A lesson on its way through the decoder. */
typedef struct pupil {
    const tn_lesson *lesson;
    tn_keys *cache;        /* [L] */
    size_t length;         /* rows that ran                                   */
    size_t part;           /* of the lesson                                   */
    size_t steps_left;     /* latent steps of the part                        */
    size_t next_id;        /* text tokens that ran                            */
    size_t embeds;         /* first row of its pictures among all embeddings  */
    size_t embed_count;
    size_t *candidates;    /* [embed_count] cache rows of the image tokens    */
    tn_real *scores;       /* [embed_count] attention of the last row that was tapped */
    tn_position *prompt;   /* positions of the prompt; NULL: 0, 1, 2, ...     */
    int32_t next_position;
    tn_choice choice;
    tn_row_ref text;       /* the hidden state to feed                        */
    tn_row_ref last;       /* the last row that ran, before the final norm    */
    size_t begin, count;   /* rows of the current span in the batch           */
    size_t steps;          /* latent steps done in all parts                  */
    tn_span_tap tap;
} pupil;

typedef struct batch {
    tn_teacher *teacher;
    tn_ops *ops;
    bool learn;
    pupil *pupils;
    size_t count;
    tn_tensor embeds, picked; /* the same, `picked` without gradient unless it flows through picks */
    tn_slot *slots;           /* of the round */
    tn_sequence *sequences;
    tn_position *positions;
    pupil **active;           /* [active_count] of the round */
    size_t active_count, row_count;
    tn_row_ref *predictors;   /* rows that predict a labelled token */
    int32_t *labels;
    size_t label_count;
    tn_teach_result *result;
} batch;

static void *take(batch *b, size_t count, size_t size)
{
    void *memory = b->ops->failure.code == TENEBRA_OK ? tn_arena_take(b->ops->arena, count, size) : NULL;
    if (memory != NULL)
        return memset(memory, 0, count * size);
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MEMORY, "lesson", "the working memory is full; use smaller batches");
    return NULL;
}

static bool refuse(batch *b, size_t index, const char *sentence)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "lesson", "number %zu of the batch %s", index + 1, sentence);
    return false;
}

/* ------------------------------------------------------------- pictures -- */

/* All patches of the batch in one tensor, and all grids. */
static tn_tensor gather_patches(batch *b, tn_grid **grids, size_t *grid_count)
{
    size_t patches = 0, pictures = 0, values = b->teacher->model->config.vision.patch_values;
    for (size_t i = 0; i < b->count; i++) {
        patches += b->pupils[i].lesson->patch_count;
        pictures += b->pupils[i].lesson->picture_count;
    }
    tn_tensor all = { patches, values, take(b, patches * values, sizeof(tn_real)), NULL };
    *grids = take(b, pictures, sizeof **grids);
    *grid_count = pictures;
    size_t at = 0, grid = 0;
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        const tn_lesson *lesson = b->pupils[i].lesson;
        if (lesson->patch_count > 0)
            memcpy(all.data + at * values, lesson->patches, lesson->patch_count * values * sizeof(tn_real));
        for (size_t p = 0; p < lesson->picture_count; p++)
            (*grids)[grid++] = lesson->grids[p];
        at += lesson->patch_count;
    }
    b->result->patches = patches;
    return all;
}

/* Runs all pictures through the tower. A frozen tower leaves nothing behind but its result. */
static void see(batch *b)
{
    const tn_model *model = b->teacher->model;
    const tn_vision_config *vision = &model->config.vision;
    tn_ops *ops = b->ops;
    size_t merge = vision->spatial_merge_size, rows = 0, grid_count;
    for (size_t i = 0; i < b->count; i++) {
        b->pupils[i].embeds = rows;
        b->pupils[i].embed_count = b->pupils[i].lesson->patch_count / (merge * merge);
        rows += b->pupils[i].embed_count;
    }
    if (rows == 0)
        return;
    tn_grid *grids;
    bool trained = b->learn && tn_network_is_trained(tn_networks_find(&model->networks, TN_NETWORK_IMAGES), TN_ANY, 0);
    tn_real *kept = trained ? NULL : take(b, rows * vision->hidden_size, sizeof *kept);
    size_t mark = tn_arena_mark(ops->arena);
    tn_tensor patches = gather_patches(b, &grids, &grid_count);
    tn_tape *tape = ops->tape;
    if (!trained)
        ops->tape = NULL;
    b->embeds = tn_networks_encode(ops, &model->networks, patches, grids, grid_count);
    ops->tape = tape;
    if (!trained && b->embeds.data != NULL) {
        memcpy(kept, b->embeds.data, rows * vision->hidden_size * sizeof *kept);
        b->embeds.data = kept;
        tn_arena_release(ops->arena, mark);
    }
    b->picked = b->teacher->options.through_picks ? b->embeds : tn_op_detach(b->embeds);
}

/* -------------------------------------------------------------- opening -- */

static bool lesson_fits(batch *b, size_t index)
{
    const tn_lesson *lesson = b->pupils[index].lesson;
    size_t ids = 0, images = 0;
    if (lesson->count == 0 || lesson->part_count == 0 || lesson->parts[0].ids == 0)
        return refuse(b, index, "does not begin with text");
    for (size_t p = 0; p < lesson->part_count; p++)
        ids += lesson->parts[p].ids;
    for (size_t i = 0; i < lesson->count; i++)
        images += lesson->ids[i] == b->teacher->model->config.image_token && i < lesson->parts[0].ids;
    if (ids != lesson->count)
        return refuse(b, index, "has other numbers of tokens in its parts and in all");
    if (images != b->pupils[index].embed_count)
        return refuse(b, index, "has other numbers of image tokens and of image embeddings");
    if (lesson->rows > b->teacher->model->config.decoder.max_position_embeddings)
        return refuse(b, index, "has more rows than the model has positions");
    return true;
}

/* Keys and values of all layers; with their gradients, zeroed, while learning. */
static void open_cache(batch *b, pupil *p)
{
    const tn_decoder_config *config = &b->teacher->model->config.decoder;
    size_t stride = config->num_key_value_heads * config->head_dim, capacity = p->lesson->rows, size, all;
    if (!tn_size_mul(capacity, stride, &size) || !tn_size_mul(size, b->learn ? 4 : 2, &all))
        all = size = SIZE_MAX;
    p->cache = take(b, config->num_hidden_layers, sizeof *p->cache);
    for (size_t l = 0; l < config->num_hidden_layers && b->ops->failure.code == TENEBRA_OK; l++) {
        tn_real *memory = take(b, all, sizeof *memory);
        if (memory == NULL)
            return;
        p->cache[l] = (tn_keys){ .capacity = capacity, .stride = stride, .k = memory, .v = memory + size,
                                 .dk = b->learn ? memory + 2 * size : NULL, .dv = b->learn ? memory + 3 * size : NULL };
    }
}

static void open_positions(batch *b, pupil *p)
{
    const tn_model *model = b->teacher->model;
    size_t count = p->lesson->parts[0].ids;
    int32_t next;
    p->prompt = take(b, count, sizeof *p->prompt);
    if (p->prompt != NULL)
        model->backbone->positions(&model->config, p->lesson->ids, count, p->lesson->grids, p->lesson->picture_count, 0,
                                   p->prompt, &next, &b->ops->failure);
}

static void open_pupil(batch *b, size_t index)
{
    pupil *p = &b->pupils[index];
    const tn_lesson *lesson = p->lesson;
    if (!lesson_fits(b, index))
        return;
    open_cache(b, p);
    p->candidates = take(b, p->embed_count, sizeof *p->candidates);
    p->scores = take(b, p->embed_count, sizeof *p->scores);
    p->choice.settings = lesson->latent;
    p->choice.settings.steps = lesson->latent_steps;
    p->choice.candidates = p->embed_count;
    p->choice.available = take(b, p->embed_count, sizeof *p->choice.available);
    p->choice.picks = take(b, lesson->latent.picks + 1, sizeof *p->choice.picks);
    p->choice.first = take(b, lesson->latent.picks + 1, sizeof *p->choice.first);
    if (!b->teacher->reasoner.sequential)
        open_positions(b, p);
    if (b->ops->failure.code != TENEBRA_OK)
        return;
    memset(p->choice.available, true, p->embed_count);
    for (size_t i = 0, seen = 0; i < lesson->parts[0].ids; i++)
        if (lesson->ids[i] == b->teacher->model->config.image_token)
            p->candidates[seen++] = i;
}

static void open_batch(batch *b)
{
    size_t rows = 0, labels = 0;
    see(b);
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        open_pupil(b, i);
        rows += b->pupils[i].lesson->rows;
        labels += b->pupils[i].lesson->label_count;
    }
    b->slots = take(b, rows, sizeof *b->slots);
    b->positions = take(b, rows, sizeof *b->positions);
    b->sequences = take(b, b->count, sizeof *b->sequences);
    b->active = take(b, b->count, sizeof *b->active);
    b->predictors = take(b, labels, sizeof *b->predictors);
    b->labels = take(b, labels, sizeof *b->labels);
    if (b->ops->failure.code == TENEBRA_OK && labels == 0)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "lesson", "no token of the batch bears loss");
}

/* ---------------------------------------------------------------- spans -- */

static bool is_done(const pupil *p)
{
    return p->part == p->lesson->part_count;
}

static bool is_latent(const pupil *p)
{
    return !is_done(p) && p->lesson->parts[p->part].latents > 0;
}

/* After a span: goes on to the next part that has something to run. */
static void advance(pupil *p)
{
    if (is_latent(p) && p->steps_left > 0 && tn_choice_goes_on(&p->choice))
        return;
    do {
        p->part++;
        p->steps_left = is_done(p) ? 0 : p->lesson->parts[p->part].latents;
    } while (is_latent(p) && !tn_choice_goes_on(&p->choice));
}

static void lay(batch *b, pupil *p, tn_slot slot)
{
    size_t row = p->length + p->count;
    slot.position = p->prompt && row < p->lesson->parts[0].ids
                        ? p->prompt[row]
                        : (tn_position){ { p->next_position, p->next_position, p->next_position } };
    for (size_t axis = 0; axis < 3; axis++)
        if (slot.position.axis[axis] >= p->next_position)
            p->next_position = slot.position.axis[axis] + 1;
    b->positions[b->row_count] = slot.position;
    b->slots[b->row_count++] = slot;
    p->count++;
}

static void lay_text(batch *b, pupil *p)
{
    size_t embed = 0, count = p->lesson->parts[p->part].ids;
    for (size_t i = 0; i < count; i++) {
        int32_t id = p->lesson->ids[p->next_id + i];
        bool image = p->part == 0 && id == b->teacher->model->config.image_token;
        lay(b, p, image ? (tn_slot){ .token = -1, .row = { b->embeds, p->embeds + embed++ } } : (tn_slot){ .token = id });
    }
    p->next_id += count;
}

static void lay_latent(batch *b, pupil *p, size_t index)
{
    tn_choice_next(&p->choice, p->scores, &b->teacher->reasoner.rng);
    if (b->teacher->options.on_picks != NULL)
        b->teacher->options.on_picks(b->teacher->options.user, index, p->steps, p->choice.picks, p->choice.pick_count);
    for (size_t row = 0; row < tn_choice_rows(&p->choice); row++) {
        size_t pick = 0;
        bool text = tn_choice_is_text(&p->choice, row, &pick);
        lay(b, p, (tn_slot){ .token = -1, .row = text ? p->text : (tn_row_ref){ b->picked, p->embeds + pick } });
    }
    p->steps++;
    p->steps_left--;
    b->result->latent_steps++;
}

/* Whether the step that follows the current span goes by attention scores. */
static bool next_needs_scores(const pupil *p)
{
    pupil after = *p;
    after.length += p->count;
    advance(&after);
    return is_latent(&after) && tn_choice_needs_scores(&after.choice);
}

/* Lays the next span of every lesson that has one. */
static void lay_round(batch *b)
{
    b->row_count = b->active_count = 0;
    for (size_t i = 0; i < b->count; i++) {
        pupil *p = &b->pupils[i];
        if (is_done(p))
            continue;
        p->begin = b->row_count;
        p->count = 0;
        if (is_latent(p))
            lay_latent(b, p, i);
        else
            lay_text(b, p);
        p->tap = (tn_span_tap){ .query = p->count - 1, .keys = p->candidates, .count = p->embed_count, .mean = p->scores };
        b->sequences[b->active_count] = (tn_sequence){ p->count, p->length, p->cache, next_needs_scores(p) ? &p->tap : NULL };
        b->active[b->active_count++] = p;
    }
    b->result->rows += b->row_count;
}

/* ---------------------------------------------------------------- after -- */

/* The rows that predict the labelled tokens of a text span: each token by the row before it. */
static void note_labels(batch *b, pupil *p, tn_tensor x)
{
    size_t first = p->next_id - p->count;
    for (size_t i = 0; i < p->count; i++) {
        int32_t label = p->lesson->labels[first + i];
        if (label < 0 || (i == 0 && p->length == 0))
            continue;
        b->predictors[b->label_count] = i == 0 ? p->last : (tn_row_ref){ x, p->begin + i - 1 };
        b->labels[b->label_count++] = label;
    }
}

/* The hidden states of the lessons whose next span is a latent step. */
static void keep_hidden(batch *b, tn_tensor x)
{
    const tn_decoder *decoder = &b->teacher->model->decoder;
    tn_tensor source = b->teacher->options.through_hidden ? x : tn_op_detach(x);
    tn_row_ref *refs = take(b, b->active_count, sizeof *refs);
    size_t count = 0;
    bool normed = false;
    for (size_t i = 0; i < b->active_count && refs != NULL; i++) {
        pupil *p = b->active[i];
        if (!is_latent(p) || p->choice.settings.text == TN_TEXT_DROP)
            continue;
        normed = normed || !p->choice.settings.raw_hidden;
        refs[count++] = (tn_row_ref){ source, p->begin + p->count - 1 };
    }
    if (count == 0)
        return;
    tn_tensor raw = tn_op_compose(b->ops, refs, count, decoder->config.hidden_size);
    tn_tensor hidden = normed ? tn_decoder_norm(b->ops, decoder, raw) : raw;
    if (!b->teacher->options.through_hidden)
        hidden = tn_op_detach(hidden); /* the scale of the norm may be trained */
    count = 0;
    for (size_t i = 0; i < b->active_count; i++) {
        pupil *p = b->active[i];
        if (is_latent(p) && p->choice.settings.text != TN_TEXT_DROP) {
            p->text = (tn_row_ref){ p->choice.settings.raw_hidden ? raw : hidden, count };
            count++;
        }
    }
}

/* Runs one span of each lesson. */
static void run_round(batch *b)
{
    const tn_decoder *decoder = &b->teacher->model->decoder;
    lay_round(b);
    tn_tensor x = tn_span_input(b->ops, decoder, b->slots, b->row_count);
    x = tn_decoder_run(b->ops, decoder, x, b->positions, b->sequences, b->active_count);
    if (x.data == NULL)
        return;
    for (size_t i = 0; i < b->active_count; i++) {
        pupil *p = b->active[i];
        if (b->active[i]->lesson->parts[p->part].latents == 0)
            note_labels(b, p, x);
        p->last = (tn_row_ref){ x, p->begin + p->count - 1 };
        p->length += p->count;
        advance(p);
    }
    keep_hidden(b, x);
}

static bool all_done(const batch *b)
{
    bool done = true;
    for (size_t i = 0; i < b->count && done; i++)
        done = is_done(&b->pupils[i]);
    return done;
}

/* How often the head's first choice is the label. */
static void count_correct(batch *b, tn_tensor logits)
{
    for (size_t row = 0; row < logits.rows; row++)
        b->result->correct += tn_sample_greedy(logits.data + row * logits.cols, logits.cols) == b->labels[row];
}

static tn_tensor loss_of(batch *b, double scale)
{
    const tn_decoder *decoder = &b->teacher->model->decoder;
    tn_tensor rows = tn_op_compose(b->ops, b->predictors, b->label_count, decoder->config.hidden_size);
    tn_tensor logits = tn_decoder_logits(b->ops, decoder, tn_decoder_norm(b->ops, decoder, rows));
    tn_tensor loss = tn_op_cross_entropy(b->ops, logits, b->labels, scale);
    if (loss.data != NULL)
        count_correct(b, logits);
    return loss;
}

static tenebra_code finish(batch *b, tenebra_error *error)
{
    tn_ops *ops = b->ops;
    tenebra_code code = tn_store_check(b->teacher->model->store, error), failed = ops->failure.code;
    if (code == TENEBRA_OK && failed != TENEBRA_OK) {
        code = failed;
        if (error != NULL)
            *error = ops->failure;
    }
    memset(&ops->failure, 0, sizeof ops->failure);
    ops->tape = NULL;
    ops->dropout = NULL;
    ops->checkpoint = false;
    b->result->peak_bytes = ops->arena->peak;
    tn_arena_release(ops->arena, 0);
    return code;
}

tenebra_code tn_teacher_run(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count, bool learn, double scale,
                            tn_teach_result *result, tenebra_error *error)
{
    tn_teach_result unused;
    batch b = { .teacher = teacher, .ops = &teacher->session->ops, .learn = learn, .count = count,
                .result = result ? result : &unused };
    *b.result = (tn_teach_result){ 0 };
    if (count == 0 || !(scale > 0))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lesson", "a batch needs lessons and a scale above 0");
    if (learn)
        tn_tape_start(b.ops);
    b.ops->dropout = learn ? &teacher->dropout : NULL;
    b.ops->checkpoint = learn && teacher->options.checkpoint;
    b.pupils = take(&b, count, sizeof *b.pupils);
    for (size_t i = 0; i < count && b.pupils != NULL; i++)
        b.pupils[i].lesson = lessons[i];
    if (b.pupils != NULL)
        open_batch(&b);
    while (b.ops->failure.code == TENEBRA_OK && !all_done(&b))
        run_round(&b);
    if (b.ops->failure.code == TENEBRA_OK) {
        tn_tensor loss = loss_of(&b, scale);
        if (loss.data != NULL)
            b.result->loss = (double)loss.data[0] / scale;
        b.result->labels = b.label_count;
        if (learn && loss.data != NULL)
            tn_tape_backward(b.ops, loss);
    }
    return finish(&b, error);
}

/* ------------------------------------------------------------- estimate -- */

size_t tn_teacher_cost(const tn_teacher *teacher, const tn_lesson *const *lessons, size_t count)
{
    const tn_model *model = teacher->model;
    const tn_decoder_config *d = &model->config.decoder;
    const tn_vision_config *v = &model->config.vision;
    double rows = 0, labels = 0, patches = 0;
    for (size_t i = 0; i < count; i++) {
        rows += (double)lessons[i]->rows;
        labels += (double)lessons[i]->label_count;
        patches += (double)lessons[i]->patch_count;
    }
    double query = (double)(d->num_attention_heads * d->head_dim), key = (double)(d->num_key_value_heads * d->head_dim);
    double hidden = (double)d->hidden_size, inner = (double)d->intermediate_size;
    /* Values with gradients of one row in one layer: two norms and two sums; q and its rotated copy, k likewise, v;
     * the mixed heads twice (alone and joined); the output; gate, its product, up, down. */
    double layer = 2 * (6 * hidden + 4 * query + 3 * key + 3 * inner), cache = 4 * key;
    double layers = (double)d->num_hidden_layers;
    double kept = teacher->options.checkpoint ? layers * (2 * hidden + cache) + layer : layers * (layer + cache);
    double tower = 2 * (double)v->depth * (12.0 * (double)v->embed_dim + 2.0 * (double)v->mlp_dim);
    if (!tn_network_is_trained(tn_networks_find(&model->networks, TN_NETWORK_IMAGES), TN_ANY, 0))
        tower = 0;
    double head = 2 * labels * ((double)model->decoder.head.matrix.rows + 2 * hidden);
    return (size_t)(sizeof(tn_real) * (rows * kept + patches * (tower + (double)v->patch_values) + head));
}
