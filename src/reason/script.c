/* The conversation of a pass: the request's messages, possibly after a solved example, with the additions of methods. */
#include "reason/parts.h"

#include <string.h>

/* -------------------------------------------------------------- opening -- */

size_t tn_request_system_count(const tenebra_request *request)
{
    size_t count = 0;
    while (count < request->message_count && strcmp(request->messages[count].role, "system") == 0)
        count++;
    return count;
}

/* A message from the request's parts; an image occurs twice if the method shows both the original and the drawn one. */
static tenebra_code copy_message(tn_reasoner *reasoner, const char *role, const tenebra_part *from, size_t count,
                                 tn_chat_message *to, tenebra_error *error)
{
    bool twice = tn_reasoner_shows_both(reasoner);
    tn_chat_part *parts = tn_reasoner_take(reasoner, 2 * count + 1, sizeof *parts);
    size_t made = 0;
    if (parts == NULL)
        return tn_fail_session_full(error);
    for (size_t p = 0; p < count; p++) {
        bool text = from[p].kind == TENEBRA_PART_TEXT;
        parts[made++] = (tn_chat_part){ .is_image = !text,
                                        .text = text ? from[p].text : NULL,
                                        .length = !text            ? 0
                                                  : from[p].length ? from[p].length
                                                                   : strlen(from[p].text) };
        if (!text && twice)
            parts[made++] = (tn_chat_part){ .is_image = true };
    }
    *to = (tn_chat_message){ .role = role, .parts = parts, .part_count = made };
    return TENEBRA_OK;
}

/* Writes the reply of the example as the method requires. */
static const char *usual_reply(tn_reasoner *reasoner)
{
    const tenebra_example *example = reasoner->request->example;
    bool reasoned =
        reasoner->method->reply == TN_REPLY_REASONED && example->rationale != NULL && example->rationale[0] != '\0';
    const char *const texts[] = { example->rationale, "\n", example->answer, NULL };
    return tn_reasoner_join(reasoner, reasoned ? texts : texts + 2);
}

static tenebra_code add_example(tn_script *script, tenebra_error *error)
{
    tn_reasoner *reasoner = script->reasoner;
    const tenebra_example *example = reasoner->request->example;
    tn_chat_part *reply = tn_reasoner_take(reasoner, 1, sizeof *reply);
    const char *text = usual_reply(reasoner);
    if (reply == NULL || text == NULL)
        return tn_fail_session_full(error);
    script->has_example = true;
    script->example = script->message_count;
    script->messages[script->message_count + 1] =
        (tn_chat_message){ .role = "assistant", .parts = reply, .part_count = 1 };
    TN_TRY(
        copy_message(reasoner, "user", example->parts, example->part_count, &script->messages[script->example], error));
    script->message_count += 2;
    tn_script_reply(script, text);
    return TENEBRA_OK;
}

