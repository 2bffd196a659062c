/* Runs one batch of training examples: their spans side by side, then the loss, then the backward. */
#include "reason/training_parts.h"

#include <math.h>
#include <string.h>

/* The progress of an example through the decoder. */
typedef struct example_run {
    const tn_train_example *example;
    tn_sequence sequence;
    size_t part;           /* current part of the example                      */
    size_t steps_left;     /* remaining latent steps of the part              */
    size_t next_row;       /* number of text rows that ran                    */
    tn_image_rows *pictures, *picked; /* encoded images of the example, then those that picks are read from (look.h); `picked`: without
                                       * gradient, unless through_picks */
    size_t *candidates;    /* [candidate_count] rows of the prompt that are cells of images */
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
    uint64_t seed;         /* seed of its random numbers                      */
    tn_rng rng;            /* for latent steps                                */
    size_t rows;           /* that were laid                                  */
} example_run;

/* Constants from which, with the example's seed, the seeds of a row's dropout are made. */
enum { DRAW_LATENTS, DRAW_PICTURE, DRAW_ROW, DRAW_LABEL };

typedef struct batch {
    tn_training *training;
    tn_engine *engine;
    tn_ops *ops;              /* the engine's */
    bool learn;
    example_run *runs;
    size_t count;
    tn_row *rows;             /* [row_count] of the round         */
    tn_span *spans;           /* [active_count] of the round      */
    example_run **active;
    size_t active_count, row_count;
    tn_row_ref *predictors;   /* rows that predict a labelled token */
    int32_t *labels;
    size_t label_count;
    uint64_t *row_seeds, *label_seeds; /* seeds of dropout: of all rows of all rounds, and of the predictors */
    tn_dropout dropout;
    tn_training_result *result;
} batch;

static void *fail_full(batch *b)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MEMORY, "example", "the working memory is full; use smaller batches");
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
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "example", "number %zu of the batch %s", index + 1, sentence);
    return false;
}

/* Sets the seeds of dropout for the rows that run next. */
static void draw_from(batch *b, const uint64_t *seeds, size_t rows)
{
    b->dropout = (tn_dropout){ .seeds = seeds, .rows = rows };
    b->ops->dropout = b->learn && rows > 0 ? &b->dropout : NULL;
}

/* ------------------------------------------------------------- images -- */

/* The seeds of `rows` rows of prepared images, in their order. */
static const uint64_t *seed_pictures(batch *b, size_t looks, size_t rows)
{
    uint64_t *seeds = take(b, rows, sizeof *seeds);
    for (size_t i = 0, at = 0; seeds != NULL && i < b->count; i++) {
        size_t first = looks ? tn_train_example_prepared(b->runs[i].example, 0) : 0;
        for (size_t k = 0, count = tn_train_example_prepared(b->runs[i].example, looks); k < count; k++)
            seeds[at++] = tn_seed_mix(b->runs[i].seed, DRAW_PICTURE, first + k);
    }
    return seeds;
}

/* Keeps the first error in ops->failure. */
static void note(batch *b, tenebra_code code, const tenebra_error *problem)
{
    if (code != TENEBRA_OK && b->ops->failure.code == TENEBRA_OK)
        b->ops->failure = *problem;
}

/* The same image without gradients. If it is tokens, they are replaced by their current embeddings. */
static tn_image_rows detach(batch *b, const tn_image_rows *picture)
{
    tn_image_rows constant = *picture;
    constant.embeds = tn_op_detach(picture->embeds);
    for (size_t d = 0; d < picture->deep_count; d++)
        constant.deep[d] = tn_op_detach(picture->deep[d]);
    if (picture->ids != NULL) {
        tn_tape *tape = b->ops->tape;
        b->ops->tape = NULL;
        constant.embeds = tn_op_gather(b->ops, &b->training->model->decoder.embed, picture->ids, picture->rows);
        constant.ids = NULL;
        b->ops->tape = tape;
    }
    return constant;
}

/* Encodes the images of all examples, or those that picks are read from. A frozen tower records nothing, and neither do looks whose
 * gradients would be cut. */
