/* tenebra eval score: scores result files without running a model. */
#include "app/eval.h"

#include "base/json.h"
#include "eval/outputs.h"
#include "eval/score_table.h"
#include "eval/statistics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCORERS_MAX = 16, COLUMN = 26 };

typedef struct score_job {
    const char *scorers;
    tn_option_list keys;
    const char *split;
    bool json, list;
    tn_key *key;
    tn_key *set; /* the data set of the current file, if the file names it */
    char *names[SCORERS_MAX]; /* as requested; owned */
    tn_tally tallies[SCORERS_MAX];
    size_t count;
    json_t *files;
} score_job;

/* -------------------------------------------------------------- printing -- */

static void print_scorers(void)
{
    for (const tn_scorer *const *scorer = tn_scorers; *scorer != NULL; scorer++) {
        tn_app_print("%-12s %s%s\n", (*scorer)->name, (*scorer)->summary, (*scorer)->standard ? " (default)" : "");
        for (size_t i = 0; (*scorer)->variants != NULL && (*scorer)->variants[i] != NULL; i++)
            tn_app_print("             %s:%s%s\n", (*scorer)->name, (*scorer)->variants[i], i == 0 ? " (the same)" : "");
    }
}

/* Prints the numbers of rows that do not count to stderr. */
static void tell_losses(const score_job *job, const char *path, const tn_outputs *outputs)
{
    const struct {
        size_t count;
        const char *what;
    } losses[] = {
        { outputs->unreadable, "rows cannot be read and are left out" },
        { outputs->repeated, "rows repeat an earlier id and are left out" },
        { outputs->unknown, "rows are not in the key and are left out" },
        { outputs->unkeyed, "rows have no correct answer and are left out" },
        { outputs->fallible, "questions failed; they count as wrong" },
    };
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (losses[i].count > 0)
            tn_app_tell("%s: %zu %s\n", path, losses[i].count, losses[i].what);
    size_t whole = job->key != NULL ? tn_key_count(job->key) : 0;
    if (job->tallies[0].all.total < whole)
        tn_app_tell("%s: answers %zu of the key's %zu questions; the score of a part cannot be compared with others\n", path,
                job->tallies[0].all.total, whole);
}

static void print_cell(const tn_group *group)
{
    char text[64];
    tn_interval interval = tn_wilson(group->correct, group->total, TN_Z95);
    if (group->total > 0)
        snprintf(text, sizeof text, "%6.2f [%5.1f, %5.1f]", tn_group_percent(group), 100 * interval.low, 100 * interval.high);
    else
        snprintf(text, sizeof text, "     -                ");
    tn_app_print(" %*s", COLUMN, text);
}

static void print_row(const score_job *job, const char *name, const tn_group *first, size_t place)
{
    tn_app_print("%-36.36s %6zu", name, first->total);
    for (size_t i = 0; i < job->count; i++) {
        const tn_tally *tally = &job->tallies[i];
        /* Prints the groups of the questions (domains, topics), which are the same for all scorers. */
        print_cell(place == 0 ? &tally->all : &tally->groups[tally->count - place]);
    }
    tn_app_print("\n");
}

/* The index of the first group after those of the scorer's variants. */
static size_t common_groups(const tn_tally *tally)
{
    size_t variants = 0;
    while (tally->scorer->variants != NULL && tally->scorer->variants[variants] != NULL)
        variants++;
    return tally->count - variants;
}

static void print_variants(const tn_tally *tally)
{
    for (size_t i = 0; i + common_groups(tally) < tally->count; i++) {
        tn_app_print("  %s:%s: %.2f %% (%zu of %zu)\n", tally->scorer->name, tally->groups[i].name,
               tn_group_percent(&tally->groups[i]), tally->groups[i].correct, tally->groups[i].total);
    }
}

