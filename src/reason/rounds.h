/* Answers many requests at once with one engine. What the generations in progress need next (pieces of prompts, latent steps,
 * tokens or logits) is combined into rounds, each of which is one call of the engine. When an answer is complete, its place is
 * free for the next request, which joins the rounds of the others.
 *
 *     while (questions are left or tn_rounds_busy(rounds) > 0) {
 *         while (questions are left && tn_rounds_has_room(rounds))
 *             tn_rounds_begin(rounds, &request, NULL, NULL, &mine, &error);
 *         tn_rounds_run(rounds);
 *         while (tn_rounds_take(rounds, &ended))
 *             ...
 *     }
 *
 * An answer has the same bits as if it ran alone, whatever else runs. One thread at a time. */
#ifndef TN_REASON_ROUNDS_H
#define TN_REASON_ROUNDS_H

#include "model/session.h"
#include "reason/method.h"

enum { TN_ROUNDS_PLACES_MAX = 64 };

typedef struct tn_rounds tn_rounds;

/* An answer that is complete, or failed. */
typedef struct tn_rounds_end {
    void *user;
    tenebra_code code;
    tenebra_error error;        /* unless the code is OK */
    const tenebra_trace *trace; /* valid until the next tn_rounds_begin; NULL after a failure */
} tn_rounds_end;

/* Opens places for `places` simultaneous requests, each with a sequence of options->context rows and its own memory; encoded
 * images are shared. The model must outlive it. Errors: ARGUMENT (not 1 to TN_ROUNDS_PLACES_MAX places), LIMIT (the caches are larger than
 * the machine's memory), those of tn_session_open. */
tenebra_code tn_rounds_open(tn_rounds **rounds, const tn_model *model, const tn_session_options *options, size_t places,
                            tenebra_error *error);
void tn_rounds_close(tn_rounds *rounds); /* NULL is allowed; answers in progress are abandoned */

/* Begins the answer to a request in a free place. The request and everything that it points to must live until the answer is
 * taken. `method` NULL: the method that the request names. Setting *cancel (may be NULL) ends the answer with CANCELLED after the
 * round in progress. Errors: LIMIT (no place is free), those of tn_reasoner_open; the place then stays free. */
tenebra_code tn_rounds_begin(tn_rounds *rounds, const tenebra_request *request, const tn_method *method, const atomic_bool *cancel,
                             void *user, tenebra_error *error);

/* Whether a place is free, and the number of answers that are in progress, or complete but not taken. */
bool tn_rounds_has_room(const tn_rounds *rounds);
size_t tn_rounds_busy(const tn_rounds *rounds);

/* Runs one round: every generation gets its next token or latent step, or, as far as the round has room, a piece of its prompt.
 * An error ends only the answer that it belongs to. */
void tn_rounds_run(tn_rounds *rounds);

/* Takes the next answer that has ended; its place is then free. False if there is none. */
bool tn_rounds_take(tn_rounds *rounds, tn_rounds_end *end);

#endif
