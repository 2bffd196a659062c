/* Reconstructions of an image from the vectors of latent steps, in answering (tenebra_request.reconstruct). */
#ifndef TN_REASON_RECONSTRUCT_H
#define TN_REASON_RECONSTRUCT_H

#include "reason/denoise.h"
#include "reason/reasoner.h"

/* Sets trace.reconstruction, if the request wants one, to a note that there is none so far. Errors: LIMIT. */
tenebra_code tn_reconstruct_open(tn_reasoner *reasoner, tenebra_error *error);

/* After a step: reconstructs the first image of the question from the vectors of all steps so far [count], if the request wants it and
 * the method's module can, and describes the result in the step. After the last step, the trace also gets errors and losses, those from
 * the vectors of the input TN_INPUT_RECONSTRUCT included. Errors: LIMIT, ARGUMENT (the input), MEMORY, CANCELLED, MISMATCH (not finite). */
tenebra_code tn_reconstruct_step(tn_reasoner *reasoner, const tn_row_ref *thoughts, size_t count, bool last, tenebra_step *step,
                                 tenebra_error *error);

#endif
