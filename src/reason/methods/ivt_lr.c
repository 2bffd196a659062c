/* IVT-LR: latent text interleaved with latent vision. Source: arXiv:2510.12603; defaults are those of the
 * authors' code with which the published checkpoints were trained (vision first, sequential positions). */
#include "reason/latent.h"

enum { N_LATENT, K_SELECT, ORDER, PICK_ORDER, HIDDEN, EXHAUSTED, LATENT_TEXT, LATENT_PICKS };

static const tenebra_option options[] = {
    [N_LATENT] = { "n-latent", "N", "3", "latent steps", 0, 1024 },
    [K_SELECT] = { "k-select", "K", "32", "image embeddings picked in each step", 0, 4096 },
    [ORDER] = { "order", "vision-first|text-first", "vision-first",
                "inside a step: the authors' code, or the paper's text", 0, 0 },
    [PICK_ORDER] = { "pick-order", "cuda|desc|asc", "cuda", "order of the picks, which decides their positions", 0, 0 },
    [HIDDEN] = { "hidden", "normed|raw", "normed", "hidden state fed back: after or before the final norm", 0, 0 },
    [EXHAUSTED] = { "exhausted", "take|repick", "take",
                    "fewer than K left: take them, or fill up with used ones as the reference", 0, 0 },
    [LATENT_TEXT] = { "latent-text", "keep|drop|zero|noise|mean|frozen|shuffle|given", "keep",
                      "intervention: what stands in for the hidden state", 0, 0 },
    [LATENT_PICKS] = { "latent-picks", "top|random|lowest|repeat|none", "top", "intervention: which embeddings are picked",
                       0, 0 },
    { NULL, NULL, NULL, NULL, 0, 0 }
};

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_latent_settings settings = {
        .steps = (size_t)tn_setting_number(reasoner, N_LATENT),
        .picks = (size_t)tn_setting_number(reasoner, K_SELECT),
        .text_first = tn_setting_choice(reasoner, ORDER) == 1,
        .raw_hidden = tn_setting_choice(reasoner, HIDDEN) == 1,
        .repick = tn_setting_choice(reasoner, EXHAUSTED) == 1,
        .order = (tn_pick_order)tn_setting_choice(reasoner, PICK_ORDER),
        .text = (tn_latent_text)tn_setting_choice(reasoner, LATENT_TEXT),
        .source = (tn_latent_picks)tn_setting_choice(reasoner, LATENT_PICKS),
    };
    return tn_latent_open(reasoner, &settings, error);
}

const tn_method tn_method_ivt_lr = {
    .name = "ivt-lr",
    .summary = "think in hidden states and picked image embeddings, then answer",
    .note = TN_LATENT_NOTE,
    .options = options,
    .sequential = true,
    .tap_prompt = true,
    .open = open_method,
    .latent_step = tn_latent_step,
    .next = tn_latent_next,
    .arrange_lesson = tn_latent_lesson,
};