static void encode(batch *b, size_t looks)
{
    size_t count = 0, rows = 0;
    for (size_t i = 0; i < b->count; i++) {
        rows += tn_train_example_prepared(b->runs[i].example, looks);
        count += looks ? b->runs[i].example->look_count : b->runs[i].example->picture_count;
    }
    const tn_prepared **prepared = take(b, count, sizeof *prepared);
    tn_image_rows **pictures = take(b, count, sizeof *pictures);
    count = 0;
    for (size_t i = 0; pictures != NULL && i < b->count; i++) {
        const tn_train_example *example = b->runs[i].example;
        size_t first = looks ? example->picture_count : 0, last = looks ? first + example->look_count : example->picture_count;
        for (size_t k = first; k < last; k++)
            if (example->pictures[k].rows > 0) {
                prepared[count] = &example->prepared[k];
                pictures[count++] = &b->runs[i].pictures[k];
            }
    }
    if (count == 0 || pictures == NULL)
        return;
    tenebra_error problem;
    tn_tape *tape = b->ops->tape;
    bool trained = tn_network_is_trained(tn_networks_find(&b->training->model->networks, TN_NETWORK_IMAGES), TN_ANY, 0);
    if (!b->learn || !trained || (looks && !b->training->options.through_picks))
        b->ops->tape = NULL;
    draw_from(b, seed_pictures(b, looks, rows), rows);
    note(b, tn_engine_encode(b->engine, prepared, pictures, count, b->ops->arena, &problem), &problem);
    b->ops->tape = tape;
    b->result->prepared += rows;
}

/* Encodes all images. A second copy is for latent steps: without gradient, unless through_picks. */
static void encode_pictures(batch *b)
{
    size_t total = 0;
    for (size_t i = 0; i < b->count; i++)
        total += b->runs[i].example->picture_count + b->runs[i].example->look_count;
    tn_image_rows *memory = take(b, 2 * total, sizeof *memory);
    for (size_t i = 0, at = 0; memory != NULL && i < b->count; i++) {
        example_run *p = &b->runs[i];
        size_t count = p->example->picture_count + p->example->look_count;
        p->pictures = memory + at;
        p->picked = memory + total + at;
        for (size_t k = 0; k < count; k++)
            p->pictures[k] = p->example->pictures[k];
        at += count;
    }
    if (total == 0 || memory == NULL)
        return;
    encode(b, 0);
    encode(b, 1);
    for (size_t i = 0; i < total; i++)
        memory[total + i] = b->training->options.through_picks || memory[i].rows == 0 ? memory[i] : detach(b, &memory[i]);
}

/* -------------------------------------------------------------- opening -- */

static bool example_fits(batch *b, size_t index)
{
    const tn_train_example *example = b->runs[index].example;
    size_t rows = 0;
    if (example->count == 0 || example->part_count == 0 || example->parts[0].rows == 0)
        return refuse(b, index, "does not begin with text");
    for (size_t p = 0; p < example->part_count; p++)
        rows += example->parts[p].rows;
    if (rows != example->count)
        return refuse(b, index, "has parts whose rows do not add up to its number of rows");
    if (example->rows > b->training->model->config.decoder.max_position_embeddings)
        return refuse(b, index, "has more rows than the model has positions");
    return true;
}

static void open_run(batch *b, size_t index)
{
    example_run *p = &b->runs[index];
    const tn_train_example *example = p->example;
    if (!example_fits(b, index))
        return;
    if (!tn_sequence_take(&p->sequence, &b->training->model->config.decoder, example->rows, b->learn ? b->ops : NULL, b->ops->arena))
        fail_full(b);
    size_t cells = 0;
    for (size_t i = 0; i < example->count; i++) {
        const tn_row *row = &example->text[i];
        if (row->kind != TN_ROW_CELL)
            continue;
        p->candidate_count++;
        cells += tn_look_ratio(row->picture, tn_train_example_look(example, example->pictures, (size_t)(row->picture - example->pictures)));
    }
    p->candidates = take(b, p->candidate_count, sizeof *p->candidates);
    p->scores = take(b, p->candidate_count, sizeof *p->scores);
    p->choice.settings = example->latent;
    p->choice.settings.steps = example->latent_steps;
    p->choice.candidates = p->candidate_count;
    p->choice.available = take(b, p->candidate_count, sizeof *p->choice.available);
    p->choice.starts = take(b, p->candidate_count + 1, sizeof *p->choice.starts);
    p->choice.cells = take(b, cells, sizeof *p->choice.cells);
    p->choice.picks = take(b, example->latent.picks + 1, sizeof *p->choice.picks);
    p->choice.first = take(b, example->latent.picks + 1, sizeof *p->choice.first);
    if (b->ops->failure.code != TENEBRA_OK)
        return;
    memset(p->choice.available, true, p->candidate_count);
    for (size_t i = 0, seen = 0; i < example->count; i++) {
        const tn_row *row = &example->text[i];
        if (row->kind != TN_ROW_CELL)
            continue;
        size_t picture = (size_t)(row->picture - example->pictures);
        tn_choice_add(&p->choice, seen, &p->picked[picture], tn_train_example_look(example, p->picked, picture), row->cell);
        p->candidates[seen++] = i;
    }
    p->laid = take(b, example->latent_steps * tn_choice_rows(&p->choice), sizeof *p->laid);
}

