/* IVT-LR: latent text interleaved with latent vision. Source: arXiv:2510.12603; defaults are those of the
 * authors' code with which the published checkpoints were trained (vision first, sequential positions). */
#include "reason/latent.h"

enum { N_LATENT, K_SELECT, ORDER, PICK_ORDER, HIDDEN, EXHAUSTED, LATENT_TEXT, LATENT_PICKS, LOOK_SIZE };

static const tn_option options[] = {
    [N_LATENT] = TN_SETTING_SIZE("n-latent", "N", "3", 0, 1024, "number of latent steps", .means = TN_MEANS_LATENT_STEPS),
    [K_SELECT] = TN_SETTING_SIZE("k-select", "K", "32", 0, 4096, "image embeddings picked in each step", .means = TN_MEANS_PICKS),
    [ORDER] = TN_SETTING_CHOICE("order", "vision-first|text-first", "vision-first",
                                "order within a step: as in the authors' code, or as in the paper"),
    [PICK_ORDER] = TN_SETTING_CHOICE("pick-order", "cuda|desc|asc", "cuda", "order of the picks, which determines their positions"),
    [HIDDEN] = TN_SETTING_CHOICE("hidden", "normed|raw", "normed", "feed back the hidden state after or before the final norm"),
    [EXHAUSTED] = TN_SETTING_CHOICE("exhausted", "take|repick", "take",
                                    "if fewer than K are left: take them, or also used ones"),
    [LATENT_TEXT] = TN_SETTING_CHOICE("latent-text", "keep|drop|zero|noise|mean|frozen|shuffle|given", "keep",
                                      "intervention: what replaces the hidden state", .means = TN_MEANS_LATENT_TEXT),
    [LATENT_PICKS] = TN_SETTING_CHOICE("latent-picks", "top|random|lowest|repeat|none", "top",
                                         "intervention: which embeddings are picked", .means = TN_MEANS_LATENT_PICKS),
    [LOOK_SIZE] = TN_LOOK_OPTION,
    TN_OPTIONS_END
};

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_latent_settings settings = {
        .steps = tn_setting_size(reasoner, N_LATENT),
        .picks = tn_setting_size(reasoner, K_SELECT),
        .text_first = tn_setting_choice(reasoner, ORDER) == 1,
        .raw_hidden = tn_setting_choice(reasoner, HIDDEN) == 1,
        .repick = tn_setting_choice(reasoner, EXHAUSTED) == 1,
        .order = (tn_pick_order)tn_setting_choice(reasoner, PICK_ORDER),
        .text = (tn_latent_text)tn_setting_choice(reasoner, LATENT_TEXT),
        .source = (tn_latent_picks)tn_setting_choice(reasoner, LATENT_PICKS),
        .look = { tn_setting_sides(reasoner, LOOK_SIZE)[0], tn_setting_sides(reasoner, LOOK_SIZE)[1] },
    };
    return tn_latent_open(reasoner, &settings, error);
}

const tn_method tn_method_ivt_lr = {
    .name = "ivt-lr",
    .summary = "reason in hidden states and picked image embeddings, then answer",
    .note = TN_LATENT_NOTE,
    .options = options,
    .sequential = true,
    .tap_prompt = true,
    .open = open_method,
    .latent_step = tn_latent_step,
    .next = tn_latent_next,
    .arrange_training = tn_latent_example,
};
