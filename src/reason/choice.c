#include "reason/choice.h"

#include <string.h>

bool tn_choice_goes_on(const tn_choice *choice)
{
    const tn_latent_settings *settings = &choice->settings;
    size_t left = choice->candidates;
    for (size_t i = 0; choice->available != NULL && i < choice->candidates; i++)
        left -= !choice->available[i];
    /* Used embeddings are fed again by repeating, and by refilling, which only the top choice does. */
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

void tn_choice_next(tn_choice *choice, const tn_real *scores, tn_rng *rng)
{
    const tn_latent_settings *settings = &choice->settings;
    size_t count = choice->candidates, k = settings->picks;
    if (settings->source == TN_PICKS_REPEAT && choice->done > 0) {
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

size_t tn_choice_rows(const tn_choice *choice)
{
    return choice->pick_count + (choice->settings.text != TN_TEXT_DROP);
}

bool tn_choice_is_text(const tn_choice *choice, size_t row, size_t *pick)
{
    bool with_text = choice->settings.text != TN_TEXT_DROP, first = choice->settings.text_first;
    if (with_text && row == (first ? 0 : choice->pick_count))
        return true;
    *pick = choice->picks[row - (with_text && first)];
    return false;
}
