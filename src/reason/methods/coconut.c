/* Coconut: only latent text (arXiv:2412.06769). The same loop as with vision, without picks. The start and end markers of the
 * original are left out, as in its multimodal successor. */
#include "reason/latent.h"

enum { N_LATENT, HIDDEN, LATENT_TEXT };

static const tn_option options[] = {
    [N_LATENT] = TN_SETTING_SIZE("n-latent", "N", "3", 0, 1024, "number of latent steps", .means = TN_MEANS_LATENT_STEPS),
    [HIDDEN] = TN_SETTING_CHOICE("hidden", "normed|raw", "normed", "feed back the hidden state after or before the final norm"),
    [LATENT_TEXT] = TN_SETTING_CHOICE("latent-text", "keep|drop|zero|noise|mean|frozen|shuffle|given", "keep",
                                      "intervention: what replaces the hidden state", .means = TN_MEANS_LATENT_TEXT),
    TN_OPTIONS_END
};

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_latent_settings settings = {
        .steps = tn_setting_size(reasoner, N_LATENT),
        .raw_hidden = tn_setting_choice(reasoner, HIDDEN) == 1,
        .text = (tn_latent_text)tn_setting_choice(reasoner, LATENT_TEXT),
        .source = TN_PICKS_NONE,
    };
    return tn_latent_open(reasoner, &settings, error);
}

const tn_method tn_method_coconut = {
    .name = "coconut",
    .summary = "reason in hidden states, then answer",
    .note = TN_LATENT_NOTE,
    .options = options,
    .sequential = true,
    .open = open_method,
    .latent_step = tn_latent_step,
    .next = tn_latent_next,
    .arrange_training = tn_latent_example,
};
