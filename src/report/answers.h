/* Records of answers as the page's script reads them. */
#ifndef TN_REPORT_ANSWERS_H
#define TN_REPORT_ANSWERS_H

#include "base/json.h"

/* What the page shows of a record (docs/evaluation.md): verdict, text, account, and the latent steps with picks, numbers,
 * what the head reads and, where the record has scores, maps:
 *     "grids": [[rows, columns], ...] of the pictures
 *     "maps" of the prompt and of each step: for each picture [raw, border-masked, relative], each as tn_heat_json
 *     "sources": which of the question's pictures each is, null for those of the method's own
 *     "turns": texts of the passes before the answer; "regions": [x0, y0, x1, y1] of the regions shown on request
 *     "neutral": for each picture the map of the neutral prompt, or null
 * Whatever has another form than it should is left out. `way`: number of the way of answering. The caller owns the result;
 * NULL: no memory. */
json_t *tn_answer_json(const json_t *record, size_t way);

#endif
