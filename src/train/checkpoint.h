/* The state of a run in one file, so that a run that was killed goes on as if nothing had happened.
 *
 * checkpoints/update-N, a file of tensors, holds for every trained tensor its f32 values and both moments of AdamW, and in
 * the metadata a JSON object: the number of updates, the optimizer's steps, what was validated, the configuration.
 * All random numbers of a run are drawn from (seed, epoch, sample) or (seed, update), so two counters are the whole
 * state of them. The file appears under its name when it is whole and on the disk. */
#ifndef TN_TRAIN_CHECKPOINT_H
#define TN_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "model/parameters.h"
#include "train/optimizer.h"

/* Writes checkpoint `update` into `directory` (made if need be). state: borrowed. Errors: IO (a full disk; older
 * checkpoints stay), MEMORY. */
tenebra_code tn_checkpoint_write(const char *directory, uint64_t update, const tn_parameters *parameters,
                                 const tn_optimizer *optimizer, const json_t *state, tenebra_error *error);

/* The path of the newest checkpoint (free(); NULL: there is none) and the update in its name. Nothing of it is read. Errors: IO,
 * MEMORY. */
tenebra_code tn_checkpoint_find(const char *directory, char **path, uint64_t *update, tenebra_error *error);

/* Reads all of a checkpoint, compares it with its digest (store/seal.h) and hands out its state, which the caller owns. Errors: IO,
 * FORMAT (damaged), MEMORY. */
tenebra_code tn_checkpoint_state(const char *path, json_t **state, tenebra_error *error);

/* Whether a file of that name is a checkpoint, or what a writer that was killed left of one. */
bool tn_checkpoint_is_own(const char *name);

/* Reads values and moments; every tensor must be there in its shape, and no other. Errors: IO, FORMAT, MISMATCH. */
tenebra_code tn_checkpoint_read(const char *path, tn_parameters *parameters, tn_optimizer *optimizer, uint64_t steps,
                                tenebra_error *error);

/* Removes all but the newest `keep` checkpoints, and what killed writers left behind. Errors: IO, MEMORY. */
tenebra_code tn_checkpoint_prune(const char *directory, size_t keep, tenebra_error *error);

#endif
