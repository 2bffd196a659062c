/* tenebra eval report: makes an HTML page of result files. */
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
    if (code == TENEBRA_OK)
        code = tn_report_eval(&results, &groups, &options->report, &account, &page, &error);
    if (code == TENEBRA_OK)
        code = tn_output_put(options->output, page, strlen(page), &error);
    if (code == TENEBRA_OK)
        tn_app_tell("%s: %.1f MB, %zu of %zu questions, %zu image%s\n", options->output, (double)account.bytes / 1048576,
                account.shown, account.questions, account.pictures, account.pictures == 1 ? "" : "s");
    free(page);
    tn_table_groups_free(&groups);
    tn_results_free(&results);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}

#define TN_RECORD report_options
static const tn_option option_table[] = {
    TN_TEXT('o', "output", output, "FILE", NULL, "the page"),
    TN_SWITCH('f', "force", force, "replace an existing page"),
    TN_LIST('d', "data", places, "NAME:DIR", "directory of a data set (default: as in the files); repeatable"),
    TN_TEXT(0, "scorer", scorer, "NAME", NULL, "score the answers again (tenebra eval score --list; default: keep the scores)",
            .names = tn_names_of_scorers),
    TN_TEXT(0, "rows", rows, "A,B,...", NULL, "show only these methods, in this order"),
    TN_LIST('g', "group", groups, "NAME=FILE,...", "combine runs with several seeds into one row; repeatable"),
    TN_SIZE(0, "limit", report.limit, "N", "200", 1, 1e9, "show N questions one by one, spread evenly over the run"),
    TN_TEXT(0, "ids", report.ids, "A,B,...", NULL, "show these questions one by one instead"),
    TN_NUMBER(0, "max-size", megabytes, "MB", "24", 0.1, 2000, "maximum size of the page in megabytes"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    report_options options = { 0 };
    char date[TN_APP_DATE_SIZE];
    int exit_code, first = tn_options_parse(&tn_command_eval_report, &options, argc, argv, &exit_code);
    if (first >= 0 && ((first == argc && options.groups.count == 0) || options.output == NULL)) {
        exit_code = tn_command_mistake(&tn_command_eval_report,
                                       options.output == NULL ? "requires the page to write (-o FILE.html)" : "requires result files");
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
    .summary = "make an HTML page with charts, tables, and what each step saw",
    .arguments = "[FILE ...]",
    .about = "Makes one self-contained HTML page of result files: what was run, charts, the tables of 'tenebra eval table', and the\n"
             "questions one by one with images, answers and the picks of each latent step. For runs with --scores, it also has maps\n"
             "of attention. The page loads nothing from the network.",
    .example = "  tenebra eval -m MODEL --data hops:DIR --method ivt-lr --scores --lens 5 -o out.jsonl\n"
               "  tenebra eval report out.jsonl -o out.html",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
