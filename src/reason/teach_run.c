/* One batch of lessons: spans side by side, then the loss, then back. */
#include "reason/teach_parts.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

/* A lesson on its way through the decoder. */
typedef struct pupil {
    const tn_lesson *lesson;
    tn_sequence sequence;
    size_t part;           /* of the lesson                                   */
    size_t steps_left;     /* latent steps of the part                        */
    size_t next_row;       /* text rows that ran                              */
    tn_image_rows *pictures, *picked; /* of the lesson, encoded; `picked` without gradient unless it flows through picks */
    size_t *candidates;    /* [candidate_count] rows of the prompt that are cells of pictures */
    size_t candidate_count;
    tn_real *scores;       /* [candidate_count] attention of the last row that was tapped */
    int32_t next_position;
    tn_choice choice;
    tn_row *laid;          /* [laid_count] rows of all latent steps           */
    size_t laid_count;
    tn_row_ref hidden, raw; /* the last row after and before the final norm, as the next latent step sees it */
    tn_row_ref last;       /* the last row that ran, before the final norm    */
    size_t steps;          /* latent steps done in all parts                  */
    tn_span_tap tap;
    uint64_t seed;         /* of its random draws                             */
    tn_rng rng;            /* for latent steps                                */
    size_t rows;           /* that were laid                                  */
} pupil;

/* What the seeds of a row's dropout are mixed from, beside the example's. */
enum { DRAW_LATENTS, DRAW_PICTURE, DRAW_ROW, DRAW_LABEL };

typedef struct batch {
    tn_teacher *teacher;
    tn_engine *engine;
    tn_ops *ops;              /* the engine's */
    bool learn;
    pupil *pupils;
    size_t count;
    tn_row *rows;             /* [row_count] of the round         */
    tn_span *spans;           /* [active_count] of the round      */
    pupil **active;
    size_t active_count, row_count;
    tn_row_ref *predictors;   /* rows that predict a labelled token */
    int32_t *labels;
    size_t label_count;
    uint64_t *row_seeds, *label_seeds; /* of dropout: of all rows of all rounds; of the predictors */
    tn_dropout dropout;
    tn_teach_result *result;
} batch;

static void *fail_full(batch *b)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MEMORY, "lesson", "the working memory is full; use smaller batches");
    return NULL;
}

static void *take(batch *b, size_t count, size_t size)
{
    void *memory = b->ops->failure.code == TENEBRA_OK ? tn_arena_take(b->ops->arena, count, size) : NULL;
    return memory != NULL ? memset(memory, 0, count * size) : fail_full(b);
}

static bool refuse(batch *b, size_t index, const char *sentence)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "lesson", "number %zu of the batch %s", index + 1, sentence);
    return false;
}

/* What runs next draws its dropout from these seeds. */
static void draw_from(batch *b, const uint64_t *seeds, size_t rows)
{
    b->dropout = (tn_dropout){ .seeds = seeds, .rows = rows };
    b->ops->dropout = b->learn && rows > 0 ? &b->dropout : NULL;
}

/* ------------------------------------------------------------- pictures -- */

/* The seeds of all rows of prepared pictures, in their order. */
static const uint64_t *seed_pictures(batch *b)
{
    uint64_t *seeds = take(b, b->result->prepared, sizeof *seeds);
    for (size_t i = 0, at = 0; seeds != NULL && i < b->count; i++)
        for (size_t k = 0, count = tn_lesson_prepared(b->pupils[i].lesson); k < count; k++)
            seeds[at++] = tn_seed_mix(b->pupils[i].seed, DRAW_PICTURE, k);
    return seeds;
}

/* Takes over what failed. */
static void note(batch *b, tenebra_code code, const tenebra_error *problem)
{
    if (code != TENEBRA_OK && b->ops->failure.code == TENEBRA_OK)
        b->ops->failure = *problem;
}

/* The same picture without gradients. Where it is tokens, it becomes the vectors that the table has for them now. */
static tn_image_rows detach(batch *b, const tn_image_rows *picture)
{
    tn_image_rows constant = *picture;
    constant.embeds = tn_op_detach(picture->embeds);
    for (size_t d = 0; d < picture->deep_count; d++)
        constant.deep[d] = tn_op_detach(picture->deep[d]);
    if (picture->ids != NULL) {
        tn_tape *tape = b->ops->tape;
        b->ops->tape = NULL;
        constant.embeds = tn_op_gather(b->ops, &b->teacher->model->decoder.embed, picture->ids, picture->rows);
        constant.ids = NULL;
        b->ops->tape = tape;
    }
    return constant;
}

