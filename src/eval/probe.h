/* Tests whether answers depend on the latents: the unchanged method and the method with each intervention on its latent steps
 * answer the same questions. Interventions are options of methods; those that the method does not have are left out. */
#ifndef TN_EVAL_PROBE_H
#define TN_EVAL_PROBE_H

#include "eval/plan.h"
#include "eval/table.h"

/* Adds entries to a plan whose first entry is the unchanged method: that entry with each intervention. Latent text: zeros,
 * noise of the same norm, shuffled, of another question, mean, frozen or dropped. Picks: random, lowest, the same at every step
 * or none. Steps: none, or other numbers of latent steps and picks. Errors: ARGUMENT (the method has no latent steps), LIMIT,
 * MEMORY. */
tenebra_code tn_probe_plan(tn_eval_plan *plan, tenebra_error *error);

/* Makes the table and the conclusions, {"tables": [one table], "words": [sentences], "notes": []}, from the answers of such a
 * plan in one file. `plan`: as tn_probe_plan left it. Differences are in points of accuracy from the unchanged method, with 95
 * % intervals over questions (Newcombe's); p is McNemar's exact p times the number of comparisons (Bonferroni). No dependence
 * is stated if most of the lost answers name no option, or if most answers of the unchanged method do not. The caller owns
 * *report, which is NULL after a failure. Errors: FORMAT (answers are missing), MEMORY. */
tenebra_code tn_probe_report(json_t **report, const tn_results *results, const tn_eval_plan *plan, tenebra_error *error);

#endif
