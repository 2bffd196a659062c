/* The state of a run in one file, so that a run that was killed can be continued without any difference.
 *
 * checkpoints/update-N is a file of tensors. For every trained tensor it has the f32 values and both moments of AdamW. Its
 * metadata are a JSON object with the number of updates, the optimizer's steps, the last validation, and the configuration. All
 * random numbers of a run are drawn from (seed, epoch, sample) or (seed, update), so two counters are their whole state. The
 * file gets its name when it is complete and on the disk. */
#ifndef TN_TRAIN_CHECKPOINT_H
#define TN_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "model/parameters.h"
#include "train/optimizer.h"

/* Writes checkpoint `update` into `directory`, which is created if necessary. state: borrowed. Errors: IO (a full disk; older
 * checkpoints stay), MEMORY. */
tenebra_code tn_checkpoint_write(const char *directory, uint64_t update, const tn_parameters *parameters,
                                 const tn_optimizer *optimizer, const json_t *state, tenebra_error *error);

/* Finds the newest checkpoint: its path (the caller frees it; NULL if there is none) and the update in its name. The file is
 * not read. Errors: IO, MEMORY. */
tenebra_code tn_checkpoint_find(const char *directory, char **path, uint64_t *update, tenebra_error *error);

/* Reads a complete checkpoint, compares it with its digest (store/seal.h) and returns its state, which the caller owns. Errors:
 * IO, FORMAT (damaged), MEMORY. */
tenebra_code tn_checkpoint_state(const char *path, json_t **state, tenebra_error *error);

/* Whether a file of that name is a checkpoint, or an incomplete one of a writer that was killed. */
bool tn_checkpoint_is_own(const char *name);

/* Reads values and moments. The file must have every tensor in the right shape, and no other tensors. Errors: IO, FORMAT,
 * MISMATCH. */
tenebra_code tn_checkpoint_read(const char *path, tn_parameters *parameters, tn_optimizer *optimizer, uint64_t steps,
                                tenebra_error *error);

/* Removes all but the newest `keep` checkpoints, and incomplete files of writers that were killed. Errors: IO, MEMORY. */
tenebra_code tn_checkpoint_prune(const char *directory, size_t keep, tenebra_error *error);

#endif