/* Each lesson's pictures with their embeddings; and once more, as latent steps feed them: without gradient, unless it flows
 * through picks. A frozen tower leaves nothing behind but its result. */
static void encode_pictures(batch *b)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < b->count; i++) {
        count += b->pupils[i].lesson->picture_count;
        b->result->prepared += tn_lesson_prepared(b->pupils[i].lesson);
    }
    const tn_prepared **prepared = take(b, count, sizeof *prepared);
    tn_image_rows **pictures = take(b, count, sizeof *pictures), *memory = take(b, 2 * count, sizeof *memory);
    for (size_t i = 0; memory != NULL && i < b->count; i++) {
        pupil *p = &b->pupils[i];
        p->pictures = memory + at;
        p->picked = memory + count + at;
        for (size_t k = 0; k < p->lesson->picture_count; k++, at++) {
            prepared[at] = &p->lesson->prepared[k];
            pictures[at] = &memory[at];
            memory[at] = p->lesson->pictures[k];
        }
    }
    if (count == 0 || memory == NULL)
        return;
    tenebra_error problem;
    tn_tape *tape = b->ops->tape;
    if (!b->learn || !tn_network_is_trained(tn_networks_find(&b->teacher->model->networks, TN_NETWORK_IMAGES), TN_ANY, 0))
        b->ops->tape = NULL;
    draw_from(b, seed_pictures(b), b->result->prepared);
    note(b, tn_engine_encode(b->engine, prepared, pictures, count, b->ops->arena, &problem), &problem);
    b->ops->tape = tape;
    for (size_t i = 0; i < count; i++)
        memory[count + i] = b->teacher->options.through_picks ? memory[i] : detach(b, &memory[i]);
}

/* -------------------------------------------------------------- opening -- */

static bool lesson_fits(batch *b, size_t index)
{
    const tn_lesson *lesson = b->pupils[index].lesson;
    size_t rows = 0;
    if (lesson->count == 0 || lesson->part_count == 0 || lesson->parts[0].rows == 0)
        return refuse(b, index, "does not begin with text");
    for (size_t p = 0; p < lesson->part_count; p++)
        rows += lesson->parts[p].rows;
    if (rows != lesson->count)
        return refuse(b, index, "has other numbers of rows in its parts and in all");
    if (lesson->rows > b->teacher->model->config.decoder.max_position_embeddings)
        return refuse(b, index, "has more rows than the model has positions");
    return true;
}

static void open_pupil(batch *b, size_t index)
{
    pupil *p = &b->pupils[index];
    const tn_lesson *lesson = p->lesson;
    if (!lesson_fits(b, index))
        return;
    if (!tn_sequence_take(&p->sequence, &b->teacher->model->config.decoder, lesson->rows, b->learn ? b->ops : NULL, b->ops->arena))
        fail_full(b);
    for (size_t i = 0; i < lesson->count; i++)
        p->candidate_count += lesson->text[i].kind == TN_ROW_CELL;
    p->candidates = take(b, p->candidate_count, sizeof *p->candidates);
    p->scores = take(b, p->candidate_count, sizeof *p->scores);
    p->choice.settings = lesson->latent;
    p->choice.settings.steps = lesson->latent_steps;
    p->choice.candidates = p->candidate_count;
    p->choice.available = take(b, p->candidate_count, sizeof *p->choice.available);
    p->choice.cells = take(b, p->candidate_count, sizeof *p->choice.cells);
    p->choice.picks = take(b, lesson->latent.picks + 1, sizeof *p->choice.picks);
    p->choice.first = take(b, lesson->latent.picks + 1, sizeof *p->choice.first);
    p->laid = take(b, lesson->latent_steps * (lesson->latent.picks + 1), sizeof *p->laid);
    if (b->ops->failure.code != TENEBRA_OK)
        return;
    memset(p->choice.available, true, p->candidate_count);
    for (size_t i = 0, seen = 0; i < lesson->count; i++) {
        const tn_row *row = &lesson->text[i];
        if (row->kind != TN_ROW_CELL)
            continue;
        p->choice.cells[seen] = tn_row_of_cell(&p->picked[row->picture - lesson->pictures], row->cell);
        p->candidates[seen++] = i;
    }
}

