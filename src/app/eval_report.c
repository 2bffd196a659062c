/* tenebra eval report: a page of result files. */
#include "app/eval.h"
#include "app/report_write.h"

#include "base/output.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_usage usage = {
    .command = "eval report",
    .arguments = "[FILE ...]",
    .summary = "Makes one page of HTML of result files, with everything in it: what was run, charts, the tables of 'tenebra eval table',\n"
               "and a browser of questions with pictures, answers, and the picks of each latent step. Runs with --scores have maps of\n"
               "attention, too. The page asks no network.",
    .example = "  tenebra eval -m MODEL --data hops:DIR --method ivt-lr --scores --lens 5 -o out.jsonl\n"
               "  tenebra eval report out.jsonl -o out.html",
};

typedef struct report_options {
    const char *output, *rows, *scorer;
    tn_option_list places, groups;
    double megabytes;
    bool force;
    tn_report_options report;
} report_options;

static int make(report_options *options, char **files, size_t count)
{
    tenebra_error error = { 0 };
    tn_results results = { 0 };
    tn_table_groups groups = { 0 };
    tn_report_account account;
    char *page = NULL;
    tenebra_code code = tn_output_check(options->output, options->force, &error);
    if (code == TENEBRA_OK)
        code = tn_output_check_sources(options->output, files, count, &error);
    if (code == TENEBRA_OK)
        code = tn_eval_load_groups(&results, &groups, &options->groups, options->rows, files, count, &error);
    if (code == TENEBRA_OK)
        code = tn_eval_rescore(&results, options->scorer, options->report.places, options->report.place_count, &error);
    if (code == TENEBRA_OK) {
        page = tn_report_eval(&results, &groups, &options->report, &account, &error);
        code = page != NULL ? tn_output_put(options->output, page, strlen(page), &error) : error.code;
    }
    if (code == TENEBRA_OK)
        tn_app_tell("%s: %.1f MB, %zu of %zu questions, %zu pictures\n", options->output, (double)account.bytes / 1048576,
                account.shown, account.questions, account.pictures);
    free(page);
    tn_table_groups_free(&groups);
    tn_results_free(&results);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}

int tn_eval_report(int argc, char **argv)
{
    report_options options = { .megabytes = TN_REPORT_MEGABYTES, .report.limit = TN_REPORT_QUESTIONS };
    char date[TN_APP_DATE_SIZE];
    const tn_option table[] = {
        { 'o', "output", TN_OPTION_TEXT, &options.output, "FILE", "the page", 0, 0, NULL },
        { 'f', "force", TN_OPTION_FLAG, &options.force, "", "replace a page that is there", 0, 0, NULL },
        { 'd', "data", TN_OPTION_LIST, &options.places, "NAME:DIR", "where a data set lies (where the files say); repeatable", 0, 0, NULL },
        { 0, "scorer", TN_OPTION_TEXT, &options.scorer, "NAME", "judge the answers again (eval score --list; as recorded)", 0, 0, NULL },
        { 0, "rows", TN_OPTION_TEXT, &options.rows, "A,B,...", "only these methods, in this order", 0, 0, NULL },
        { 'g', "group", TN_OPTION_LIST, &options.groups, "NAME=FILE,...", "runs with several seeds as one row; repeatable", 0, 0, NULL },
        { 0, "limit", TN_OPTION_SIZE, &options.report.limit, "N", "questions shown one by one, spread evenly (200)", 1, 1e9, NULL },
        { 0, "ids", TN_OPTION_TEXT, &options.report.ids, "A,B,...", "only these questions one by one", 0, 0, NULL },
        { 0, "max-size", TN_OPTION_NUMBER, &options.megabytes, "MB", "most megabytes of the page (24)", 0.1, 2000, NULL },
        { 0, NULL, TN_OPTION_FLAG, NULL, NULL, NULL, 0, 0, NULL },
    };
    int exit_code, first = tn_options_parse(&usage, table, argc, argv, &exit_code);
    if (first >= 0 && ((first == argc && options.groups.count == 0) || options.output == NULL)) {
        exit_code = tn_eval_mistake(usage.command, options.output == NULL ? "name the page with -o FILE.html" : "name result files");
    } else if (first >= 0) {
        options.report.places = options.places.items;
        options.report.place_count = options.places.count;
        options.report.max_bytes = (size_t)(options.megabytes * 1048576);
        options.report.date = tn_app_date(date);
        exit_code = make(&options, argv + first, (size_t)(argc - first));
    }
    free(options.groups.items);
    free(options.places.items);
    return exit_code;
}
