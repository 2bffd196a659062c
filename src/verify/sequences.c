/* The sequences of a golden case: a prompt, latents, and text with labels. A case holds them complete, or as their ends, which
 * follow the prompt. */
#include "verify/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNLABELLED = -100 };

static int64_t latent_of(tn_verify *verify)
{
    const tn_stored *stored = tn_verify_input(verify, "latent_token_id");
    int64_t *ids = stored && stored->elements == 1 ? tn_verify_ids(verify, stored) : NULL, latent = ids ? ids[0] : -1;
    free(ids);
    return latent;
}

/* True if the last `steps` of the ids are the case's latent token, and no other id is. */
static bool ends_in_latents(tn_verify *verify, const int64_t *ids, size_t count, size_t steps)
{
    int64_t latent = latent_of(verify);
    bool right = latent >= 0;
    for (size_t i = 0; right && i < count; i++)
        right = (ids[i] == latent) == (i + steps >= count);
    return right;
}

/* Ids, or labels, which may be negative. */
static int64_t *read(tn_verify *verify, const tn_stored *stored, bool labels)
{
    return labels ? tn_verify_integers(verify, stored) : tn_verify_ids(verify, stored);
}

/* The prompt and then the ids, or labels, of `tail`; those of the prompt are unlabelled. */
static int64_t *follow(tn_verify *verify, const tn_stored *tail, bool labels, size_t *count)
{
    const tn_stored *prompt = tn_verify_input(verify, "prompt_ids");
    int64_t *front = prompt ? tn_verify_ids(verify, prompt) : NULL, *back = front ? read(verify, tail, labels) : NULL, *all = NULL;
    *count = prompt ? prompt->elements + tail->elements : 0;
    if (back != NULL)
        all = tn_verify_take(verify, *count, sizeof *all);
    for (size_t i = 0; all != NULL && i < *count; i++)
        all[i] = i >= prompt->elements ? back[i - prompt->elements] : labels ? UNLABELLED : front[i];
    free(front);
    free(back);
    return all;
}

/* The prompt and `steps` latents, which must end like the ids of `tail`. */
static int64_t *append_latents(tn_verify *verify, const tn_stored *tail, size_t steps, size_t *count)
{
    const tn_stored *prompt = tn_verify_input(verify, "prompt_ids");
    int64_t *front = prompt ? tn_verify_ids(verify, prompt) : NULL, *back = front ? tn_verify_ids(verify, tail) : NULL, *all = NULL;
    *count = prompt ? prompt->elements + steps : 0;
    if (back != NULL)
        all = tn_verify_take(verify, *count, sizeof *all);
    for (size_t i = 0; all != NULL && i < *count; i++)
        all[i] = i < prompt->elements ? front[i] : latent_of(verify);
    if (all != NULL && (tail->elements > *count ||
                        memcmp(all + *count - tail->elements, back, tail->elements * sizeof *back) != 0)) {
        tn_fail(&verify->failure, TENEBRA_ERROR_MISMATCH, tail->name, "is not the end of prompt_ids with %zu latents", steps);
        free(all);
        all = NULL;
    }
    free(front);
    free(back);
    return all;
}

int64_t *tn_verify_sequence(tn_verify *verify, size_t steps, const char *part, size_t *count)
{
    const tn_stored *whole = tn_verify_input(verify, "ids.N%zu.%s", steps, part);
    const tn_stored *tail = whole ? NULL : tn_verify_input(verify, "ids.N%zu.%s_tail", steps, part);
    bool labels = strcmp(part, "labels") == 0, prompt = strcmp(part, "gen") == 0;
    int64_t *ids = NULL;
    *count = whole ? whole->elements : 0;
    if (whole != NULL)
        ids = read(verify, whole, labels);
    else if (tail != NULL)
        ids = prompt ? append_latents(verify, tail, steps, count) : follow(verify, tail, labels, count);
    if (ids != NULL && prompt && (*count <= steps || !ends_in_latents(verify, ids, *count, steps))) {
        if (verify->failure.code == TENEBRA_OK) /* the latent token may have been unreadable */
            tn_fail(&verify->failure, TENEBRA_ERROR_MISMATCH, whole ? whole->name : tail->name, "does not end in %zu of the latent token",
                    steps);
        free(ids);
        ids = NULL;
    }
    return ids;
}
