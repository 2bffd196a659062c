/* tenebra data check: counts, splits, images. */
#include "app/data.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/notes.h"
#include "image/decode.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLAINTS_SHOWN = 5 };

typedef struct check_job {
    const tn_dataset *set;
    const char *place;
    const char *split; /* NULL: all */
    bool subset, no_images, json;
    json_t *made;      /* data/made.json of a generated set, or NULL */
    json_t *report;    /* one object per split                 */
    bool failed;
    tenebra_error last; /* of a split that cannot be read */
} check_job;

/* Reads every image. Counts those that cannot be read, and prints the reason for the first. */
static size_t count_bad_pictures(const tn_data *data, const char *split)
{
    size_t bad = 0;
    double started = tn_clock_ms();
    for (size_t i = 0; i < tn_data_count(data) && !tn_app_interrupted(); i++) {
        const tn_sample *sample = tn_data_sample(data, i);
        for (size_t k = 0; k < sample->image_count; k++) {
            tn_image image;
            tenebra_error error;
            if (tn_image_read(&image, sample->images[k], NULL, false, &error) == TENEBRA_OK)
                tn_image_free(&image);
            else if (bad++ < COMPLAINTS_SHOWN)
                tn_app_print_error(&error);
        }
        if (i % 100 == 99 || i + 1 == tn_data_count(data))
            tn_app_progress(split, i + 1, tn_data_count(data), started);
    }
    return bad;
}

/* The number of rows of a complete split, as generated or as published; 0 if it is not known. */
static size_t expected_rows(const check_job *job, const tn_dataset_split *split, size_t rows)
{
    const json_t *made = json_object_get(json_object_get(job->made, "splits"), split->name);
    json_int_t count = json_integer_value(json_object_get(made, "rows"));
    if (count > 0)
        return (size_t)count;
    return split->rows[1] != 0 && rows == split->rows[1] ? split->rows[1] : split->rows[0];
}

static void report(check_job *job, const tn_dataset_split *split, const tn_data *data, size_t bad)
{
    size_t rows = tn_data_rows(data), expected = expected_rows(job, split, rows);
    bool counted = expected == 0 || rows == expected;
    if (counted && expected == split->rows[0] && split->with_image > 0)
        counted = tn_data_rows_with_image(data) == split->with_image;
    bool good = (counted || job->subset) && bad == 0;
    job->failed |= !good;
    json_array_append_new(job->report,
                          json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "split", split->name, "rows",
                                    (json_int_t)rows, "with_image", (json_int_t)tn_data_rows_with_image(data),
                                    "used", (json_int_t)tn_data_count(data), "expected", (json_int_t)expected,
                                    "bad_images", (json_int_t)bad, "complete", counted, "ok", good));
    if (job->json)
        return;
    tn_app_print("%-10s %7zu rows  %7zu with an image  %5zu unreadable images  ", split->name, rows,
           tn_data_rows_with_image(data), bad);
    if (counted)
        tn_app_print(expected > 0 ? "complete\n" : "no published number\n");
    else
        tn_app_print("%s: a complete split has %zu%s\n", job->subset ? "a part" : "WRONG", expected,
               job->subset ? "" : " (--subset accepts parts)");
}

static void check_split(check_job *job, const tn_dataset_split *split)
{
    const tn_data_options keep_all = { .without_images = true };
    tenebra_error error;
    tn_data *data;
    if (tn_data_open(job->place, split->name, &keep_all, &data, &error) != TENEBRA_OK) {
        bool absent = error.code == TENEBRA_ERROR_IO && job->subset && job->split == NULL;
        bool known = strcmp(error.where, job->last.where) == 0 && strcmp(error.sentence, job->last.sentence) == 0;
        if (!absent && !known) /* what is wrong with all splits is printed once */
            tn_app_print_error(&error);
        job->last = error;
        job->failed |= !absent;
        json_array_append_new(job->report, json_pack("{s:s, s:b, s:s}", "split", split->name, "ok", absent, "error",
                                                     error.sentence));
        if (!job->json)
            tn_app_print("%-10s %s\n", split->name, absent ? "not there" : "CANNOT BE READ");
        return;
    }
    tn_data_print_note(data);
    size_t bad = job->no_images ? 0 : count_bad_pictures(data, split->name);
    report(job, split, data, bad);
    tn_data_close(data);
}