static void open_batch(batch *b)
{
    size_t rows = 0, labels = 0;
    encode_pictures(b);
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        open_run(b, i);
        rows += b->runs[i].example->rows;
        labels += b->runs[i].example->label_count;
    }
    b->rows = take(b, rows, sizeof *b->rows);
    b->spans = take(b, b->count, sizeof *b->spans);
    b->active = take(b, b->count, sizeof *b->active);
    b->predictors = take(b, labels, sizeof *b->predictors);
    b->labels = take(b, labels, sizeof *b->labels);
    b->row_seeds = take(b, rows, sizeof *b->row_seeds);
    b->label_seeds = take(b, labels, sizeof *b->label_seeds);
    if (b->ops->failure.code == TENEBRA_OK && labels == 0)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "example", "no token of the batch has a loss");
}

/* ---------------------------------------------------------------- spans -- */

static bool is_done(const example_run *p)
{
    return p->part == p->example->part_count;
}

static bool is_latent(const example_run *p)
{
    return !is_done(p) && p->example->parts[p->part].latents > 0;
}

/* After a span: moves to the next part that has rows to run. */
static void advance(example_run *p)
{
    if (is_latent(p) && p->steps_left > 0 && tn_choice_goes_on(&p->choice))
        return;
    do {
        p->part++;
        p->steps_left = is_done(p) ? 0 : p->example->parts[p->part].latents;
    } while (is_latent(p) && !tn_choice_goes_on(&p->choice));
}

/* Adds a row to the round. `placed`: the row already has its position. */
static void lay(batch *b, example_run *p, tn_row row, bool placed)
{
    if (!placed)
        row.position = (tn_position){ { p->next_position, p->next_position, p->next_position } };
    for (size_t axis = 0; axis < 3; axis++)
        if (row.position.axis[axis] >= p->next_position)
            p->next_position = row.position.axis[axis] + 1;
    b->row_seeds[b->result->rows + b->row_count] = tn_seed_mix(p->seed, DRAW_ROW, p->rows++);
    b->rows[b->row_count++] = row;
}

static void lay_text(batch *b, example_run *p)
{
    size_t count = p->example->parts[p->part].rows;
    bool placed = p->part == 0 && !b->training->reasoner.sequential;
    tn_row *first = b->rows + b->row_count;
    memcpy(first, p->example->text + p->next_row, count * sizeof *first);
    if (placed)
        b->training->model->backbone->positions(first, count, 0);
    for (size_t i = 0; i < count; i++) {
        tn_row row = first[i];
        if (row.kind == TN_ROW_CELL)
            row.picture = &p->pictures[row.picture - p->example->pictures];
        lay(b, p, row, placed);
    }
    p->next_row += count;
}

