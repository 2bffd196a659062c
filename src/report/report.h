/* Reports: one self-contained HTML page for evaluations and for single answers. It makes no network requests, shows
 * tables and charts without scripts, and shows texts of models and data sets as text, whatever they contain. */
#ifndef TN_REPORT_REPORT_H
#define TN_REPORT_REPORT_H

#include "eval/table.h"

enum { TN_REPORT_QUESTIONS = 200, TN_REPORT_MEGABYTES = 24 };

typedef struct tn_report_options {
    const char *date;          /* date of the page in the form to be shown; NULL: not shown         */
    const char *const *places; /* [place_count] "NAME:DIRECTORY" of data sets, instead of those that the files name */
    size_t place_count;
    const char *ids;           /* of questions, comma-separated; NULL: spread over all               */
    size_t limit;              /* questions shown, 0: TN_REPORT_QUESTIONS                            */
    size_t max_bytes;          /* of the page, 0: TN_REPORT_MEGABYTES                                */
} tn_report_options;

/* The result in numbers. */
typedef struct tn_report_account {
    size_t bytes, questions, shown, pictures;
} tn_report_account;

/* The report of an evaluation: description of the run, charts, tables, questions. The page is zero-terminated and the
 * caller frees it. Errors: those of tn_results_add, LIMIT (tables and charts alone exceed max_bytes),
 * ARGUMENT (no question has such an id), MEMORY, and those of a data set that `places` names. `account` may be NULL.
 * Threads: any. */
tenebra_code tn_report_eval(const tn_results *results, const tn_table_groups *groups, const tn_report_options *options,
                            tn_report_account *account, char **page, tenebra_error *error);

/* One question, answered once. */
typedef struct tn_report_answer {
    const char *model;             /* directory */
    const char *title;             /* of the page: the question as the user wrote it; NULL: `question` */
    const char *question;          /* texts, with roles before them if there are several turns */
    const tenebra_part *pictures;  /* [picture_count] */
    size_t picture_count;
    bool apply_exif;               /* images are rotated by their EXIF orientation */
    const json_t *record;          /* of tn_record_add_trace */
    const tenebra_setting *settings; /* [setting_count] of the method as they took effect */
    size_t setting_count;
    const char *method, *sampling, *kernels; /* in words */
} tn_report_answer;

/* The same page for one answer. Errors: those of the images, LIMIT, MEMORY. */
tenebra_code tn_report_one(const tn_report_answer *answer, const tn_report_options *options, tn_report_account *account,
                           char **page, tenebra_error *error);

#endif
