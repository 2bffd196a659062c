/* The questions of a page, with images and answers. */
#ifndef TN_REPORT_BROWSER_H
#define TN_REPORT_BROWSER_H

#include "data/sample.h"
#include "eval/table.h"
#include "report/picture.h"
#include "report/report.h"

/* A zeroed record is empty. */
typedef struct tn_browser {
    json_t *ways;      /* [{name, style, settings of the method}, ...]   */
    json_t *questions; /* as page.js reads them                         */
    json_t *notes;     /* notes, as sentences                           */
    tn_album album;
    size_t bytes;      /* of the questions without their images         */
    size_t budget;     /* bytes for questions and images                */
    size_t total;      /* all questions                                 */
} tn_browser;

/* Fills from result files: questions spread evenly over the run, as many as `options` allow, with the records of the
 * sets in `groups`, and texts and images from the data sets. If a question exceeds the budget, it and the following
 * ones are left out. Errors: those of tn_journal_read; of tn_data_open for a data set that the options name; MEMORY. If
 * a data set that only a file names, or an image, does not exist, there is a note. */
tenebra_code tn_browser_fill(tn_browser *browser, const tn_results *results, const tn_table_groups *groups,
                             const tn_report_options *options, tenebra_error *error);

/* An entry for the page: its name, its style, and the options of its picks as [option, value], from settings {name: value}.
 * NULL without memory. */
json_t *tn_browser_way(const char *name, const char *style, const json_t *settings);

/* Adds one question with its answers (a list of tn_answer_json; takes ownership). If sample is NULL, only `record`
 * describes the question. Its images are the given ones or, if NULL, those of the sample. If the question exceeds the
 * budget, *fits is false and nothing is added. Errors: MEMORY. */
tenebra_code tn_browser_add(tn_browser *browser, const char *set, const json_t *record, const tn_sample *sample,
                            const tenebra_part *pictures, size_t picture_count, bool apply_exif, json_t *answers, bool *fits,
                            tenebra_error *error);

/* Adds a sentence to the notes unless they already contain it. */
void tn_browser_note(tn_browser *browser, const char *sentence);
void tn_browser_free(tn_browser *browser);

#endif