static void open_batch(batch *b)
{
    size_t rows = 0, labels = 0;
    encode_pictures(b);
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        open_pupil(b, i);
        rows += b->pupils[i].lesson->rows;
        labels += b->pupils[i].lesson->label_count;
    }
    b->rows = take(b, rows, sizeof *b->rows);
    b->spans = take(b, b->count, sizeof *b->spans);
    b->active = take(b, b->count, sizeof *b->active);
    b->predictors = take(b, labels, sizeof *b->predictors);
    b->labels = take(b, labels, sizeof *b->labels);
    b->row_seeds = take(b, rows, sizeof *b->row_seeds);
    b->label_seeds = take(b, labels, sizeof *b->label_seeds);
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

/* `placed`: the row has its position. */
static void lay(batch *b, pupil *p, tn_row row, bool placed)
{
    if (!placed)
        row.position = (tn_position){ { p->next_position, p->next_position, p->next_position } };
    for (size_t axis = 0; axis < 3; axis++)
        if (row.position.axis[axis] >= p->next_position)
            p->next_position = row.position.axis[axis] + 1;
    b->row_seeds[b->result->rows + b->row_count] = tn_seed_mix(p->seed, DRAW_ROW, p->rows++);
    b->rows[b->row_count++] = row;
}

static void lay_text(batch *b, pupil *p)
{
    size_t count = p->lesson->parts[p->part].rows;
    bool placed = p->part == 0 && !b->teacher->reasoner.sequential;
    tn_row *first = b->rows + b->row_count;
    memcpy(first, p->lesson->text + p->next_row, count * sizeof *first);
    if (placed)
        b->teacher->model->backbone->positions(first, count, 0);
    for (size_t i = 0; i < count; i++) {
        tn_row row = first[i];
        if (row.kind == TN_ROW_CELL)
            row.picture = &p->pictures[row.picture - p->lesson->pictures];
        lay(b, p, row, placed);
    }
    p->next_row += count;
}

static void lay_latent(batch *b, pupil *p, size_t index)
{
    const tn_teacher_options *options = &b->teacher->options;
    const tn_method *method = b->teacher->reasoner.method;
    const tn_latent_view view = { .ops = b->ops, .module = tn_module_of(b->teacher->model, method->name),
                                  .decoder = &b->teacher->model->decoder, .hidden = p->hidden, .raw = p->raw, .scores = p->scores,
                                  .rng = &p->rng };
    tn_row *rows = take(b, p->choice.settings.picks + 1, sizeof *rows);
    tenebra_error problem;
    size_t count = 0;
    if (rows != NULL)
        note(b, method->latent_step(&p->choice, &view, rows, &count, &problem), &problem);
    if (options->on_picks != NULL)
        options->on_picks(options->user, index, p->steps, p->choice.picks, p->choice.pick_count);
    for (size_t row = 0; row < count; row++) {
        lay(b, p, rows[row], false);
        p->laid[p->laid_count++] = rows[row];
    }
    p->steps++;
    p->steps_left--;
    b->result->latent_steps++;
}

/* Lays the next span of every lesson that has one. */
static void lay_round(batch *b)
{
    b->row_count = b->active_count = 0;
    for (size_t i = 0; i < b->count; i++) {
        pupil *p = &b->pupils[i];
        if (is_done(p))
            continue;
        size_t begin = b->row_count;
        if (is_latent(p))
            lay_latent(b, p, i);
        else
            lay_text(b, p);
        pupil after = *p;
        advance(&after);
        bool latent = is_latent(&after);
        p->tap = (tn_span_tap){ .query = b->row_count - begin - 1, .keys = p->candidates, .count = p->candidate_count,
                                .mean = p->scores };
        b->spans[b->active_count] = (tn_span){ .sequence = &p->sequence, .rows = b->rows + begin, .count = b->row_count - begin,
                                               .tap = latent && tn_choice_needs_scores(&after.choice) ? &p->tap : NULL,
                                               .wants_hidden = latent && p->choice.settings.text != TN_TEXT_DROP,
                                               .wants_rows = true };
        b->active[b->active_count++] = p;
    }
    draw_from(b, b->row_seeds + b->result->rows, b->row_count);
    b->result->rows += b->row_count;
}

