/* Records of answers in the form that the page's script reads. */
#ifndef TN_REPORT_ANSWERS_H
#define TN_REPORT_ANSWERS_H

#include "base/json.h"

/* The part of a record that the page shows (docs/evaluation.md): verdict, text, counts, and the latent steps with
 * picks, numbers, lens and, if the record has scores, maps:
 *     "grids": [[rows, columns, x, y, width, height], ...] of the images, the last four of the part that was read
 *     "maps" of the prompt and of each step: for each image [raw, border-masked, relative], each as tn_heat_json
 *     "sources": the index of the question's image that each one shows, null for the method's own
 *     "turns": texts of the passes before the answer; "regions": [x0, y0, x1, y1] of the regions shown on request
 *     "neutral": for each image the map of the neutral prompt, or null
 * Members of an unexpected form are left out. `way`: index of the method with its options. The caller owns the result;
 * NULL without memory. */
json_t *tn_answer_json(const json_t *record, size_t way);

#endif
