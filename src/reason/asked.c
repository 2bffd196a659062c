#include "reason/asked.h"

#include "text/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tenebra_code tn_asked_write(tn_asked *asked, const tn_prompt_preset *preset, const tn_sample *sample, tenebra_error *error)
{
    *asked = (tn_asked){ 0 };
    TN_TRY(tn_prompt_write(&asked->prompt, preset, sample, error));
    asked->parts = calloc(sample->image_count + 2, sizeof *asked->parts);
    if (asked->parts == NULL) {
        tn_asked_free(asked);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for its parts");
    }
    size_t count = 0, front = asked->prompt.image_at;
    if (front > 0)
        asked->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = asked->prompt.text, .length = front };
    for (size_t i = 0; i < sample->image_count; i++)
        asked->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = sample->images[i] };
    if (asked->prompt.length > front)
        asked->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = asked->prompt.text + front,
                                                .length = asked->prompt.length - front };
    asked->message = (tenebra_message){ preset->bare ? TN_ROLE_BARE : "user", asked->parts, count };
    asked->letters = preset->options != NULL ? sample->option_count : 0;
    return TENEBRA_OK;
}

void tn_asked_free(tn_asked *asked)
{
    tn_prompt_free(&asked->prompt);
    free(asked->parts);
    *asked = (tn_asked){ 0 };
}

bool tn_wording_setting(const tn_prompt_preset *wording, const char *method, const tenebra_setting *settings, size_t count,
                        char text[TN_SETTING_TEXT_SIZE], tenebra_setting *setting)
{
    if (wording == NULL || wording->picks == 0 || !tn_setting_that_means(method, TN_MEANS_PICKS, wording->picks, text, setting))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, setting->name) == 0)
            return false;
    return true;
}

tenebra_request tn_asked_request(const tn_asked *asked)
{
    return (tenebra_request){ .size = sizeof(tenebra_request), .messages = &asked->message, .message_count = 1,
                              .ignore_orientation = true };
}

void tn_answer_turn_write(char text[TN_ANSWER_TURN_SIZE], size_t options)
{
    enum { OPTIONS_MAX = 26 };
    size_t count = options < OPTIONS_MAX ? options : OPTIONS_MAX;
    int end = snprintf(text, TN_ANSWER_TURN_SIZE, count > 0 ? "Which of the options" : "What is your answer? Say only that.");
    for (size_t i = 0; i < count; i++)
        end += snprintf(text + end, TN_ANSWER_TURN_SIZE - (size_t)end, "%s (%c)", i > 0 ? "," : "", (int)('A' + i));
    if (count > 0)
        snprintf(text + end, TN_ANSWER_TURN_SIZE - (size_t)end, " is your answer? Say only its letter.");
}
