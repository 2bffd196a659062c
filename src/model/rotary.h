/* Rotary embedding in config.json. Internal to model/. */
#ifndef TN_MODEL_ROTARY_H
#define TN_MODEL_ROTARY_H

#include "base/json.h"

/* Reads the objects "rope_scaling" and "rope_parameters" of one part of config.json, which errors call `file`.
 * *parameters is the one in effect, NULL if there is none: "rope_scaling" unless it is empty, as in transformers 5. *theta
 * is "rope_theta" in it, or else beside it, or else unchanged. "rope_type" (or "type", its old name) must be one of
 * `types`, one or two, NULL-terminated, wherever it is: if both exist, transformers 4 follows "type", 5 "rope_type".
 * Errors: FORMAT, UNSUPPORTED (another type; the sentence names the key). */
tenebra_code tn_rope_read(const json_t *part, const char *file, const char *const *types,
                          const json_t **parameters, double *theta, tenebra_error *error);

/* Keys of such an object, for tn_notes_unknown. */
extern const char *const tn_rope_keys[];

#endif
