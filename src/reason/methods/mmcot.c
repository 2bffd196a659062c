/* Multimodal-CoT (arXiv:2302.00923): a rationale, then the answer with the rationale as input; both prompts contain the images.
 * The original trains two models; here one model does both, possibly with an adapter for each pass. Cues and the place of the
 * rationale are those of the published code (format QCM-E, then QCMG-A). */
#include "reason/parts.h"

enum { PASSES, RATIONALE_TOKENS, ANSWER_TOKENS };

static const tn_option options[] = {
    [PASSES] = TN_SETTING_CHOICE("passes", "1|2", "2", "2: rationale and answer in separate passes; 1: both in one reply"),
    [RATIONALE_TOKENS] = TN_SETTING_SIZE("rationale-tokens", "N", "512", 1, 1e6, "the first pass has at most N tokens"),
    [ANSWER_TOKENS] = TN_SETTING_SIZE("answer-tokens", "N", "64", 1, 1e6, "the second pass has at most N tokens"),
    TN_OPTIONS_END
};

#define RATIONALE_CUE "\nSolution:"
#define ANSWER_CUE    "\nAnswer:"

/* The rationale of the first pass in the form that the second pass contains. */
typedef struct plan {
    const char *rationale;
} plan;

static bool has_two(const tn_reasoner *reasoner)
{
    return tn_setting_choice(reasoner, PASSES) == 1;
}

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    if (tn_reasoner_take_state(reasoner, sizeof(plan)) == NULL)
        return tn_fail_session_full(error);
    if (example != NULL && example->rationale == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "has no rationale, which this method shows");
    return TENEBRA_OK;
}

static tenebra_code arrange_rationale(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    if (has_two(reasoner)) {
        tn_reasoner_draft(reasoner);
        tn_reasoner_limit_pass(reasoner, tn_setting_size(reasoner, RATIONALE_TOKENS));
        if (reasoner->request->example != NULL)
            tn_script_reply(script, reasoner->request->example->rationale);
    }
    return tn_script_add_cue(script, RATIONALE_CUE, error);
}

/* "Solution: ... Answer:" with single blanks, as in the published code. */
static const char *solution(tn_reasoner *reasoner, const char *rationale)
{
    const char *const texts[] = { RATIONALE_CUE " ", tn_reasoner_one_line(reasoner, rationale), ANSWER_CUE, NULL };
    return texts[1] != NULL ? tn_reasoner_join(reasoner, texts) : NULL;
}

static tenebra_code arrange_answer(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    const plan *state = reasoner->state;
    const char *own = solution(reasoner, state->rationale),
               *shown = example ? solution(reasoner, example->rationale) : "";
    if (own == NULL || shown == NULL)
        return tn_fail_session_full(error);
    tn_reasoner_limit_pass(reasoner, tn_setting_size(reasoner, ANSWER_TOKENS));
    if (example != NULL)
        tn_script_reply(script, example->answer);
    return tn_script_add(script, own, shown, error);
}

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    return reasoner->pass == 0 ? arrange_rationale(reasoner, script, error) : arrange_answer(reasoner, script, error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    plan *state = reasoner->state;
    (void)error;
    tn_act_answer(reasoner, action);
    if (action->kind != TN_ACT_FINISH || reasoner->pass > 0 || !has_two(reasoner))
        return TENEBRA_OK;
    state->rationale = reasoner->answer.text;
    action->kind = TN_ACT_PASS;
    return TENEBRA_OK;
}

const tn_method tn_method_mmcot = {
    .name = "mmcot",
    .summary = "write a rationale, then answer with the rationale as input",
    .options = options,
    .reply = TN_REPLY_REASONED,
    .passes = 2,
    .open = open_method,
    .arrange = arrange,
    .next = next,
};