/* ---------------------------------------------------------------- after -- */

/* The rows that predict the labelled tokens of a text span: each token by the row before it. */
static void note_labels(batch *b, const pupil *p, const tn_span *span)
{
    size_t first = p->next_row - span->count;
    for (size_t i = 0; i < span->count; i++) {
        int32_t label = p->lesson->labels[first + i];
        if (label < 0 || (i == 0 && tn_tensor_is_empty(p->last.source)))
            continue;
        b->predictors[b->label_count] = i == 0 ? p->last : (tn_row_ref){ span->out.source, span->out.row + i - 1 };
        b->label_seeds[b->label_count] = tn_seed_mix(p->seed, DRAW_LABEL, first + i);
        b->labels[b->label_count++] = label;
    }
}

/* The last row as the next latent step sees it. The scale of the final norm may be trained, so the gradient is cut after it. */
static void keep_hidden(const batch *b, pupil *p)
{
    p->hidden = p->sequence.hidden;
    p->raw = p->sequence.raw;
    if (!b->teacher->options.through_hidden) {
        p->hidden.source = tn_op_detach(p->hidden.source);
        p->raw.source = tn_op_detach(p->raw.source);
    }
}

/* Runs one span of each lesson. */
static void run_round(batch *b)
{
    tenebra_error problem;
    lay_round(b);
    if (b->ops->failure.code == TENEBRA_OK)
        note(b, tn_engine_run(b->engine, b->spans, b->active_count, &problem), &problem);
    for (size_t i = 0; b->ops->failure.code == TENEBRA_OK && i < b->active_count; i++) {
        pupil *p = b->active[i];
        const tn_span *span = &b->spans[i];
        if (p->lesson->parts[p->part].latents == 0)
            note_labels(b, p, span);
        p->last = (tn_row_ref){ span->out.source, span->out.row + span->count - 1 };
        advance(p);
        if (span->wants_hidden)
            keep_hidden(b, p);
    }
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
    size_t *places = take(b, logits.rows, sizeof *places);
    for (size_t row = 0; places != NULL && tn_op_argmax(b->ops, logits, places) && row < logits.rows; row++)
        b->result->correct += (int32_t)places[row] == b->labels[row];
}

static tn_tensor loss_of(batch *b, double scale)
{
    const tn_decoder *decoder = &b->teacher->model->decoder;
    draw_from(b, b->label_seeds, b->label_count);
    tn_tensor rows = tn_op_compose(b->ops, b->predictors, b->label_count, decoder->config.hidden_size);
    tn_tensor logits = tn_decoder_logits(b->ops, decoder, tn_decoder_norm(b->ops, decoder, rows));
    tn_tensor loss = tn_op_cross_entropy(b->ops, logits, b->labels, scale);
    if (!tn_tensor_is_empty(loss))
        count_correct(b, logits);
    return loss;
}

/* Adds the loss of the method to that of the tokens. */
static tn_tensor add_auxiliary(batch *b, tn_tensor loss, double scale)
{
    const tn_method *method = b->teacher->reasoner.method;
    double weight = scale * (double)b->label_count;
    tn_latent_rows *examples = take(b, b->count, sizeof *examples);
    tn_real value;
    for (size_t i = 0; examples != NULL && i < b->count; i++)
        examples[i] = (tn_latent_rows){ b->pupils[i].laid, b->pupils[i].laid_count, b->pupils[i].pictures,
                                        b->pupils[i].lesson->picture_count };
    const tn_tensor own = examples == NULL ? (tn_tensor){ 0 }
                                           : method->batch_loss(b->ops, tn_module_of(b->teacher->model, method->name), examples,
                                                                b->count, weight);
    if (!tn_op_read(b->ops, own, &value))
        return (tn_tensor){ 0 };
    b->result->auxiliary = (double)value / weight;
    return tn_op_add(b->ops, loss, own);
}

static tenebra_code finish(batch *b, tenebra_error *error)
{
    b->ops->tape = NULL;
    b->ops->dropout = NULL;
    b->ops->checkpoint = false;
    b->result->peak_bytes = b->ops->arena->peak;
    return tn_engine_finish(b->engine, 0, error);
}

