/* Compositional chain of thought (arXiv:2311.17076): a scene graph of the image in JSON, then the answer with the graph as
 * context; both prompts contain the image. The graph is used as it was written. Prompts are in our words; variants are those of
 * the published scripts. */
#include "reason/parts.h"

#include <string.h>

enum { GRAPH_TOKENS, GRAPH_CUE, GRAPH_OPTIONS, CLOSE_JSON, LETTER_CUE };

static const tn_option options[] = {
    [GRAPH_TOKENS] = TN_SETTING_SIZE("graph-tokens", "N", "256", 1, 1e6, "the scene graph has at most N tokens"),
    [GRAPH_CUE] = TN_SETTING_CHOICE("graph-cue", "on|off", "on", "end the first prompt with 'Scene Graph:'"),
    [GRAPH_OPTIONS] = TN_SETTING_CHOICE("graph-options", "keep|cut", "keep", "cut: the first prompt ends after the first question mark"),
    [CLOSE_JSON] = TN_SETTING_CHOICE("close-json", "on|off", "off", "end the scene graph when its outermost bracket is closed"),
    [LETTER_CUE] = TN_SETTING_TEXT("letter-cue", "\nAnswer with the letter of the right option alone.",
                                   "end of the second prompt (default: asks for the letter, if options have letters)"),
    TN_OPTIONS_END
};

#define REQUEST                                                                                                        \
    "\nWrite a scene graph in JSON for this picture and this question. It holds, as far as they matter for the "       \
    "answer:"                                                                                                          \
    "\n(1) the objects\n(2) the attributes of the objects\n(3) the relationships between the objects"

typedef struct plan {
    const char *graph; /* text of the first pass */
    /* The position up to which the reply was scanned, and the brackets and string that are open there. */
    size_t seen, depth;
    bool in_string, escaped;
} plan;

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    if (tn_reasoner_take_state(reasoner, sizeof(plan)) == NULL)
        return tn_fail_session_full(error);
    if (example != NULL && example->scene_graph == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "has no scene graph, which this method shows");
    return TENEBRA_OK;
}

static size_t cut_behind_question_mark(const char *text, size_t length)
{
    const char *mark = length > 0 ? memchr(text, '?', length) : NULL;
    return mark != NULL ? (size_t)(mark - text) + 1 : length;
}

static tenebra_code arrange_graph(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    tn_reasoner_draft(reasoner);
    tn_reasoner_limit_pass(reasoner, tn_setting_size(reasoner, GRAPH_TOKENS));
    if (tn_setting_choice(reasoner, GRAPH_OPTIONS) == 1)
        TN_TRY(tn_script_cut(script, cut_behind_question_mark, error));
    if (reasoner->request->example != NULL)
        tn_script_reply(script, reasoner->request->example->scene_graph);
    return tn_script_add_cue(script, tn_setting_choice(reasoner, GRAPH_CUE) == 0 ? REQUEST "\nScene Graph:" : REQUEST,
                             error);
}

static const char *context(tn_reasoner *reasoner, const char *graph)
{
    const char *const texts[] = { "Scene Graph: ", tn_reasoner_strip(reasoner, graph),
                                  "\n\nTake the picture and the scene graph as context for this question:\n", NULL };
    return texts[1] != NULL ? tn_reasoner_join(reasoner, texts) : NULL;
}

/* Whether the text contains a letter in the form of an option: "A)", "(A)", "A.", "A:". */
static bool shows_letter(const char *text, size_t length, char letter)
{
    for (size_t i = 0; i + 1 < length; i++)
        if (text[i] == letter && (i == 0 || strchr(" \n\t(*-", text[i - 1]) != NULL) && strchr(").:", text[i + 1]) != NULL &&
            text[i + 1] != '\0')
            return true;
    return false;
}

/* Whether the question has options with letters. */
static bool shows_letters(const tenebra_request *request)
{
    const tenebra_message *last = &request->messages[request->message_count - 1];
    for (size_t i = 0; i < last->part_count; i++) {
        const tenebra_part *part = &last->parts[i];
        size_t length = part->kind != TENEBRA_PART_TEXT ? 0 : part->length > 0 ? part->length : strlen(part->text);
        if (shows_letter(part->text, length, 'A') && shows_letter(part->text, length, 'B'))
            return true;
    }
    return false;
}

static tenebra_code arrange_answer(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    const plan *state = reasoner->state;
    const char *own = context(reasoner, state->graph), *shown = example ? context(reasoner, example->scene_graph) : "";
    if (own == NULL || shown == NULL)
        return tn_fail_session_full(error);
    if (example != NULL)
        tn_script_reply(script, example->label ? example->label : example->answer);
    TN_TRY(tn_script_add_before(script, own, shown, error));
    const char *cue = tn_setting_text(reasoner, LETTER_CUE);
    bool asks = strcmp(cue, options[LETTER_CUE].value) != 0 || shows_letters(reasoner->request);
    return asks ? tn_script_add_cue(script, cue, error) : TENEBRA_OK;
}

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    return reasoner->pass == 0 ? arrange_graph(reasoner, script, error) : arrange_answer(reasoner, script, error);
}

/* Continues to scan the reply. True if its outermost object or list has been closed, after state->seen bytes; brackets inside
 * strings do not count (RFC 8259, section 7). */
static bool is_closed(plan *state, const char *text, size_t length)
{
    while (state->seen < length) {
        char c = text[state->seen++];
        if (state->in_string) {
            state->in_string = c != '"' || state->escaped;
            state->escaped = c == '\\' && !state->escaped;
        } else if (c == '"') {
            state->in_string = state->depth > 0; /* words before the object may contain quotes */
        } else if (c == '{' || c == '[') {
            state->depth++;
        } else if ((c == '}' || c == ']') && state->depth > 0 && --state->depth == 0) {
            return true;
        }
    }
    return false;
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    plan *state = reasoner->state;
    (void)error;
    if (reasoner->pass == 0 && tn_setting_choice(reasoner, CLOSE_JSON) == 0 &&
        is_closed(state, reasoner->answer.text, reasoner->answer.text_length))
        tn_reasoner_cut_answer(reasoner, state->seen);
    tn_act_answer(reasoner, action);
    if (action->kind != TN_ACT_FINISH || reasoner->pass > 0)
        return TENEBRA_OK;
    state->graph = reasoner->answer.text;
    action->kind = TN_ACT_PASS;
    return TENEBRA_OK;
}

const tn_method tn_method_ccot = {
    .name = "ccot",
    .summary = "write a scene graph, then answer with the graph as context",
    .options = options,
    .reply = TN_REPLY_ANSWER,
    .passes = 2,
    .open = open_method,
    .arrange = arrange,
    .next = next,
};
