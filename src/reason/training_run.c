/* Runs one batch of training examples: their spans side by side, then the loss, then the backward. */
#include "reason/training_batch.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

static void *fail_full(tn_batch *b)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MEMORY, "example", "the working memory is full; use smaller batches");
    return NULL;
}

void *tn_batch_take(tn_batch *b, size_t count, size_t size)
{
    void *memory = b->ops->failure.code == TENEBRA_OK ? tn_arena_take(b->ops->arena, count, size) : NULL;
    return memory != NULL ? memset(memory, 0, count * size) : fail_full(b);
}

static bool refuse(tn_batch *b, size_t index, const char *sentence)
{
    if (b->ops->failure.code == TENEBRA_OK)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "example", "number %zu of the batch %s", index + 1, sentence);
    return false;
}

void tn_batch_draw(tn_batch *b, const uint64_t *seeds, size_t rows)
{
    b->dropout = (tn_dropout){ .seeds = seeds, .rows = rows };
    b->ops->dropout = b->mode != TN_TRAINING_MEASURE && rows > 0 ? &b->dropout : NULL;
}

void tn_batch_note(tn_batch *b, tenebra_code code, const tenebra_error *problem)
{
    if (code != TENEBRA_OK && b->ops->failure.code == TENEBRA_OK)
        b->ops->failure = *problem;
}

/* -------------------------------------------------------------- opening -- */

static bool example_fits(tn_batch *b, size_t index)
{
    const tn_train_example *example = b->runs[index].example;
    size_t rows = 0;
    if (example->count == 0 || example->part_count == 0 || example->parts[0].rows == 0)
        return refuse(b, index, "does not begin with text");
    for (size_t p = 0; p < example->part_count; p++)
        rows += example->parts[p].rows;
    if (rows != example->count || example->prompt > example->count)
        return refuse(b, index, "has parts whose rows do not add up to its number of rows");
    if (example->rows > b->training->model->config.decoder.max_position_embeddings)
        return refuse(b, index, "has more rows than the model has positions");
    return true;
}

static void open_run(tn_batch *b, size_t index)
{
    tn_example_run *p = &b->runs[index];
    const tn_train_example *example = p->example;
    if (!example_fits(b, index))
        return;
    tn_ops *recorded = b->mode == TN_TRAINING_LEARN ? b->ops : NULL;
    if (!tn_sequence_take(&p->sequence, &b->training->model->config.decoder, example->rows, recorded, b->ops->arena))
        fail_full(b);
    size_t cells = 0;
    for (size_t i = 0; i < example->prompt; i++) {
        const tn_row *row = &example->text[i];
        if (row->kind != TN_ROW_CELL)
            continue;
        p->candidate_count++;
        cells += tn_look_ratio(row->picture, tn_train_example_look(example, example->pictures, (size_t)(row->picture - example->pictures)));
    }
    p->candidates = tn_batch_take(b, p->candidate_count, sizeof *p->candidates);
    p->scores = tn_batch_take(b, p->candidate_count, sizeof *p->scores);
    p->choice.settings = example->latent;
    p->choice.settings.steps = example->latent_steps;
    p->choice.candidates = p->candidate_count;
    p->choice.available = tn_batch_take(b, p->candidate_count, sizeof *p->choice.available);
    p->choice.starts = tn_batch_take(b, p->candidate_count + 1, sizeof *p->choice.starts);
    p->choice.cells = tn_batch_take(b, cells, sizeof *p->choice.cells);
    p->choice.picks = tn_batch_take(b, example->latent.picks + 1, sizeof *p->choice.picks);
    p->choice.first = tn_batch_take(b, example->latent.picks + 1, sizeof *p->choice.first);
    p->choice.thoughts = tn_batch_take(b, example->latent_steps + 1, sizeof *p->choice.thoughts);
    if (b->ops->failure.code != TENEBRA_OK)
        return;
    memset(p->choice.available, true, p->candidate_count);
    for (size_t i = 0, seen = 0; i < example->prompt; i++) {
        const tn_row *row = &example->text[i];
        if (row->kind != TN_ROW_CELL)
            continue;
        size_t picture = (size_t)(row->picture - example->pictures);
        tn_choice_add(&p->choice, seen, &p->picked[picture], tn_train_example_look(example, p->picked, picture), row->cell);
        p->candidates[seen++] = i;
    }
    p->laid = tn_batch_take(b, example->latent_steps * tn_choice_rows(&p->choice), sizeof *p->laid);
}

