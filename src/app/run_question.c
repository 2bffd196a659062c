#include "app/run_question.h"

#include "app/input.h"
#include "base/json.h"
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT_LIMIT = 64 << 20 };

const char *tn_run_question_mistake(const tn_run_question *question)
{
    bool simple = question->prompt != NULL || question->images.count > 0 || question->system != NULL ||
                  question->choices.count > 0 || question->preset != NULL;
    if (question->messages != NULL && simple)
        return "--messages replaces -p, --image, --choice, --preset and --system; do not combine them";
    if (question->prompt != NULL && question->prompt[strspn(question->prompt, " \t\r\n")] == '\0')
        return "the question is empty; ask something with -p";
    if (question->choices.count == 1)
        return "there is only one --choice; give at least two, from which the model selects its answer";
    if (question->choices.count > TN_CHOICES_MAX)
        return "--choice can be given at most 26 times, once for each letter";
    size_t from_stdin = question->messages == NULL && (question->prompt == NULL || strcmp(question->prompt, "-") == 0);
    for (size_t i = 0; i < question->images.count; i++)
        from_stdin += strcmp(question->images.items[i], "-") == 0;
    if (from_stdin > 1)
        return "stdin can be one image (--image -) or the question (no -p, or -p -), not both";
    return NULL;
}

/* --------------------------------------------------------------- simple -- */

/* All of stdin without the final line end, so that `echo Q |` asks the same as -p Q. The caller frees it. */
static tenebra_code read_stdin(char **text, tenebra_error *error)
{
    size_t length;
    TN_TRY(tn_input_read("-", PROMPT_LIMIT, text, &length, error));
    length -= length > 0 && (*text)[length - 1] == '\n';
    length -= length > 0 && (*text)[length - 1] == '\r';
    (*text)[length] = '\0';
    if (length == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "stdin", "contains no question; ask something with -p");
    if (strlen(*text) < length)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "stdin", "is not text: it contains a zero byte");
    return TENEBRA_OK;
}

/* Images from stdin or a pipe: their bytes replace the path. */
static tenebra_code read_streams(tn_run_question *question, tenebra_error *error)
{
    tenebra_part *parts = question->written.parts != NULL ? question->written.parts : question->written.asked.parts;
    const tenebra_message *turn = &question->written.turns[question->written.turn_count - 1];
    question->streams = calloc(question->images.count + 1, sizeof *question->streams);
    if (question->streams == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory");
    for (size_t p = 0; p < turn->part_count; p++) {
        tenebra_part *part = &parts[p];
        char **bytes = &question->streams[question->stream_count];
        if (part->kind != TENEBRA_PART_IMAGE_FILE || !tn_input_is_stream(part->text))
            continue;
        const char *name = strcmp(part->text, "-") == 0 ? "stdin" : part->text;
        TN_TRY(tn_input_read(part->text, tn_image_limits_default().max_bytes, bytes, &part->length, error));
        question->stream_count++;
        if (part->length == 0)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "contains no image: it is empty");
        part->kind = TENEBRA_PART_IMAGE_BYTES;
        part->bytes = *bytes;
        part->text = name;
    }
    return TENEBRA_OK;
}

static tenebra_code open_simple(tn_run_question *question, const tn_prompt_preset *standard, tenebra_error *error)
{
    const char *prompt = question->prompt;
    if (prompt == NULL || strcmp(prompt, "-") == 0) {
        if (prompt == NULL && isatty(STDIN_FILENO))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "prompt", "ask something with -p");
        TN_TRY(read_stdin(&question->input, error));
        prompt = question->input;
    }
    question->text = prompt;
    const tenebra_question asked = { .text = prompt, .images = question->images.items, .image_count = question->images.count,
                                     .choices = question->choices.items, .choice_count = question->choices.count,
                                     .preset = question->preset, .system = question->system };
    TN_TRY(tn_question_write(&question->written, &asked, standard, error));
    question->turns = question->written.turns;
    question->turn_count = question->written.turn_count;
    return read_streams(question, error);
}

/* ------------------------------------------------------------- messages -- */

static tenebra_code open_messages(tn_run_question *question, tenebra_error *error)
{
    const char *name = strcmp(question->messages, "-") == 0 ? "stdin" : question->messages;
    if (tn_input_is_stream(question->messages)) {
        size_t length;
        TN_TRY(tn_input_read(question->messages, PROMPT_LIMIT, &question->input, &length, error));
        TN_TRY(tn_json_parse(question->input, length, name, &question->json, error));
    } else {
        TN_TRY(tn_json_read(question->messages, PROMPT_LIMIT, &question->json, error));
    }
    tenebra_code code = tn_messages_read(&question->given, question->json, name, error);
    question->turns = question->given.turns;
    question->turn_count = question->given.turn_count;
    return code;
}

/* --------------------------------------------------------------- either -- */

tenebra_code tn_run_question_open(tn_run_question *question, const tn_prompt_preset *standard, tenebra_error *error)
{
    return question->messages != NULL ? open_messages(question, error) : open_simple(question, standard, error);
}

void tn_run_question_note_scope(const tn_scope *scope, const tenebra_message *turns, size_t turn_count, const char *where)
{
    bool fits = tn_scope_fits(scope, ""), pictured = false; /* without words, any question fits, also one without a text */
    const char *unlearned = NULL, *about = scope->about != NULL ? scope->about : "";
    for (size_t t = 0; t < turn_count; t++)
        for (size_t p = 0; p < turns[t].part_count; p++) {
            const tenebra_part *part = &turns[t].parts[p];
            pictured |= part->kind != TENEBRA_PART_TEXT;
            if (part->kind != TENEBRA_PART_TEXT)
                continue;
            fits |= tn_scope_fits(scope, part->text);
            unlearned = unlearned != NULL ? unlearned : tn_scope_unlearned(scope, part->text);
        }
    if (!fits)
        tn_app_tell("%sthe question has none of the words that this model was made for%s%s\n", where,
                    about[0] != '\0' ? "; it answers " : "", about);
    else if (unlearned != NULL)
        tn_app_tell("%sthis model did not learn %s; the answer is a guess\n", where, unlearned);
    else if (!pictured && scope->json != NULL)
        tn_app_tell("%sthe question has no image; the answer is a guess\n", where);
}

void tn_run_question_free(tn_run_question *question)
{
    tn_messages_free(&question->given);
    tn_question_free(&question->written);
    for (size_t i = 0; i < question->stream_count; i++)
        free(question->streams[i]);
    free(question->streams);
    free(question->input);
    json_decref(question->json);
    free(question->images.items);
    free(question->choices.items);
    *question = (tn_run_question){ 0 };
}
