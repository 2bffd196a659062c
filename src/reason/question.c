#include "reason/question.h"

#include <stdlib.h>
#include <string.h>

static tenebra_code check(const tenebra_question *question, tenebra_error *error)
{
    if (question->text == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "question", "has no text");
    if ((question->image_count > 0 && question->images == NULL) || (question->choice_count > 0 && question->choices == NULL))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "question", "its images or choices are missing");
    if (question->choice_count > TN_CHOICES_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "choices", "there are %zu; at most %d have a letter", question->choice_count,
                       TN_CHOICES_MAX);
    for (size_t i = 0; i < question->image_count; i++)
        if (question->images[i] == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "question", "image %zu has no path", i + 1);
    for (size_t i = 0; i < question->choice_count; i++)
        if (question->choices[i] == NULL || question->choices[i][strspn(question->choices[i], " \t\r\n")] == '\0')
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "question", "choice %zu has no text", i + 1);
    return TENEBRA_OK;
}

/* Images, then the unchanged text. */
static tenebra_code write_plain(tn_question *written, const tenebra_question *question, tenebra_error *error)
{
    written->parts = calloc(question->image_count + 1, sizeof *written->parts);
    if (written->parts == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "question", "no memory for its parts");
    for (size_t i = 0; i < question->image_count; i++)
        written->parts[i] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = question->images[i] };
    written->parts[question->image_count] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = question->text };
    written->turns[written->turn_count++] = (tenebra_message){ "user", written->parts, question->image_count + 1 };
    return TENEBRA_OK;
}

static tenebra_code write_worded(tn_question *written, const tenebra_question *question, const tn_prompt_preset *preset,
                                 tenebra_error *error)
{
    const tn_sample sample = { .id = "question", .question = question->text, .context = "", .options = question->choices,
                               .option_count = question->choice_count, .images = question->images,
                               .image_count = question->image_count };
    TN_TRY(tn_asked_write(&written->asked, preset, &sample, error));
    written->turns[written->turn_count++] = written->asked.message;
    return TENEBRA_OK;
}

tenebra_code tn_question_write(tn_question *written, const tenebra_question *question, const tn_prompt_preset *standard,
                               tenebra_error *error)
{
    *written = (tn_question){ 0 };
    TN_TRY(check(question, error));
    const tn_prompt_preset *preset = standard;
    if (question->preset != NULL)
        TN_TRY(tn_prompt_choose(question->preset, &preset, error));
    if (question->system != NULL) {
        written->system = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = question->system };
        written->turns[written->turn_count++] = (tenebra_message){ "system", &written->system, 1 };
    }
    tenebra_code code = question->preset != NULL || question->choice_count > 0 ? write_worded(written, question, preset, error)
                                                                               : write_plain(written, question, error);
    if (code != TENEBRA_OK)
        tn_question_free(written);
    return code;
}

void tn_question_free(tn_question *written)
{
    free(written->parts);
    tn_asked_free(&written->asked);
    *written = (tn_question){ 0 };
}