static void print_tallies(const score_job *job, const char *path, const char *method)
{
    const tn_tally *first = &job->tallies[0];
    tn_app_print("%s%s%s\n%-36s %6s", path, method[0] != '\0' ? ", " : "", method, "", "total");
    for (size_t i = 0; i < job->count; i++)
        tn_app_print(" %*.*s", COLUMN, COLUMN, job->names[i]);
    tn_app_print("\n");
    print_row(job, "all", &first->all, 0);
    for (size_t place = common_groups(first); place > 0; place--) {
        char name[128];
        const tn_group *group = &first->groups[first->count - place];
        print_row(job, tn_group_name(group, name, sizeof name), group, place);
    }
    for (size_t i = 0; i < job->count; i++) {
        const tn_tally *tally = &job->tallies[i];
        tn_app_print("  %s: %zu correct, %zu without an answer\n", job->names[i], tally->all.correct, tally->all.total - tally->found);
        print_variants(tally);
    }
    tn_app_print("\n");
}

/* ------------------------------------------------------------------ JSON -- */

static tenebra_code note_file(score_job *job, const char *path, const char *method, tenebra_error *error)
{
    json_t *scores = json_object(), *file = json_pack("{s:s, s:O}", "file", path, "scores", scores);
    bool fits = file != NULL;
    for (size_t i = 0; i < job->count && fits; i++)
        fits = json_object_set_new(scores, job->names[i], tn_tally_json(&job->tallies[i])) == 0;
    if (method[0] != '\0')
        fits = fits && json_object_set_new(file, "method", json_string(method)) == 0;
    fits = fits && json_array_append(job->files, file) == 0;
    json_decref(scores);
    json_decref(file);
    return fits ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for the scores, or no valid name");
}

static int print_json(score_job *job)
{
    json_t *whole = json_pack("{s:O}", "files", job->files);
    int failed = whole == NULL ? -1 : json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(whole);
    return failed == 0 ? TN_EXIT_OK : TN_EXIT_FAILED;
}

/* --------------------------------------------------------------- scoring -- */

static tenebra_code count_rows(score_job *job, const tn_outputs *outputs, const char *method, tenebra_error *error)
{
    for (size_t i = 0; i < job->count; i++) {
        tn_tally *tally = &job->tallies[i];
        tn_tally_free(tally);
        *tally = (tn_tally){ .scorer = tally->scorer, .variant = tally->variant };
        for (size_t k = 0; k < outputs->count; k++)
            if (strcmp(outputs->rows[k].method, method) == 0)
                TN_TRY(tn_tally_add(tally, &outputs->rows[k].scored, error));
        tn_tally_finish(tally);
    }
    return TENEBRA_OK;
}

/* Whether an earlier row has the method of `row`. */
static bool is_counted(const tn_outputs *outputs, size_t row)
{
    for (size_t i = row; i > 0; i--)
        if (strcmp(outputs->rows[i - 1].method, outputs->rows[row].method) == 0)
            return true;
    return false;
}

/* Files of tenebra name the data set of the questions, which has the options. Without it, only letters are recognised as
 * answers. */
static void reread_with_set(score_job *job, tn_outputs *outputs, const char *path)
{
    tenebra_error error;
    tn_outputs again;
    tn_key *key;
    if (tn_key_open(outputs->split, &key, NULL) == TENEBRA_OK && tn_key_add(key, outputs->place, &error) == TENEBRA_OK) {
        if (tn_outputs_read(&again, path, key, &error) == TENEBRA_OK && again.unknown == 0) {
            tn_outputs_free(outputs);
            *outputs = again;
            job->set = key;
            return;
        }
        tn_outputs_free(&again);
    }
    tn_app_tell("%s: the data set of the questions is not at '%s' any more, so answers by an option's text are not recognised "
                    "(--key SET:DIR)\n", path, outputs->place);
    tn_key_close(key);
}

static tenebra_code score_file(score_job *job, const char *path, tenebra_error *error)
{
    tn_outputs outputs;
    tenebra_code code = tn_outputs_read(&outputs, path, job->key, error);
    if (code == TENEBRA_OK && job->key == NULL && outputs.place != NULL && outputs.place[0] != '\0')
        reread_with_set(job, &outputs, path);
    for (size_t i = 0; i < outputs.count && code == TENEBRA_OK; i++) {
        if (is_counted(&outputs, i))
            continue;
        const char *method = outputs.rows[i].method;
        code = count_rows(job, &outputs, method, error);
        if (code != TENEBRA_OK)
            break;
        tell_losses(job, path, &outputs);
        if (job->json)
            code = note_file(job, path, method, error);
        else
            print_tallies(job, path, method);
    }
    for (size_t i = 0; i < job->count; i++)
        tn_tally_free(&job->tallies[i]);
    tn_outputs_free(&outputs);
    tn_key_close(job->set);
    job->set = NULL;
    return code;
}

