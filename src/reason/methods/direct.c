/* Direct answer (No-CoT): one prompt, then decoding. */
#include "reason/train_example.h"

static const tn_option options[] = { TN_OPTIONS_END };

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

static tenebra_code arrange_training(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    (void)reasoner;
    return tn_train_example_add_answer(example, error);
}

const tn_method tn_method_direct = {
    .name = "direct",
    .standard = true,
    .summary = "answer without reasoning",
    .options = options,
    .reply = TN_REPLY_ANSWER,
    .next = next,
    .arrange_training = arrange_training,
};
