#include "reason/latent_step.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

void tn_choice_add(tn_choice *choice, size_t candidate, const tn_image_rows *shown, const tn_image_rows *look, size_t cell)
{
    size_t first = choice->starts[candidate], count = tn_look_cells(shown, look, cell, choice->cells + first);
    choice->starts[candidate + 1] = first + count;
    choice->most = tn_max(choice->most, count);
}

size_t tn_choice_cells(const tn_choice *choice, size_t candidate, tn_row *cells)
{
    size_t first = choice->starts[candidate], count = choice->starts[candidate + 1] - first;
    memcpy(cells, choice->cells + first, count * sizeof *cells);
    return count;
}

bool tn_choice_goes_on(const tn_choice *choice)
{
    const tn_latent_settings *settings = &choice->settings;
    size_t left = choice->candidates;
    for (size_t i = 0; choice->available != NULL && i < choice->candidates; i++)
        left -= !choice->available[i];
    /* Whether used embeddings may be fed again: by `repeat`, or by refilling, which only `top` does. */
    bool again = settings->source == TN_PICKS_REPEAT || (settings->source == TN_PICKS_TOP && settings->repick);
    bool vision = settings->picks > 0 && (left > 0 || (choice->candidates > 0 && again));
    return choice->done < settings->steps && (settings->text != TN_TEXT_DROP || vision);
}

bool tn_choice_needs_scores(const tn_choice *choice)
{
    const tn_latent_settings *settings = &choice->settings;
    bool by_score = settings->source == TN_PICKS_TOP || settings->source == TN_PICKS_LOWEST ||
                    (settings->source == TN_PICKS_REPEAT && choice->done == 0);
    return by_score && settings->picks > 0 && choice->candidates > 0 && tn_choice_goes_on(choice);
}

void tn_choice_pick(tn_choice *choice, const tn_real *scores, tn_rng *rng)
{
    const tn_latent_settings *settings = &choice->settings;
    size_t count = choice->candidates, k = settings->picks;
    if (settings->returns)
        memset(choice->available, true, count);
    if (settings->source == TN_PICKS_ALL || settings->source == TN_PICKS_NONE) {
        choice->pick_count = 0;
    } else if (settings->source == TN_PICKS_REPEAT && choice->done > 0) {
        memcpy(choice->picks, choice->first, choice->first_count * sizeof *choice->picks);
        choice->pick_count = choice->first_count;
    } else if (settings->source == TN_PICKS_RANDOM) {
        choice->pick_count = tn_select_random(choice->available, count, k, rng, choice->picks);
    } else if (settings->source == TN_PICKS_LOWEST) {
        choice->pick_count = tn_select_lowest(scores, choice->available, count, k, choice->picks);
    } else {
        choice->pick_count = tn_select_top(scores, choice->available, count, k, settings->order, settings->repick,
                                           choice->picks);
    }
    if (choice->done++ == 0) {
        memcpy(choice->first, choice->picks, choice->pick_count * sizeof *choice->picks);
        choice->first_count = choice->pick_count;
    }
}

static double norm_of(const tn_real *row, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

static void shuffle(tn_real *row, size_t count, tn_rng *rng)
{
    for (size_t left = count; left > 1; left--) {
        size_t other = (size_t)tn_rng_below(rng, left);
        tn_real value = row[left - 1];
        row[left - 1] = row[other];
        row[other] = value;
    }
}

/* Replaces a row by Gaussian noise of the same norm. */
static void fill_noise(tn_real *row, size_t count, tn_rng *rng)
{
    double norm = norm_of(row, count);
    for (size_t i = 0; i < count; i++)
        row[i] = (tn_real)tn_rng_normal(rng);
    double scale = norm / norm_of(row, count);
    for (size_t i = 0; i < count; i++)
        row[i] = (tn_real)((double)row[i] * scale);
}

static tenebra_code copy_given(const tn_choice *choice, const tn_latent_view *view, tn_real *row, tenebra_error *error)
{
    size_t step = choice->done - 1, cols = view->made.cols;
    if (view->given == NULL || view->given_size != cols || step >= view->given_steps)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "latents", "'given' takes the rows of another question's steps from the "
                       "request, as 'tenebra eval' does: step %zu requires a row of %zu numbers; the request has %zu rows of %zu",
                       step + 1, cols, view->given_steps, view->given_size);
    for (size_t i = 0; i < cols; i++)
        row[i] = (tn_real)view->given[step * cols + i];
    return TENEBRA_OK;
}

tenebra_code tn_choice_text(tn_choice *choice, const tn_latent_view *view, tn_row *row, tenebra_error *error)
{
    tn_latent_text how = choice->settings.text;
    tn_row_ref hidden = choice->settings.raw_hidden ? view->raw : view->hidden;
    choice->text = hidden;
    if (choice->done == 1)
        choice->frozen = hidden;
    if (how == TN_TEXT_FROZEN)
        hidden = choice->frozen;
    *row = tn_row_of_vector(hidden.source, hidden.row);
    if (how == TN_TEXT_KEEP || how == TN_TEXT_FROZEN)
        return TENEBRA_OK;
    tn_ops *ops = view->ops;
    size_t cols = view->made.cols;
    tn_real *values = tn_arena_take(ops->arena, cols, sizeof *values);
    if (values == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "latents", "the working memory is full");
    if (how == TN_TEXT_GIVEN)
        TN_TRY(copy_given(choice, view, values, error));
    else
        tn_op_read(ops, how == TN_TEXT_MEAN ? view->mean : tn_op_rows(ops, hidden.source, hidden.row, 1), values);
    if (how == TN_TEXT_ZERO)
        memset(values, 0, cols * sizeof *values);
    else if (how == TN_TEXT_NOISE)
        fill_noise(values, cols, view->rng);
    else if (how == TN_TEXT_SHUFFLE)
        shuffle(values, cols, view->rng);
    tn_op_write(ops, view->made, values);
    *row = tn_row_of_vector(view->made, 0);
    return TENEBRA_OK;
}

size_t tn_question_begins(const tn_row *rows, size_t count)
{
    size_t first = 0;
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == TN_ROW_CELL)
            first = i + 1;
    return first < count ? first : 0;
}

tenebra_code tn_latent_step(tn_choice *choice, const tn_latent_view *view, tn_row *rows, size_t *count, tenebra_error *error)
{
    const tn_latent_settings *settings = &choice->settings;
    bool text = settings->text != TN_TEXT_DROP;
    tn_choice_pick(choice, view->scores, view->rng);
    tn_row *cell = rows + (text && settings->text_first);
    for (size_t i = 0; i < choice->pick_count; i++)
        cell += tn_choice_cells(choice, choice->picks[i], cell);
    *count = (size_t)(cell - rows) + (text && !settings->text_first);
    return text ? tn_choice_text(choice, view, settings->text_first ? rows : cell, error) : TENEBRA_OK;
}
