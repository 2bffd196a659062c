/* Chain of thought: the question ends with a cue to write the reasoning (arXiv:2205.11916). A model that was trained on
 * rationales needs no cue (an empty "cue"). */
#include "reason/train_example.h"

enum { CUE };

static const tn_option options[] = {
    [CUE] = TN_SETTING_TEXT("cue", "\nLet's think step by step.",
                            "text added to the question; empty for a model trained on rationales", .means = TN_MEANS_CUE),
    TN_OPTIONS_END
};

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    return tn_script_add_cue(script, tn_setting_text(reasoner, CUE), error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

static tenebra_code arrange_training(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    (void)reasoner;
    TN_TRY(tn_train_example_add_steps(example, 0, error));
    return tn_train_example_add_answer(example, error);
}

const tn_method tn_method_cot = {
    .name = "cot",
    .summary = "write the reasoning, then answer",
    .options = options,
    .reply = TN_REPLY_REASONED,
    .arrange = arrange,
    .next = next,
    .arrange_training = arrange_training,
};
