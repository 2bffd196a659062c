/* Direct answer (No-CoT): one prompt, then decoding. */
#include "reason/lesson.h"

static const tn_option options[] = { TN_OPTIONS_END };

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

static tenebra_code arrange_lesson(tn_reasoner *reasoner, tn_lesson *lesson, tenebra_error *error)
{
    (void)reasoner;
    return tn_lesson_add_answer(lesson, error);
}

const tn_method tn_method_direct = {
    .name = "direct",
    .standard = true,
    .summary = "answer without reasoning",
    .options = options,
    .reply = TN_REPLY_ANSWER,
    .next = next,
    .arrange_lesson = arrange_lesson,
};
