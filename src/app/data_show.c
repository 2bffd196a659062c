/* tenebra data show: prints samples as a model gets them. */
#include "app/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct show_job {
    const char *split, *ids, *wording;
    size_t limit;
    tn_data_options data_options;
    const tn_prompt_preset *preset; /* the preset named `wording` */
    size_t groups;
    bool json;
} show_job;

/* A sample with its prompt, steps and answer. */
typedef struct view {
    const tn_sample *sample;
    tn_prompt prompt;
    tn_steps steps;
    char *answer;
} view;

static void free_view(view *shown)
{
    tn_prompt_free(&shown->prompt);
    tn_steps_free(&shown->steps);
    free(shown->answer);
}

static tenebra_code prepare(const show_job *job, const tn_sample *sample, view *shown, tenebra_error *error)
{
    memset(shown, 0, sizeof *shown);
    shown->sample = sample;
    TN_TRY(tn_prompt_write(&shown->prompt, job->preset, sample, error));
    TN_TRY(tn_steps_split(&shown->steps, sample->rationale, job->groups, error));
    return tn_prompt_answer(job->preset, sample, &shown->answer, error);
}

static json_t *as_list(const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

static json_t *as_json(const show_job *job, const view *shown)
{
    const tn_sample *sample = shown->sample;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:s, s:s, s:I, s:o, s:s, s:o}",
                     "id", sample->id, "split", sample->split, "domain", sample->domain, "topic", sample->topic,
                     "category", sample->category, "subject", sample->subject, "grade", sample->grade, "question",
                     sample->question, "context", sample->context, "rationale", sample->rationale, "label",
                     sample->label, "options", as_list(sample->options, sample->option_count), "images",
                     as_list(sample->images, sample->image_count), "gold",
                     sample->option_count > 0 ? (json_int_t)sample->answer : (json_int_t)-1, "prompt",
                     shown->prompt.text, "preset", job->preset->name, "image_at",
                     (json_int_t)shown->prompt.image_at, "steps", as_list(shown->steps.items, shown->steps.count), "answer", shown->answer,
                     "regions", tn_regions_write(sample));
}

static void print_text(const view *shown)
{
    const tn_sample *sample = shown->sample;
    const char *const places[][2] = { { "split", sample->split },       { "domain", sample->domain },
                                      { "topic", sample->topic },       { "category", sample->category },
                                      { "subject", sample->subject },   { "grade", sample->grade } };
    tn_app_print("== %s", sample->id);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i][1][0] != '\0')
            tn_app_print("  %s %s", places[i][0], places[i][1]);
    tn_app_print("\n");
    for (size_t i = 0; i < sample->image_count; i++)
        tn_app_print("image   %s (before byte %zu of the prompt)\n", sample->images[i], shown->prompt.image_at);
    for (size_t i = 0; i < sample->region_count; i++) {
        const double *box = sample->regions[i].box;
        tn_app_print("region  %.4g %.4g to %.4g %.4g of the image, after %zu steps\n", box[0], box[1], box[2], box[3],
                     sample->regions[i].after);
    }
    tn_app_print("-- prompt\n%s\n-- steps\n", shown->prompt.text);
    for (size_t i = 0; i < shown->steps.count; i++)
        tn_app_print("%zu. %s\n", i + 1, shown->steps.items[i]);
    tn_app_print("-- answer\n%s\n\n", shown->answer);
}

static int show_sample(const show_job *job, const tn_sample *sample)
{
    view shown;
    tenebra_error error;
    int exit_code = TN_EXIT_OK;
    if (prepare(job, sample, &shown, &error) != TENEBRA_OK)
        exit_code = tn_app_fail(&error);
    else if (job->json)
        exit_code = tn_data_print(as_json(job, &shown));
    else
        print_text(&shown);
    free_view(&shown);
    return exit_code;
}

/* Whether `id` is one of the words of "a,b,c". */
static bool is_asked(const char *ids, const char *id)
{
    size_t length = strlen(id);
    for (const char *at = ids; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, id, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static int show_samples(const show_job *job, const tn_data *data, const char *ids, size_t limit)
{
    size_t count = 0;
    int exit_code = TN_EXIT_OK;
    for (size_t i = 0; i < tn_data_count(data) && exit_code == TN_EXIT_OK; i++) {
        const tn_sample *sample = tn_data_sample(data, i);
        if (ids != NULL ? !is_asked(ids, sample->id) : count >= limit)
            continue;
        exit_code = show_sample(job, sample);
        count++;
    }
    if (count == 0 && ids != NULL) {
        tn_app_tell("tenebra data show: no sample of the split is called '%s'\n", ids);
        return TN_EXIT_FAILED;
    }
    if (tn_data_count(data) == 0)
        tn_app_tell("note: this split has no samples; --split names another\n");
    return exit_code;
}

#define TN_RECORD show_job
static const tn_option option_table[] = {
    TN_TEXT(0, "split", split, "NAME", "train", "split of the data set"),
    TN_TEXT(0, "ids", ids, "LIST", NULL, "show only the samples with these ids, separated by commas"),
    TN_SIZE(0, "limit", limit, "N", "3", 0, 1e9, "number of samples to show if no ids are given"),
    TN_WORD(0, "preset", wording, "NAME", NULL, "wording of the prompt (default: the first in 'tenebra data list')",
            .names = tn_names_of_presets),
    TN_SIZE(0, "groups", groups, "N", "3", 0, 1e9, "merge a rationale into at most N steps; 0: no limit"),
    TN_SWITCH(0, "without-images", data_options.without_images, "also show samples without an image"),
    TN_SWITCH(0, "json", json, "print one JSON object per line"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    show_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_data_show, &job, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first != 1)
        return tn_command_mistake(&tn_command_data_show, "requires one NAME:DIR");
    job.preset = tn_prompt_find(job.wording != NULL ? job.wording : tn_prompt_presets[0].name);
    tenebra_error error;
    tn_data *data;
    if (tn_data_open(argv[first], job.split, &job.data_options, &data, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    exit_code = show_samples(&job, data, job.ids, job.limit);
    tn_data_print_note(data);
    tn_data_close(data);
    return exit_code;
}

const tn_command tn_command_data_show = {
    .name = "data show",
    .summary = "show samples: prompt, steps, answer",
    .arguments = "NAME:DIR",
    .about = "Prints samples as a model gets them: the prompt, the steps that it is trained on, and the answer.",
    .example = "  tenebra data show hops:/tmp/looks --split test --limit 2 --preset ivtlr-infer",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