static int score_files(score_job *job, int count, char **paths)
{
    int exit_code = TN_EXIT_OK;
    job->files = json_array();
    for (int i = 0; i < count; i++) {
        tenebra_error error;
        if (job->files == NULL || score_file(job, paths[i], &error) == TENEBRA_OK)
            continue;
        tn_app_print_error(&error);
        exit_code = TN_EXIT_FAILED;
    }
    if (job->json && print_json(job) != TN_EXIT_OK)
        exit_code = TN_EXIT_FAILED;
    json_decref(job->files);
    return exit_code;
}

/* ----------------------------------------------------------------- setup -- */

static tenebra_code choose_scorers(score_job *job, tenebra_error *error)
{
    const char *standard = tn_scorer_standard()->name;
    for (const char *name = job->scorers != NULL ? job->scorers : standard; *name != '\0'; name += *name == ',') {
        size_t length = strcspn(name, ",");
        if (job->count == SCORERS_MAX)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "--scorer", "names more than %d scorers", SCORERS_MAX);
        char *copy = job->names[job->count] = strndup(name, length);
        if (copy == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "--scorer", "no memory");
        tn_tally *tally = &job->tallies[job->count++];
        TN_TRY(tn_scorer_choose(copy, &tally->scorer, &tally->variant, error));
        name += length;
    }
    return job->count > 0 ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "--scorer", "names no scorer");
}

static tenebra_code read_keys(score_job *job, tenebra_error *error)
{
    if (job->keys.count == 0)
        return TENEBRA_OK;
    TN_TRY(tn_key_open(job->split, &job->key, error));
    for (size_t i = 0; i < job->keys.count; i++)
        TN_TRY(tn_key_add(job->key, job->keys.items[i], error));
    if (tn_key_count(job->key) > 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, job->keys.items[0], "has no question of the split '%s' (--split)", job->split);
}

static int run(score_job *job, int count, char **paths)
{
    tenebra_error error;
    tenebra_code code = choose_scorers(job, &error);
    if (code == TENEBRA_OK)
        code = read_keys(job, &error);
    int exit_code = code == TENEBRA_OK ? score_files(job, count, paths) : tn_app_fail(&error);
    for (size_t i = 0; i < job->count; i++)
        free(job->names[i]);
    tn_key_close(job->key);
    return exit_code;
}

#define TN_RECORD score_job
static const tn_option option_table[] = {
    TN_TEXT(0, "scorer", scorers, "NAME,...", NULL, "scorers, applied side by side; NAME:VARIANT selects a variant",
            .names = tn_names_of_scorers),
    TN_LIST(0, "key", keys, "FILE|SET:DIR",
            "correct answers: lines {id, answer, ...}, a problems.json, or a data set; repeatable, later keys override"),
    TN_TEXT(0, "split", split, "NAME", "test", "split of the key; 'all' selects every question"),
    TN_SWITCH(0, "json", json, "print JSON to stdout"),
    TN_SWITCH(0, "list", list, "list the scorers"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    score_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_eval_score, &job, argc, argv, &exit_code);
    if (first >= 0 && job.list) {
        print_scorers();
        exit_code = TN_EXIT_OK;
    } else if (first >= 0) {
        exit_code = first < argc ? run(&job, argc - first, argv + first) : tn_command_mistake(&tn_command_eval_score,
                "requires result files");
    }
    free(job.keys.items);
    return exit_code;
}

const tn_command tn_command_eval_score = {
    .name = "eval score",
    .summary = "score result files, also those of other programs",
    .arguments = "FILE...",
    .about = "Scores result files of tenebra and of other programs without running a model. The input can be lines {id, text}, lines\n"
             "with \"messages\" (the last one counts), or one object with \"results\" (indices by id). The correct answers are those in\n"
             "the file, or those of --key. Intervals are Wilson's 95 % intervals.",
    .example = "  tenebra eval score --scorer m3cot,strict --key test.jsonl results.jsonl\n"
               "  tenebra eval score --scorer sqa --key problems.json --json gpt3.json",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