static void open_batch(tn_batch *b)
{
    size_t rows = 0, labels = 0;
    tn_batch_encode(b);
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        open_run(b, i);
        rows += b->runs[i].example->rows;
        labels += b->runs[i].example->label_count;
    }
    const tn_method *method = b->training->reasoner.method;
    if (method->marks != NULL && b->ops->failure.code == TENEBRA_OK)
        b->borders = method->marks(b->ops, tn_module_of(b->training->model, method->name));
    b->rows = tn_batch_take(b, rows, sizeof *b->rows);
    b->spans = tn_batch_take(b, b->count, sizeof *b->spans);
    b->active = tn_batch_take(b, b->count, sizeof *b->active);
    b->predictors = tn_batch_take(b, labels, sizeof *b->predictors);
    b->labels = tn_batch_take(b, labels, sizeof *b->labels);
    b->row_seeds = tn_batch_take(b, rows, sizeof *b->row_seeds);
    b->label_seeds = tn_batch_take(b, labels, sizeof *b->label_seeds);
    if (b->ops->failure.code == TENEBRA_OK && labels == 0)
        tn_fail(&b->ops->failure, TENEBRA_ERROR_MISMATCH, "example", "no token of the batch has a loss");
}

/* ---------------------------------------------------------------- spans -- */

static bool is_done(const tn_example_run *p)
{
    return p->part == p->part_count;
}

static bool is_latent(const tn_example_run *p)
{
    return !is_done(p) && p->example->parts[p->part].latents > 0;
}

/* After a span: moves to the next part that has rows to run. */
static void advance(tn_example_run *p)
{
    if (is_latent(p) && p->steps_left > 0 && tn_choice_goes_on(&p->choice))
        return;
    do {
        p->part++;
        p->steps_left = is_done(p) ? 0 : p->example->parts[p->part].latents;
    } while (is_latent(p) && !tn_choice_goes_on(&p->choice));
}

/* Adds a row to the round. `placed`: the row already has its position. */
static void lay(tn_batch *b, tn_example_run *p, tn_row row, bool placed)
{
    if (!placed)
        row.position = (tn_position){ { p->next_position, p->next_position, p->next_position } };
    for (size_t axis = 0; axis < 3; axis++)
        if (row.position.axis[axis] >= p->next_position)
            p->next_position = row.position.axis[axis] + 1;
    b->row_seeds[b->result->rows + b->row_count] = tn_seed_mix(p->seed, TN_DRAW_ROW, p->rows++);
    b->rows[b->row_count++] = row;
}

static void lay_text(tn_batch *b, tn_example_run *p)
{
    size_t count = p->example->parts[p->part].rows;
    bool placed = !b->training->reasoner.sequential;
    tn_row *first = b->rows + b->row_count;
    memcpy(first, p->example->text + p->next_row, count * sizeof *first);
    if (placed)
        b->training->model->backbone->positions(first, count, p->next_position);
    for (size_t i = 0; i < count; i++) {
        tn_row row = first[i];
        if (row.kind == TN_ROW_CELL)
            row.picture = &p->pictures[row.picture - p->example->pictures];
        else if (row.kind == TN_ROW_VECTOR)
            row.vector.source = b->borders;
        lay(b, p, row, placed);
    }
    p->next_row += count;
}