/* Only the numbers of rows are compared. The other keys of `data make` say how the set was made; unknown keys are noted. */
static tenebra_code check_made(const check_job *job, const char *path, tenebra_error *error)
{
    static const char *const known[] = { "set", "seed", "size", "hints", "brief", "wordings", "varied", "families", "looks", "splits",
                                         NULL },
                      *const of_split[] = { "rows", "hash", NULL };
    const char *set = job->set->name, *name;
    tn_notes notes = { 0 };
    char keys[TN_NOTES_TEXT];
    json_t *splits = json_object_get(job->made, "splits"), *split;
    if (!json_is_object(job->made) || !json_is_object(splits))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must contain an object with an object \"splits\"");
    TN_TRY(tn_json_string(job->made, "set", &set, path, error));
    if (strcmp(set, job->set->name) != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, path, "is of the set '%.60s', not of '%s'", set, job->set->name);
    tn_notes_unknown(&notes, job->made, known, TN_MADE_FILE, NULL);
    json_object_foreach(splits, name, split) {
        size_t rows = 0;
        if (tn_dataset_split_find(job->set, name) == NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, path, "names a split '%.60s', which the set does not have", name);
        TN_TRY(tn_json_size(split, "rows", 0, INT32_MAX, &rows, path, error));
        tn_notes_unknown(&notes, split, of_split, TN_MADE_FILE, name);
    }
    if (notes.count > 0)
        tn_app_tell("note       not read: %s\n", tn_notes_print(&notes, keys));
    return TENEBRA_OK;
}

/* job->made stays NULL if the directory has no such file. */
static tenebra_code read_made(check_job *job, const char *directory, tenebra_error *error)
{
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, TN_MADE_FILE));
    if (!tn_path_is_file(path.text))
        return TENEBRA_OK;
    TN_TRY(tn_json_read(path.text, 1 << 20, &job->made, error));
    return check_made(job, path.text, error);
}

static int check_all(check_job *job, const char *directory)
{
    tenebra_error error;
    if (read_made(job, directory, &error) != TENEBRA_OK) {
        json_decref(job->made);
        return tn_app_fail(&error);
    }
    job->report = json_array();
    for (const tn_dataset_split *split = job->set->splits; split->name != NULL; split++) {
        const json_t *splits = json_object_get(job->made, "splits");
        bool made_without = job->made != NULL && json_object_get(splits, split->name) == NULL;
        bool is_part = split->of != NULL; /* its rows belong to another split, which is checked */
        if (job->split != NULL ? split == tn_dataset_split_find(job->set, job->split) : !made_without && !is_part)
            check_split(job, split);
    }
    int exit_code = job->failed ? TN_EXIT_FAILED : TN_EXIT_OK;
    if (job->json && tn_data_print(json_pack("{s:s, s:b, s:O}", "set", job->set->name, "ok", !job->failed, "splits",
                                             job->report)) != TN_EXIT_OK)
        exit_code = TN_EXIT_FAILED;
    json_decref(job->report);
    json_decref(job->made);
    return exit_code;
}

#define TN_RECORD check_job
static const tn_option option_table[] = {
    TN_TEXT(0, "split", split, "NAME", NULL, "check only this split (default: all)"),
    TN_SWITCH(0, "subset", subset, "accept splits that are incomplete or missing"),
    TN_SWITCH(0, "no-images", no_images, "do not read the images"),
    TN_SWITCH(0, "json", json, "print JSON to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    check_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_data_check, &job, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first != 1)
        return tn_command_mistake(&tn_command_data_check, "requires one NAME:DIR");
    job.place = argv[first];
    const char *target;
    tenebra_error error;
    if (tn_dataset_choose(job.place, &job.set, &target, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    if (job.split != NULL && tn_dataset_split_find(job.set, job.split) == NULL)
        return tn_command_mistake(&tn_command_data_check, "the set has no such split; 'tenebra data list' lists the names");
    tn_app_catch_interrupts();
    return check_all(&job, target);
}

const tn_command tn_command_data_check = {
    .name = "data check",
    .summary = "compare a data set with its published size, and read its images",
    .arguments = "NAME:DIR",
    .about = "Reads every split and every image, and compares the numbers of rows with the published ones (for a generated set: with\n"
             "those that were generated). An incomplete split is a failure, because scores on it cannot be compared with others.",
    .example = "  tenebra data check scienceqa:/data/ScienceQA --split test",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
