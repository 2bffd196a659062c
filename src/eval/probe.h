/* Whether answers depend on the latents: one method as it is, and with each intervention on its latent steps, on the same
 * questions. Interventions are options of methods; those that the method does not have are left out. */
#ifndef TN_EVAL_PROBE_H
#define TN_EVAL_PROBE_H

#include "eval/plan.h"
#include "eval/table.h"

/* Adds to a plan, whose first entry is the method as it is, that entry with each intervention: latent text zero, noise of the
 * same norm, shuffled, of another question, mean, frozen or dropped; picks random, lowest, the same at every step or none; no
 * latents; other numbers of latent steps and picks. Errors: ARGUMENT (the method has no latent steps), LIMIT, MEMORY. */
tenebra_code tn_probe_plan(tn_eval_plan *plan, tenebra_error *error);

/* The table and what it says, as {"tables": [one table], "words": [sentences], "notes": []}, from the answers of such a plan
 * in one file. `plan` as tn_probe_plan left it. Differences are in points of accuracy to the method as it is, with 95 %
 * intervals over questions (Newcombe's); p is McNemar's exact one times the number of comparisons (Bonferroni). No dependence is
 * stated where most of the lost answers name no option, or where most of the method's own do. The caller owns *report,
 * which is NULL after a failure. Errors: FORMAT (answers are missing), MEMORY. */
tenebra_code tn_probe_report(json_t **report, const tn_results *results, const tn_eval_plan *plan, tenebra_error *error);

#endif