static void lay_latent(tn_batch *b, tn_example_run *p, size_t index)
{
    const tn_training_options *options = &b->training->options;
    const tn_method *method = b->training->reasoner.method;
    const tn_latent_view view = { .ops = b->ops, .module = tn_module_of(b->training->model, method->name),
                                  .decoder = &b->training->model->decoder, .hidden = p->hidden, .raw = p->raw, .scores = p->scores,
                                  .rng = &p->rng, .question = p->question, .question_rows = p->question_rows };
    tn_row *rows = tn_batch_take(b, tn_choice_rows(&p->choice), sizeof *rows);
    tenebra_error problem;
    size_t count = 0;
    if (rows != NULL)
        tn_batch_note(b, method->latent_step(&p->choice, &view, rows, &count, &problem), &problem);
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
static void lay_round(tn_batch *b)
{
    b->row_count = b->active_count = 0;
    for (size_t i = 0; i < b->count; i++) {
        tn_example_run *p = &b->runs[i];
        if (is_done(p))
            continue;
        size_t begin = b->row_count;
        if (is_latent(p))
            lay_latent(b, p, i);
        else
            lay_text(b, p);
        tn_example_run after = *p;
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
    tn_batch_draw(b, b->row_seeds + b->result->rows, b->row_count);
    b->result->rows += b->row_count;
}

/* ---------------------------------------------------------------- after -- */

/* Notes the rows that predict the labelled tokens of a text span: the row before each token. */
static void note_labels(tn_batch *b, const tn_example_run *p, const tn_span *span)
{
    size_t first = p->next_row - span->count;
    for (size_t i = 0; i < span->count; i++) {
        int32_t label = p->example->labels[first + i];
        if (label < 0 || (i == 0 && tn_tensor_is_empty(p->last.source)))
            continue;
        b->predictors[b->label_count] = i == 0 ? p->last : (tn_row_ref){ span->out.source, span->out.row + i - 1 };
        b->label_seeds[b->label_count] = tn_seed_mix(p->seed, TN_DRAW_LABEL, first + i);
        b->labels[b->label_count++] = label;
    }
}

/* Keeps the last row for the next latent step. The scale of the final norm may be trained, so the gradient is cut after the
 * norm. */
static void keep_hidden(const tn_batch *b, tn_example_run *p)
{
    p->hidden = p->sequence.hidden;
    p->raw = p->sequence.raw;
    if (!b->training->options.through_hidden) {
        p->hidden.source = tn_op_detach(p->hidden.source);
        p->raw.source = tn_op_detach(p->raw.source);
    }
}

/* Keeps the rows of the question, which the first span contains. */
static void keep_question(const tn_batch *b, tn_example_run *p, const tn_span *span)
{
    size_t count = tn_min(p->example->prompt, span->count), first = tn_question_begins(p->example->text, count);
    tn_tensor raw = tn_op_rows(b->ops, span->out.source, span->out.row + first, count - first);
    tn_tensor normed = tn_decoder_norm(b->ops, &b->training->model->decoder, raw);
    p->question = (tn_row_ref){ b->training->options.through_hidden ? normed : tn_op_detach(normed), 0 };
    p->question_rows = count - first;
}

/* Runs one span of each example. */
static void run_round(tn_batch *b)
{
    tenebra_error problem;
    lay_round(b);
    if (b->ops->failure.code == TENEBRA_OK)
        tn_batch_note(b, tn_engine_run(b->engine, b->spans, b->active_count, &problem), &problem);
    for (size_t i = 0; b->ops->failure.code == TENEBRA_OK && i < b->active_count; i++) {
        tn_example_run *p = b->active[i];
        const tn_span *span = &b->spans[i];
        if (p->example->parts[p->part].latents == 0)
            note_labels(b, p, span);
        p->last = (tn_row_ref){ span->out.source, span->out.row + span->count - 1 };
        if (p->part == 0 && b->training->reasoner.method->reads_question && p->example->latent_steps > 0)
            keep_question(b, p, span);
        advance(p);
        if (span->wants_hidden)
            keep_hidden(b, p);
    }
}

static bool all_done(const tn_batch *b)
{
    bool done = true;
    for (size_t i = 0; i < b->count && done; i++)
        done = is_done(&b->runs[i]);
    return done;
}

/* Counts how often the head's first choice is the label. */
static void count_correct(tn_batch *b, tn_tensor logits)
{
    size_t *places = tn_batch_take(b, logits.rows, sizeof *places);
    bool found = places != NULL && tn_op_argmax(b->ops, logits, places);
    for (size_t row = 0; found && row < logits.rows; row++)
        b->result->correct += (int32_t)places[row] == b->labels[row];
}

static tn_tensor loss_of(tn_batch *b, double scale)
{
    const tn_decoder *decoder = &b->training->model->decoder;
    tn_batch_draw(b, b->label_seeds, b->label_count);
    tn_tensor rows = tn_op_compose(b->ops, b->predictors, b->label_count, decoder->config.hidden_size);
    tn_tensor logits = tn_decoder_logits(b->ops, decoder, tn_decoder_norm(b->ops, decoder, rows));
    tn_tensor loss = tn_op_cross_entropy(b->ops, logits, b->labels, scale);
    if (!tn_tensor_is_empty(loss))
        count_correct(b, logits);
    return loss;
}

static tenebra_code finish(tn_batch *b, tenebra_error *error)
{
    b->ops->tape = NULL;
    b->ops->dropout = NULL;
    b->ops->checkpoint = false;
    b->result->peak_bytes = b->ops->arena->peak;
    return tn_engine_finish(b->engine, 0, error);
}

/* Makes the runs of the batch's examples, with their own random numbers. */
static void open_runs(tn_batch *b)
{
    b->runs = tn_batch_take(b, b->count, sizeof *b->runs);
    for (size_t i = 0; b->runs != NULL && i < b->count; i++) {
        const tn_train_example *example = b->update->examples[b->first + i];
        uint64_t seed = tn_seed_mix(b->training->seed, example->number, 0);
        b->runs[i].example = example;
        b->runs[i].seed = seed;
        b->runs[i].rng = tn_rng_seed(tn_seed_mix(seed, TN_DRAW_LATENTS, 0));
        b->runs[i].part_count = example->part_count;
        while (b->mode == TN_TRAINING_SHOW && b->runs[i].part_count > 0 && example->parts[b->runs[i].part_count - 1].latents == 0)
            b->runs[i].part_count--;
    }
    if (b->runs != NULL)
        open_batch(b);
}

/* The losses, and the backward. */
static void end_batch(tn_batch *b, double scale)
{
    tn_tensor loss = loss_of(b, scale);
    tn_real value;
    if (tn_op_read(b->ops, loss, &value))
        b->result->loss = (double)value / scale;
    b->result->labels = b->label_count;
    if (b->training->reasoner.method->batch_losses != NULL)
        loss = tn_batch_losses(b, loss, scale);
    if (b->mode == TN_TRAINING_LEARN)
        tn_tape_backward(b->ops, loss);
}

tenebra_code tn_training_run(tn_training *training, tn_update *update, size_t first, size_t count, tn_training_mode mode, double scale,
                            tn_training_result *result, tenebra_error *error)
{
    tn_training_result unused;
    tenebra_error problem;
    tn_engine *engine = training->session->engine;
    tn_batch b = { .training = training, .engine = engine, .ops = &engine->ops, .update = update, .first = first, .mode = mode,
                   .count = count, .result = result ? result : &unused };
    *b.result = (tn_training_result){ .auxiliary = (double)NAN };
    if (count == 0 || !(scale > 0))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "a batch requires examples and a scale above 0");
    if (mode == TN_TRAINING_LEARN)
        tn_tape_start(b.ops);
    b.ops->checkpoint = mode == TN_TRAINING_LEARN && training->options.checkpoint;
    open_runs(&b);
    while (b.ops->failure.code == TENEBRA_OK && !all_done(&b))
        run_round(&b);
    if (b.ops->failure.code == TENEBRA_OK && mode == TN_TRAINING_SHOW)
        tn_batch_note(&b, tn_update_keep(update, b.ops, tn_batch_show(&b), first, count, &problem), &problem);
    else if (b.ops->failure.code == TENEBRA_OK)
        end_batch(&b, scale);
    return finish(&b, error);
}
