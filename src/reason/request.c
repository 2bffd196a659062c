/* Checks a request: every pointer and text is checked before it is used. */
#include "reason/parts.h"

#include "text/utf8.h"

#include <string.h>

static tenebra_code mistake(tenebra_error *error, const char *where, const char *sentence)
{
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "%s", sentence);
}

static bool is_text(const char *text)
{
    return text != NULL && tn_utf8_valid(text, strlen(text));
}

static tenebra_code check_part(const tenebra_part *part, tenebra_error *error)
{
    bool sized = part->resized_width > 0 || part->resized_height > 0, bounded = part->min_pixels > 0 || part->max_pixels > 0;
    if (part->kind == TENEBRA_PART_TEXT && (sized || bounded))
        return mistake(error, "message", "a text part has sizes of an image");
    if (sized && (part->resized_width == 0 || part->resized_height == 0 || bounded))
        return mistake(error, "image", "a part requires resized_width and resized_height together, without min_pixels or max_pixels");
    switch (part->kind) {
    case TENEBRA_PART_TEXT:
        if (part->text == NULL)
            return mistake(error, "message", "a text part has no text");
        return tn_utf8_valid(part->text, part->length > 0 ? part->length : strlen(part->text))
                   ? TENEBRA_OK : mistake(error, "message", "contains a text that is not UTF-8");
    case TENEBRA_PART_IMAGE_FILE:
        return part->text ? TENEBRA_OK : mistake(error, "image", "an image part names no file");
    case TENEBRA_PART_IMAGE_BYTES:
        return part->bytes && part->length > 0 ? TENEBRA_OK : mistake(error, "image", "an image part has no bytes");
    default:
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "message", "there is no kind of part with number %d", (int)part->kind);
    }
}

static tenebra_code check_message(const tenebra_message *message, tenebra_error *error)
{
    const char *role = message->role ? message->role : "";
    if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0 && strcmp(role, TN_ROLE_BARE) != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "role", "'%s' is not one of system, user, assistant, bare", role);
    if (message->part_count > 0 && message->parts == NULL)
        return mistake(error, "message", "its parts are missing");
    for (size_t p = 0; p < message->part_count; p++)
        TN_TRY(check_part(&message->parts[p], error));
    return TENEBRA_OK;
}

static tenebra_code check_settings(const tenebra_request *request, tenebra_error *error)
{
    if (request->setting_count > 0 && request->settings == NULL)
        return mistake(error, "settings", "are missing");
    for (size_t s = 0; s < request->setting_count; s++) {
        const tenebra_setting *setting = &request->settings[s];
        if (setting->name == NULL)
            return mistake(error, "settings", "one has no name");
        if (!is_text(setting->value))
            return mistake(error, setting->name, "has no value, or one that is not UTF-8");
    }
    return TENEBRA_OK;
}

static tenebra_code check_example(const tenebra_example *example, tenebra_error *error)
{
    if (example->part_count > 0 && example->parts == NULL)
        return mistake(error, "example", "its parts are missing");
    for (size_t p = 0; p < example->part_count; p++)
        TN_TRY(check_part(&example->parts[p], error));
    const char *const texts[] = { example->answer, example->label, example->rationale, example->scene_graph };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] != NULL && !is_text(texts[i]))
            return mistake(error, "example", "contains a text that is not UTF-8");
    return example->answer != NULL ? TENEBRA_OK : mistake(error, "example", "has no answer");
}

static tenebra_code check_inputs(const tenebra_request *request, tenebra_error *error)
{
    if (request->input_count > 0 && request->inputs == NULL)
        return mistake(error, "inputs", "are missing");
    for (size_t i = 0; i < request->input_count; i++) {
        const tenebra_input *input = &request->inputs[i];
        if (input->name == NULL)
            return mistake(error, "inputs", "one has no name");
        if (input->rows > 0 && input->columns > 0 && input->values == NULL)
            return mistake(error, input->name, "has no values");
    }
    return TENEBRA_OK;
}

/* A stop text that is not complete UTF-8 could split a character of the answer. */
static tenebra_code check_stops(const tenebra_request *request, tenebra_error *error)
{
    if (request->stop_count > 0 && request->stops == NULL)
        return mistake(error, "stop", "the stop texts are missing");
    for (size_t s = 0; s < request->stop_count; s++)
        if (!is_text(request->stops[s]) || request->stops[s][0] == '\0')
            return mistake(error, "stop", "a stop text must be UTF-8 and not empty");
    return TENEBRA_OK;
}

tenebra_code tn_request_check(const tenebra_request *request, tenebra_error *error)
{
    if (!(request->sampling.temperature >= 0 && request->sampling.temperature < HUGE_VAL) ||
        !(request->sampling.top_p >= 0 && request->sampling.top_p <= 1))
        return mistake(error, "sampling", "the temperature must be at least 0 and finite, and top-p between 0 and 1");
    if (request->lens > TN_LENS_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lens", "at most %d tokens can be read from a latent", TN_LENS_MAX);
    if (request->message_count > 0 && request->messages == NULL)
        return mistake(error, "messages", "are missing");
    for (size_t m = 0; m < request->message_count; m++)
        TN_TRY(check_message(&request->messages[m], error));
    TN_TRY(check_settings(request, error));
    TN_TRY(check_inputs(request, error));
    if (request->example != NULL)
        TN_TRY(check_example(request->example, error));
    if (request->answer_turn != NULL && !is_text(request->answer_turn))
        return mistake(error, "answer-turn", "is not UTF-8");
    if (request->forced_count > 0 && request->forced == NULL)
        return mistake(error, "forced", "the tokens are missing");
    return check_stops(request, error);
}
