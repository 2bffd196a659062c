/* Rotary embedding as config.json describes it. Internal to model/. */
#ifndef TN_MODEL_ROTARY_H
#define TN_MODEL_ROTARY_H

#include "base/json.h"

/* Reads the objects "rope_scaling" and "rope_parameters" of one part of config.json, called `path` ("", "text_config.").
 * *parameters is the one that counts, NULL if there is none: "rope_scaling" unless it is empty, as in transformers 5.
 * *theta is "rope_theta" in it, else beside it, else what it was. "rope_type" (or "type", its old name) must be one of
 * `types`, NULL-terminated, wherever it stands: transformers 4 follows "type" where both are there, 5 "rope_type".
 * Errors: FORMAT, UNSUPPORTED (another type; the sentence names the key). */
tenebra_code tn_rope_read(const json_t *part, const char *file, const char *path, const char *const *types,
                          const json_t **parameters, double *theta, tenebra_error *error);

/* Keys of such an object, as tn_notes_unknown takes them. */
extern const char *const tn_rope_keys[];

#endif
