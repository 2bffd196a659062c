/* The questions of a page, with pictures and answers. */
#ifndef TN_REPORT_BROWSER_H
#define TN_REPORT_BROWSER_H

#include "data/sample.h"
#include "eval/table.h"
#include "report/picture.h"
#include "report/report.h"

/* Zeroed is empty. */
typedef struct tn_browser {
    json_t *ways;      /* [{name, style, settings of the method}, ...]   */
    json_t *questions; /* as page.js reads them                         */
    json_t *notes;     /* what has to be said, sentences                */
    tn_album album;
    size_t bytes;      /* of the questions without their pictures       */
    size_t budget;     /* bytes for questions and pictures              */
    size_t total;      /* questions that there are                      */
} tn_browser;

/* Fills from result files: questions spread evenly over the run, as many as `options` allow, with the records of the sets in
 * `groups`, and words and pictures from the data sets. Questions that do not fit into the budget are left out, with those
 * behind them. Errors: those of tn_journal_read; of tn_data_open for a set that the options name; MEMORY. Data sets that only
 * a file names may be gone, and a picture may be: then a note says so. */
tenebra_code tn_browser_fill(tn_browser *browser, const tn_results *results, const tn_table_groups *groups,
                             const tn_report_options *options, tenebra_error *error);

/* Adds one question with its answers (a list of tn_answer_json, which is taken); sample NULL: nothing more is known of it than
 * `record` tells. Its pictures are the given ones, or NULL: those of the sample. *fits false, and nothing added: it is beyond
 * the budget. Errors: MEMORY. */
tenebra_code tn_browser_add(tn_browser *browser, const char *set, const json_t *record, const tn_sample *sample,
                            const tenebra_part *pictures, size_t picture_count, bool apply_exif, json_t *answers, bool *fits,
                            tenebra_error *error);

/* Adds a sentence to the notes unless it is there. */
void tn_browser_note(tn_browser *browser, const char *sentence);
void tn_browser_free(tn_browser *browser);

#endif
