/* Reconstructions (tenebra_reconstruction) as JSON, for traces and for records of evaluations. */
#ifndef TN_REASON_RECONSTRUCT_JSON_H
#define TN_REASON_RECONSTRUCT_JSON_H

#include "tenebra.h"

#include <jansson.h>

/* {"note": text or null, "side": N, "seen": picture or null, "error", "other_error", "loss", "other_loss": number or null}. A picture is a
 * text of 6 hexadecimal digits for each pixel, row by row. NULL without memory. */
json_t *tn_reconstruction_json(const tenebra_reconstruction *made);

/* Adds "reconstruction": {"rgb": picture, "error": number} to the description of a step that has one. */
void tn_reconstruction_add_step(json_t *json, const tenebra_trace *trace, const tenebra_step *step);

#endif
