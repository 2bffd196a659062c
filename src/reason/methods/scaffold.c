/* SCAFFOLD (arXiv:2402.12058): a matrix of dots with coordinates is drawn on the image, and the system message says how to
 * refer to places with them. The rules are those of the paper, section 3.2, in our words. */
#include "image/overlay.h"
#include "reason/parts.h"

#include <stdio.h>

enum { DOT_ROWS, DOT_COLUMNS, IMAGES };

static const tn_option options[] = {
    [DOT_ROWS] = TN_SETTING_SIZE("dot-rows", "N", "6", 1, TN_DOTS_MAX, "rows of dots on each image"),
    [DOT_COLUMNS] = TN_SETTING_SIZE("dot-columns", "N", "6", 1, TN_DOTS_MAX, "columns of dots on each image"),
    [IMAGES] = TN_SETTING_CHOICE("images", "both|overlay", "both",
                                 "show each image followed by the one with dots, or only the latter"),
    TN_OPTIONS_END
};

enum { GUIDE_SIZE = 2048 };

static size_t count_pictures(const tenebra_request *request)
{
    size_t count = 0;
    for (size_t m = 0; m < request->message_count; m++)
        for (size_t p = 0; p < request->messages[m].part_count; p++)
            count += request->messages[m].parts[p].kind != TENEBRA_PART_TEXT;
    return count;
}

static bool shows_both(const tn_reasoner *reasoner)
{
    return tn_setting_choice(reasoner, IMAGES) == 0;
}

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    char *guide = tn_reasoner_take_state(reasoner, GUIDE_SIZE);
    bool both = shows_both(reasoner), several = count_pictures(reasoner->request) > 1;
    if (guide == NULL)
        return tn_fail_session_full(error);
    snprintf(guide, GUIDE_SIZE,
             "%s a matrix of %zu x %zu dots. Beside each dot stand its coordinates, %s.%s Work by these rules:\n"
             "1. When you name something that matters, say the coordinates of the dot nearest to it first.\n"
             "2. Tell from the coordinates how things lie to each other: x is the row and grows from top to bottom, "
             "y is the column and grows from left to right.\n"
             "3. Use the dots to go through the picture region by region, and reason about each.\n"
             "4. Put your final answer between double square brackets, as in [[answer]].",
             both ? "Each picture comes twice: as it is, and then drawn over with" : "Each picture is drawn over with",
             tn_setting_size(reasoner, DOT_ROWS), tn_setting_size(reasoner, DOT_COLUMNS), several ? "(t,x,y)" : "(x,y)",
             several ? " t is the number of the picture." : "");
    return TENEBRA_OK;
}

static tenebra_code redraw(tn_reasoner *reasoner, const tn_image *image, size_t index, size_t count, tn_image *drawn,
                           tenebra_error *error)
{
    return tn_overlay_dots(image, tn_setting_size(reasoner, DOT_ROWS),
                           tn_setting_size(reasoner, DOT_COLUMNS), count > 1 ? index + 1 : 0, drawn, error);
}

/* The rationale of the example, then its answer in the form of the fourth rule. */
static tenebra_code show_reply(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    bool reasoned = example->rationale != NULL && example->rationale[0] != '\0';
    const char *const texts[] = { reasoned ? example->rationale : "",
                                  reasoned ? "\n" : "",
                                  "[[",
                                  example->label ? example->label : example->answer,
                                  "]]",
                                  NULL };
    const char *reply = tn_reasoner_join(reasoner, texts);
    if (reply == NULL)
        return tn_fail_session_full(error);
    tn_script_reply(script, reply);
    return TENEBRA_OK;
}

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    if (reasoner->request->example != NULL)
        TN_TRY(show_reply(reasoner, script, error));
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    return tn_script_add_system(script, reasoner->state, error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

const tn_method tn_method_scaffold = {
    .name = "scaffold",
    .summary = "see the image with a matrix of coordinates, reason with them, then answer",
    .options = options,
    .reply = TN_REPLY_REASONED,
    .open = open_method,
    .arrange = arrange,
    .redraw = redraw,
    .shows_both = shows_both,
    .next = next,
};