tenebra_code tn_script_open(tn_script *script, tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    size_t front = tn_request_system_count(request);
    *script = (tn_script){ .reasoner = reasoner };
    script->messages = tn_reasoner_take(reasoner, request->message_count + 2, sizeof *script->messages);
    if (script->messages == NULL)
        return tn_fail_session_full(error);
    for (size_t m = 0; m < request->message_count; m++) {
        const tenebra_message *from = &request->messages[m];
        if (m == front && request->example != NULL)
            TN_TRY(add_example(script, error));
        TN_TRY(copy_message(reasoner, from->role, from->parts, from->part_count,
                            &script->messages[script->message_count], error));
        script->message_count++;
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- changing -- */

const char *tn_reasoner_join(tn_reasoner *reasoner, const char *const *texts)
{
    size_t length = 0, end = 0;
    for (size_t i = 0; texts[i] != NULL; i++)
        length += strlen(texts[i]);
    char *joined = tn_reasoner_take(reasoner, length + 1, 1);
    for (size_t i = 0; joined != NULL && texts[i] != NULL; i++) {
        memcpy(joined + end, texts[i], strlen(texts[i]));
        end += strlen(texts[i]);
    }
    return joined;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *tn_reasoner_strip(tn_reasoner *reasoner, const char *text)
{
    while (is_space(*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && is_space(text[length - 1]))
        length--;
    char *copy = tn_reasoner_take(reasoner, length + 1, 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

const char *tn_reasoner_one_line(tn_reasoner *reasoner, const char *text)
{
    char *copy = tn_reasoner_take(reasoner, strlen(text) + 1, 1);
    size_t length = 0;
    for (; copy != NULL && *text != '\0'; text++) {
        bool blank = is_space(*text);
        if (!blank || (length > 0 && copy[length - 1] != ' '))
            copy[length++] = blank ? ' ' : *text;
    }
    if (length > 0 && copy[length - 1] == ' ')
        copy[length - 1] = '\0';
    return copy;
}

tenebra_code tn_script_add_message(tn_script *script, const tn_chat_message *message, tenebra_error *error)
{
    tn_chat_message *messages = tn_reasoner_take(script->reasoner, script->message_count + 1, sizeof *messages);
    if (messages == NULL)
        return tn_fail_session_full(error);
    if (script->message_count > 0)
        memcpy(messages, script->messages, script->message_count * sizeof *messages);
    messages[script->message_count++] = *message;
    script->messages = messages;
    return TENEBRA_OK;
}

/* Inserts text into a message as part number `at`. */
static tenebra_code insert_text(tn_script *script, tn_chat_message *message, size_t at, const char *text,
                                tenebra_error *error)
{
    tn_chat_part *parts = tn_reasoner_take(script->reasoner, message->part_count + 1, sizeof *parts);
    if (parts == NULL)
        return tn_fail_session_full(error);
    for (size_t p = 0; p < message->part_count; p++)
        parts[p + (p >= at)] = message->parts[p];
    parts[at] = (tn_chat_part){ .text = text, .length = strlen(text) };
    message->parts = parts;
    message->part_count++;
    return TENEBRA_OK;
}

/* The user's last message. Errors: ARGUMENT (there is none). */
static tenebra_code find_question(tn_script *script, tn_chat_message **question, tenebra_error *error)
{
    size_t last = script->message_count;
    while (last > 0 && strcmp(script->messages[last - 1].role, "user") != 0 && strcmp(script->messages[last - 1].role, TN_ROLE_BARE) != 0)
        last--;
    if (last == 0 || (script->has_example && last - 1 == script->example))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "message", "there is no message of the user to add to");
    *question = &script->messages[last - 1];
    return TENEBRA_OK;
}

tenebra_code tn_script_add(tn_script *script, const char *text, const char *example, tenebra_error *error)
{
    tn_chat_message *question;
    TN_TRY(find_question(script, &question, error));
    TN_TRY(insert_text(script, question, question->part_count, text, error));
    if (!script->has_example || example == NULL)
        return TENEBRA_OK;
    tn_chat_message *shown = &script->messages[script->example];
    return insert_text(script, shown, shown->part_count, example, error);
}

tenebra_code tn_script_add_cue(tn_script *script, const char *text, tenebra_error *error)
{
    return tn_script_add(script, text, text, error);
}

/* The index of the first part that is text; the number of parts if there is none. */
static size_t first_text(const tn_chat_message *message)
{
    size_t at = 0;
    while (at < message->part_count && message->parts[at].is_image)
        at++;
    return at;
}

tenebra_code tn_script_add_before(tn_script *script, const char *text, const char *example, tenebra_error *error)
{
    tn_chat_message *question;
    TN_TRY(find_question(script, &question, error));
    TN_TRY(insert_text(script, question, first_text(question), text, error));
    if (!script->has_example || example == NULL)
        return TENEBRA_OK;
    tn_chat_message *shown = &script->messages[script->example];
    return insert_text(script, shown, first_text(shown), example, error);
}

/* ---------------------------------------------------------------- cutting -- */

size_t tn_cut_answer_cue(const char *text, size_t length)
{
    static const char cue[] = "Answer:";
    size_t end = length, size = sizeof cue - 1;
    while (end > 0 && is_space(text[end - 1]))
        end--;
    if (end < size || memcmp(text + end - size, cue, size) != 0)
        return length;
    end -= size;
    if (end > 0 && text[end - 1] != '\n')
        return length;
    while (end > 0 && is_space(text[end - 1]))
        end--;
    return end;
}

static tenebra_code cut_message(tn_script *script, tn_chat_message *message, tn_script_cut_fn *kept,
                                tenebra_error *error)
{
    size_t last = message->part_count;
    if (last == 0 || message->parts[last - 1].is_image)
        return TENEBRA_OK;
    tn_chat_part *parts = tn_reasoner_take(script->reasoner, last, sizeof *parts);
    if (parts == NULL)
        return tn_fail_session_full(error);
    memcpy(parts, message->parts, last * sizeof *parts);
    parts[last - 1].length = kept(parts[last - 1].text, parts[last - 1].length);
    message->parts = parts;
    return TENEBRA_OK;
}

tenebra_code tn_script_cut(tn_script *script, tn_script_cut_fn *kept, tenebra_error *error)
{
    tn_chat_message *question;
    TN_TRY(find_question(script, &question, error));
    TN_TRY(cut_message(script, question, kept, error));
    return script->has_example ? cut_message(script, &script->messages[script->example], kept, error) : TENEBRA_OK;
}

/* ---------------------------------------------------- reply, system message -- */

void tn_script_reply(tn_script *script, const char *text)
{
    if (!script->has_example)
        return;
    /* Allocates one part for this script. */
    tn_chat_part *reply = (tn_chat_part *)(uintptr_t)script->messages[script->example + 1].parts;
    *reply = (tn_chat_part){ .text = text, .length = strlen(text) };
}

tenebra_code tn_script_add_system(tn_script *script, const char *text, tenebra_error *error)
{
    if (script->message_count > 0 && strcmp(script->messages[0].role, "system") == 0) {
        tn_chat_message *system = &script->messages[0];
        if (system->part_count > 0)
            TN_TRY(insert_text(script, system, system->part_count, "\n\n", error));
        return insert_text(script, system, system->part_count, text, error);
    }
    tn_chat_message first = { .role = "system" };
    TN_TRY(insert_text(script, &first, 0, text, error));
    TN_TRY(tn_script_add_message(script, &first, error));
    memmove(script->messages + 1, script->messages, (script->message_count - 1) * sizeof *script->messages);
    script->messages[0] = first;
    script->example += script->has_example;
    return TENEBRA_OK;
}