tenebra_code tn_teacher_run(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count, bool learn, double scale,
                            tn_teach_result *result, tenebra_error *error)
{
    tn_teach_result unused;
    tn_engine *engine = teacher->session->engine;
    batch b = { .teacher = teacher, .engine = engine, .ops = &engine->ops, .learn = learn, .count = count,
                .result = result ? result : &unused };
    *b.result = (tn_teach_result){ .auxiliary = (double)NAN };
    if (count == 0 || !(scale > 0))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lesson", "a batch needs lessons and a scale above 0");
    if (learn)
        tn_tape_start(b.ops);
    b.ops->checkpoint = learn && teacher->options.checkpoint;
    b.pupils = take(&b, count, sizeof *b.pupils);
    for (size_t i = 0; i < count && b.pupils != NULL; i++) {
        uint64_t seed = tn_seed_mix(teacher->seed, lessons[i]->number, 0);
        b.pupils[i].lesson = lessons[i];
        b.pupils[i].seed = seed;
        b.pupils[i].rng = tn_rng_seed(tn_seed_mix(seed, DRAW_LATENTS, 0));
    }
    if (b.pupils != NULL)
        open_batch(&b);
    while (b.ops->failure.code == TENEBRA_OK && !all_done(&b))
        run_round(&b);
    if (b.ops->failure.code == TENEBRA_OK) {
        tn_tensor loss = loss_of(&b, scale);
        tn_real value;
        if (tn_op_read(b.ops, loss, &value))
            b.result->loss = (double)value / scale;
        b.result->labels = b.label_count;
        if (b.teacher->reasoner.method->batch_loss != NULL)
            loss = add_auxiliary(&b, loss, scale);
        if (learn)
            tn_tape_backward(b.ops, loss);
    }
    return finish(&b, error);
}

/* ------------------------------------------------------------- estimate -- */

/* Numbers that a recorded forward keeps of one row of the input of a network: what its matrices read and give, and its norms. */
static tenebra_code add_place(void *user, const tn_place *place, tenebra_error *error)
{
    double *kept = user;
    (void)error;
    if (place->network->layout->kind == TN_NETWORK_IMAGES && tn_place_is_matrix(place))
        *kept += (double)(place->rows + place->cols) / (double)tn_place_pool(place);
    else if (place->network->layout->kind == TN_NETWORK_IMAGES && place->row->role == TN_ROLE_SCALE)
        *kept += (double)place->cols;
    return TENEBRA_OK;
}

size_t tn_teacher_cost(const tn_teacher *teacher, const tn_lesson *const *lessons, size_t count)
{
    const tn_model *model = teacher->model;
    const tn_decoder_config *d = &model->config.decoder;
    double rows = 0, labels = 0, input = 0, values = 0, tower = 0;
    for (size_t i = 0; i < count; i++) {
        rows += (double)lessons[i]->rows;
        labels += (double)lessons[i]->label_count;
        input += (double)tn_lesson_prepared(lessons[i]);
        for (size_t p = 0; p < lessons[i]->picture_count; p++)
            values += (double)lessons[i]->prepared[p].rows * (double)lessons[i]->prepared[p].columns;
    }
    double query = (double)(d->num_attention_heads * d->head_dim), key = (double)(d->num_key_value_heads * d->head_dim);
    double hidden = (double)d->hidden_size, inner = (double)d->intermediate_size;
    /* Values with gradients of one row in one layer: two norms and two sums; q and its rotated copy, k likewise, v;
     * the mixed heads twice (alone and joined); the output; gate, its product, up, down. */
    double layer = 2 * (6 * hidden + 4 * query + 3 * key + 3 * inner), cache = 4 * key;
    double layers = (double)d->num_hidden_layers;
    double kept = teacher->options.checkpoint ? layers * (2 * hidden + cache) + layer : layers * (layer + cache);
    if (tn_network_is_trained(tn_networks_find(&model->networks, TN_NETWORK_IMAGES), TN_ANY, 0))
        tn_networks_each(&model->networks, add_place, &tower, NULL);
    double head = 2 * labels * ((double)model->decoder.head.matrix.rows + 2 * hidden);
    return (size_t)(sizeof(tn_real) * (rows * kept + 2 * input * tower + values + head));
}
