/* include/tenebra.h: every function is called with NULL for what it requires, and says so or does nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "tenebra.h"

#define HEADER TENEBRA_TEST_DATA "/../../include/tenebra.h"
#define MODEL TENEBRA_TEST_DATA "/golden/qwen2vl_tied/model"

static tenebra_model *model;
static tenebra_session *session;

static int set_up(void **state)
{
    (void)state;
    return tenebra_model_open(&model, MODEL, NULL, NULL) != TENEBRA_OK || tenebra_session_open(&session, model, NULL, NULL) != TENEBRA_OK;
}

static int tear_down(void **state)
{
    (void)state;
    tenebra_session_close(session);
    tenebra_model_close(model);
    return 0;
}

/* With a record and without. */
#define REFUSES(call)                                              \
    do {                                                           \
        tenebra_error record = { 0 }, *error = &record;            \
        assert_int_equal(call, TENEBRA_ERROR_ARGUMENT);            \
        assert_int_equal(record.code, TENEBRA_ERROR_ARGUMENT);     \
        assert_true(record.where[0] != '\0' && record.sentence[0] != '\0'); \
        error = NULL;                                              \
        assert_int_equal(call, TENEBRA_ERROR_ARGUMENT);            \
    } while (0)

static void model_open(void)
{
    tenebra_model *opened = model;
    REFUSES(tenebra_model_open(NULL, MODEL, NULL, error));
    REFUSES(tenebra_model_open(&opened, NULL, NULL, error));
    assert_null(opened);
}

static void model_note(void) { assert_null(tenebra_model_note(NULL)); }

static void model_defaults(void)
{
    tenebra_request request = TENEBRA_INIT(tenebra_request);
    request.max_tokens = 5;
    tenebra_model_defaults(model, NULL);
    tenebra_model_defaults(NULL, NULL);
    tenebra_model_defaults(NULL, &request);
    assert_true(request.size == sizeof request && request.max_tokens == 5 && request.method == NULL);
}

static void prompt_make(void)
{
    static const char *const nothing[] = { NULL };
    tenebra_prompt *made;
    tenebra_question question = TENEBRA_INIT(tenebra_question);
    REFUSES(tenebra_prompt_make(&made, model, &question, error)); /* no text */
    assert_null(made);
    REFUSES(tenebra_prompt_make(&made, model, NULL, error));
    question.text = "What?";
    REFUSES(tenebra_prompt_make(NULL, model, &question, error));
    question.image_count = 1;
    REFUSES(tenebra_prompt_make(&made, model, &question, error));
    question.images = nothing;
    REFUSES(tenebra_prompt_make(&made, model, &question, error));
    question.image_count = 0;
    question.choice_count = 1;
    REFUSES(tenebra_prompt_make(&made, model, &question, error));
    question.choices = nothing;
    REFUSES(tenebra_prompt_make(&made, NULL, &question, error));
    question.choice_count = 0;
    assert_int_equal(tenebra_prompt_make(&made, NULL, &question, NULL), TENEBRA_OK);
    tenebra_prompt_free(made);
}

static void prompt_messages(void)
{
    size_t count = 7;
    assert_null(tenebra_prompt_messages(NULL, &count));
    assert_int_equal(count, 0);
    assert_null(tenebra_prompt_messages(NULL, NULL));
    tenebra_question question = TENEBRA_INIT(tenebra_question);
    question.text = "What?";
    tenebra_prompt *made;
    assert_int_equal(tenebra_prompt_make(&made, NULL, &question, NULL), TENEBRA_OK);
    assert_non_null(tenebra_prompt_messages(made, NULL));
    tenebra_prompt_free(made);
}

static void method_option(void) { assert_false(tenebra_method_option(0, 0, NULL)); }
static void method_at(void) { assert_non_null(tenebra_method_at(0, NULL)); }
static void preset_at(void) { assert_non_null(tenebra_preset_at(0, NULL)); }

static void session_open(void)
{
    tenebra_session *opened = session;
    REFUSES(tenebra_session_open(NULL, model, NULL, error));
    REFUSES(tenebra_session_open(&opened, NULL, NULL, error));
    assert_null(opened);
}

