/* The latent loop: hidden states and picked image embeddings fed back as input, N times.
 *
 * Shared by methods that differ only in their options. Source: arXiv:2510.12603, section 3; without vision this is Coconut,
 * arXiv:2412.06769. */
#ifndef TN_REASON_LATENT_H
#define TN_REASON_LATENT_H

#include "reason/latent_step.h"
#include "reason/reasoner.h"

/* What latent steps require of a model, for the notes of methods. */
#define TN_LATENT_NOTE \
    "a model that was not trained for latent steps does not give meaningful answers with them"

/* The option of methods with picks for tn_latent_settings.look. */
#define TN_LOOK_OPTION TN_SETTING_SIDES("look-size", "prompt", "size in which picks are read, as more cells than in the prompt")

/* Allocates the state of the loop. Call from a method's open. Errors: LIMIT. */
tenebra_code tn_latent_open(tn_reasoner *reasoner, const tn_latent_settings *settings, tenebra_error *error);

/* For methods that take latent steps in another loop. The first allocates the memory of a choice. The last adds the rows of
 * the next step, which is chosen by the scores of the row that ran last, to the span; *picks [choice->pick_count] are its picks
 * for the trace. `hidden` and
 * `raw` [1, C] are the last row after and before the final norm, in memory of the question. Errors: LIMIT, ARGUMENT. */
tenebra_code tn_latent_open_choice(tn_reasoner *reasoner, tn_choice *choice, const tn_latent_settings *settings,
                                   tenebra_error *error);
/* Sets the embeddings that can be picked, unless they are set: those of the prompt, which ran. Errors: LIMIT. */
tenebra_code tn_latent_open_candidates(tn_reasoner *reasoner, tn_choice *choice, tenebra_error *error);
typedef struct tn_latent_known {
    tn_tensor hidden, raw; /* [1, C] */
    tn_tensor mean;        /* [1, C] of the prompt's rows, for TN_TEXT_MEAN */
    tn_tensor question;    /* [n, C] of the question, if the method reads it */
} tn_latent_known;
tenebra_code tn_latent_lay(tn_reasoner *reasoner, tn_choice *choice, const tn_latent_known *known, const tenebra_pick **picks,
                           tenebra_error *error);

/* A method's `next`: N latent passes, then the answer. */
tenebra_code tn_latent_next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error);

/* A method's `arrange_training`: the source's number of latent steps (none if N = 0; otherwise N applies only to answering)
 * replaces the steps of the rationale that it skips; then come the other steps and the answer. */
tenebra_code tn_latent_example(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error);

#endif