static void lay_latent(batch *b, example_run *p, size_t index)
{
    const tn_training_options *options = &b->training->options;
    const tn_method *method = b->training->reasoner.method;
    const tn_latent_view view = { .ops = b->ops, .module = tn_module_of(b->training->model, method->name),
                                  .decoder = &b->training->model->decoder, .hidden = p->hidden, .raw = p->raw, .scores = p->scores,
                                  .rng = &p->rng };
    tn_row *rows = take(b, tn_choice_rows(&p->choice), sizeof *rows);
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

/* Makes the next span of every example that has one. */
static void lay_round(batch *b)
{
    b->row_count = b->active_count = 0;
    for (size_t i = 0; i < b->count; i++) {
        example_run *p = &b->runs[i];
        if (is_done(p))
            continue;
        size_t begin = b->row_count;
        if (is_latent(p))
            lay_latent(b, p, i);
        else
            lay_text(b, p);
        example_run after = *p;
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

/* Notes the rows that predict the labelled tokens of a text span: the row before each token. */
static void note_labels(batch *b, const example_run *p, const tn_span *span)
{
    size_t first = p->next_row - span->count;
    for (size_t i = 0; i < span->count; i++) {
        int32_t label = p->example->labels[first + i];
        if (label < 0 || (i == 0 && tn_tensor_is_empty(p->last.source)))
            continue;
        b->predictors[b->label_count] = i == 0 ? p->last : (tn_row_ref){ span->out.source, span->out.row + i - 1 };
        b->label_seeds[b->label_count] = tn_seed_mix(p->seed, DRAW_LABEL, first + i);
        b->labels[b->label_count++] = label;
    }
}

/* Keeps the last row for the next latent step. The scale of the final norm may be trained, so the gradient is cut after the
 * norm. */
static void keep_hidden(const batch *b, example_run *p)
{
    p->hidden = p->sequence.hidden;
    p->raw = p->sequence.raw;
    if (!b->training->options.through_hidden) {
        p->hidden.source = tn_op_detach(p->hidden.source);
        p->raw.source = tn_op_detach(p->raw.source);
    }
}

/* Runs one span of each example. */
static void run_round(batch *b)
{
    tenebra_error problem;
    lay_round(b);
    if (b->ops->failure.code == TENEBRA_OK)
        note(b, tn_engine_run(b->engine, b->spans, b->active_count, &problem), &problem);
    for (size_t i = 0; b->ops->failure.code == TENEBRA_OK && i < b->active_count; i++) {
        example_run *p = b->active[i];
        const tn_span *span = &b->spans[i];
        if (p->example->parts[p->part].latents == 0)
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
        done = is_done(&b->runs[i]);
    return done;
}

/* Counts how often the head's first choice is the label. */
static void count_correct(batch *b, tn_tensor logits)
{
    size_t *places = take(b, logits.rows, sizeof *places);
    bool found = places != NULL && tn_op_argmax(b->ops, logits, places);
    for (size_t row = 0; found && row < logits.rows; row++)
        b->result->correct += (int32_t)places[row] == b->labels[row];
}

static tn_tensor loss_of(batch *b, double scale)
{
    const tn_decoder *decoder = &b->training->model->decoder;
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
    const tn_method *method = b->training->reasoner.method;
    double weight = scale * (double)b->label_count;
    tn_latent_rows *examples = take(b, b->count, sizeof *examples);
    tn_real value;
    for (size_t i = 0; examples != NULL && i < b->count; i++)
        examples[i] = (tn_latent_rows){ b->runs[i].laid, b->runs[i].laid_count, b->runs[i].pictures,
                                        b->runs[i].example->picture_count };
    const tn_tensor own = examples == NULL ? (tn_tensor){ 0 }
                                           : method->batch_loss(b->ops, tn_module_of(b->training->model, method->name), examples,
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

tenebra_code tn_training_run(tn_training *training, const tn_train_example *const *examples, size_t count, bool learn, double scale,
                            tn_training_result *result, tenebra_error *error)
{
    tn_training_result unused;
    tn_engine *engine = training->session->engine;
    batch b = { .training = training, .engine = engine, .ops = &engine->ops, .learn = learn, .count = count,
                .result = result ? result : &unused };
    *b.result = (tn_training_result){ .auxiliary = (double)NAN };
    if (count == 0 || !(scale > 0))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "a batch requires examples and a scale above 0");
    if (learn)
        tn_tape_start(b.ops);
    b.ops->checkpoint = learn && training->options.checkpoint;
    b.runs = take(&b, count, sizeof *b.runs);
    for (size_t i = 0; i < count && b.runs != NULL; i++) {
        uint64_t seed = tn_seed_mix(training->seed, examples[i]->number, 0);
        b.runs[i].example = examples[i];
        b.runs[i].seed = seed;
        b.runs[i].rng = tn_rng_seed(tn_seed_mix(seed, DRAW_LATENTS, 0));
    }
    if (b.runs != NULL)
        open_batch(&b);
    while (b.ops->failure.code == TENEBRA_OK && !all_done(&b))
        run_round(&b);
    if (b.ops->failure.code == TENEBRA_OK) {
        tn_tensor loss = loss_of(&b, scale);
        tn_real value;
        if (tn_op_read(b.ops, loss, &value))
            b.result->loss = (double)value / scale;
        b.result->labels = b.label_count;
        if (b.training->reasoner.method->batch_loss != NULL)
            loss = add_auxiliary(&b, loss, scale);
        if (learn)
            tn_tape_backward(b.ops, loss);
    }
    return finish(&b, error);
}
