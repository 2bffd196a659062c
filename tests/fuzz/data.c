/* Fuzz target: the files of data sets, and the prompts made from their samples.
 *
 * The first byte chooses the set, the second its split; the rest is the set's main file. What a reader accepts must be
 * usable: answers among the options, texts that are not NULL, and prompts and steps that can be written. */
#include "data/dataset.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void write_prompts(const tn_sample *sample)
{
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++) {
        tn_prompt prompt;
        require(tn_prompt_write(&prompt, preset, sample, NULL) == TENEBRA_OK);
        require(strlen(prompt.text) == prompt.length && prompt.image_at <= prompt.length);
        tn_prompt_free(&prompt);
        char *answer;
        tn_prompt_answer(preset, sample, &answer, NULL);
        require(answer != NULL && (preset->in_words || strstr(answer, sample->label) != NULL));
        free(answer);
    }
}

static void cut_steps(const tn_sample *sample)
{
    for (size_t groups = 0; groups < 5; groups++) {
        tn_steps steps;
        size_t total = 0;
        require(tn_steps_split(&steps, sample->rationale, groups, NULL) == TENEBRA_OK);
        require(groups == 0 || steps.count <= groups);
        for (size_t i = 0; i < steps.count; i++)
            total += strlen(steps.items[i]);
        require(tn_steps_within(&steps, steps.pieces) == steps.count);
        require(total <= strlen(sample->rationale));
        tn_steps_free(&steps);
    }
}

/* `own`: rows of the user's own file, whose images may be anywhere. */
static void check_sample(const tn_sample *sample, bool own)
{
    const char *const texts[] = { sample->id,      sample->question, sample->context, sample->label,  sample->rationale,
                                  sample->lecture, sample->solution, sample->split,   sample->domain, sample->topic,
                                  sample->category, sample->subject, sample->grade,   sample->skill,  sample->task };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        require(texts[i] != NULL);
    require(sample->id[0] != '\0' && sample->question[0] != '\0' && sample->label[0] != '\0');
    require(sample->option_count == 0 || sample->answer < sample->option_count);
    require(sample->option_count <= TN_DATA_OPTIONS_MAX && sample->image_count <= TN_DATA_IMAGES_MAX);
    for (size_t i = 0; i < sample->image_count; i++)
        require(own || (strncmp(sample->images[i], "/set/", 5) == 0 && strstr(sample->images[i], "/../") == NULL));
    require(sample->region_count <= TN_DATA_REGIONS_MAX && (sample->region_count == 0 || sample->image_count > 0));
    for (size_t i = 0; i < sample->region_count; i++) {
        const double *box = sample->regions[i].box;
        require(0 <= box[0] && box[0] < box[2] && box[2] <= 1 && 0 <= box[1] && box[1] < box[3] && box[3] <= 1);
        require(i == 0 || sample->regions[i].after >= sample->regions[i - 1].after);
    }
    write_prompts(sample);
    cut_steps(sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    size_t sets = 0, splits = 0;
    while (tn_datasets[sets] != NULL)
        sets++;
    const tn_dataset *set = tn_datasets[bytes[0] % sets];
    while (set->splits[splits].name != NULL)
        splits++;
    tn_data_options options = { .without_images = (bytes[1] & 0x80) != 0 };
    tenebra_error error = { 0 };
    tn_data *data;
    tn_data_new(set, "/set", set->splits[bytes[1] % 0x80 % splits].name, &options, &data, &error);
    require(data != NULL);
    tenebra_code code = set->parse(data, bytes + 2, size - 2, "input", &error);
    if (code == TENEBRA_OK)
        code = tn_data_seal(data, &error);
    require(code == error.code);
    for (size_t i = 0; i < tn_data_count(data) && code == TENEBRA_OK; i++)
        check_sample(tn_data_sample(data, i), strcmp(set->name, "jsonl") == 0);
    tn_data_close(data);
    return 0;
}