/* Lists that a request counts but does not have, and lists of nothing. */
static void session_ask(void)
{
    static const tenebra_message no_role = { NULL, NULL, 0 };
    static const tenebra_part empty = { .kind = TENEBRA_PART_TEXT };
    const tenebra_message no_text = { "user", &empty, 1 }, no_parts = { "user", NULL, 1 };
    static const tenebra_setting no_name = { NULL, NULL }, no_value = { "n-latent", NULL };
    static const tenebra_input no_input = { NULL, NULL, 0, 0 };
    static const tenebra_example no_answer = { NULL, 0, NULL, NULL, NULL, NULL };
    static const char *const no_stop[] = { NULL };
    tenebra_request plain = TENEBRA_INIT(tenebra_request);
    REFUSES(tenebra_session_ask(NULL, &plain, NULL, error));
    REFUSES(tenebra_session_ask(session, NULL, NULL, error));
    tenebra_request all[12];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        all[i] = plain;
    all[0].message_count = all[1].message_count = all[2].message_count = all[3].message_count = 1;
    all[1].messages = &no_role;
    all[2].messages = &no_text;
    all[3].messages = &no_parts;
    all[4].setting_count = all[5].setting_count = all[6].setting_count = 1;
    all[5].settings = &no_name;
    all[6].settings = &no_value;
    all[7].stop_count = all[8].stop_count = 1;
    all[8].stops = no_stop;
    all[9].forced_count = 1;
    all[10].input_count = 1;
    all[10].inputs = &no_input;
    all[11].example = &no_answer;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        REFUSES(tenebra_session_ask(session, &all[i], NULL, error));
}

static void session_cancel(void) { tenebra_session_cancel(NULL); }

static void trace_note(void)
{
    static const tenebra_note note = { .name = "calls" };
    static const tenebra_trace trace = { .notes = &note, .note_count = 1 };
    assert_null(tenebra_trace_note(NULL, "calls"));
    assert_null(tenebra_trace_note(&trace, NULL));
    assert_null(tenebra_trace_note(NULL, NULL));
    assert_ptr_equal(tenebra_trace_note(&trace, "calls"), &note);
}

static void trace_json(void) { assert_null(tenebra_trace_json(NULL)); }
static void version(void) { assert_non_null(tenebra_version()); }
static void faults_catch(void) {} /* has no arguments, and changes the process */

static void closing(void)
{
    tenebra_model_close(NULL);
    tenebra_session_close(NULL);
    tenebra_prompt_free(NULL);
}

static const struct {
    const char *name;
    void (*call)(void);
} functions[] = {
    { "tenebra_model_open", model_open },         { "tenebra_model_note", model_note },       { "tenebra_model_close", closing },
    { "tenebra_faults_catch", faults_catch },     { "tenebra_method_at", method_at },         { "tenebra_method_option", method_option },
    { "tenebra_model_defaults", model_defaults }, { "tenebra_preset_at", preset_at },         { "tenebra_prompt_make", prompt_make },
    { "tenebra_prompt_messages", prompt_messages }, { "tenebra_prompt_free", closing },       { "tenebra_session_open", session_open },
    { "tenebra_session_ask", session_ask },       { "tenebra_session_cancel", session_cancel }, { "tenebra_session_close", closing },
    { "tenebra_trace_note", trace_note },         { "tenebra_trace_json", trace_json },       { "tenebra_version", version },
};

static void test_nulls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        functions[i].call();
}

/* A function that is added to the header must be added here. */
static void test_every_function_is_called(void **state)
{
    (void)state;
    tn_file file;
    assert_int_equal(tn_file_read(&file, HEADER, 1 << 20, NULL), TENEBRA_OK);
    char *text = calloc(file.size + 1, 1);
    assert_non_null(text);
    memcpy(text, file.data, file.size);
    tn_file_close(&file);
    size_t found = 0;
    for (char *at = text; (at = strstr(at, "\nTENEBRA_API ")) != NULL; found++) {
        char *open = strchr(at, '('), *name = open;
        assert_non_null(open);
        while (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z'))
            name--;
        *open = '\0';
        bool known = false;
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            known |= strcmp(functions[i].name, name) == 0;
        if (!known)
            fail_msg("%s is not called", name);
        at = open + 1;
    }
    assert_int_equal(found, sizeof functions / sizeof *functions);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nulls), cmocka_unit_test(test_every_function_is_called) };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
