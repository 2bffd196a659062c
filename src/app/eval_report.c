/* tenebra eval report: a page of result files. */
#include "app/eval.h"
#include "app/report_write.h"

#include "base/output.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

#define TN_RECORD report_options
static const tn_option option_table[] = {
    TN_TEXT('o', "output", output, "FILE", NULL, "the page"),
    TN_SWITCH('f', "force", force, "replace a page that is there"),
    TN_LIST('d', "data", places, "NAME:DIR", "where a data set lies (where the files say); repeatable"),
    TN_TEXT(0, "scorer", scorer, "NAME", NULL, "judge the answers again (eval score --list; as recorded)"),
    TN_TEXT(0, "rows", rows, "A,B,...", NULL, "only these methods, in this order"),
    TN_LIST('g', "group", groups, "NAME=FILE,...", "runs with several seeds as one row; repeatable"),
    TN_SIZE(0, "limit", report.limit, "N", "200", 1, 1e9, "questions shown one by one, spread evenly"),
    TN_TEXT(0, "ids", report.ids, "A,B,...", NULL, "only these questions one by one"),
    TN_NUMBER(0, "max-size", megabytes, "MB", "24", 0.1, 2000, "most megabytes of the page"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    report_options options = { 0 };
    char date[TN_APP_DATE_SIZE];
    int exit_code, first = tn_options_parse(&tn_command_eval_report, &options, argc, argv, &exit_code);
    if (first >= 0 && ((first == argc && options.groups.count == 0) || options.output == NULL)) {
        exit_code = tn_command_mistake(&tn_command_eval_report,
                                       options.output == NULL ? "name the page with -o FILE.html" : "name result files");
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

const tn_command tn_command_eval_report = {
    .name = "eval report",
    .summary = "one page of HTML: charts, tables, and every question with what each step saw",
    .arguments = "[FILE ...]",
    .about = "Makes one page of HTML of result files, with everything in it: what was run, charts, the tables of 'tenebra eval table',\n"
             "and a browser of questions with pictures, answers, and the picks of each latent step. Runs with --scores have maps of\n"
             "attention, too. The page asks no network.",
    .example = "  tenebra eval -m MODEL --data hops:DIR --method ivt-lr --scores --lens 5 -o out.jsonl\n"
               "  tenebra eval report out.jsonl -o out.html",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
