/* Settings and requests: wrong ones are refused by name, valid ones take effect and are all in the trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/modules.h"
#include "unit/reason/tiny.h"

#include <jansson.h>

/* Opens a question and closes it again. */
static tenebra_code try_question(const tiny *here, const question *q, tenebra_error *error)
{
    tn_session *session = tiny_session(here->model, 1);
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    assert_non_null(reasoner);
    memset(error, 0, sizeof *error);
    tenebra_code code = tn_reasoner_open(reasoner, session, &q->request, NULL, error);
    if (code == TENEBRA_OK)
        tn_reasoner_close(reasoner);
    free(reasoner);
    tn_session_close(session);
    return code;
}

static void assert_refused(const tiny *here, const question *q, const char *where, const char *words)
{
    tenebra_error error;
    assert_int_equal(try_question(here, q, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, where, words);
}

static tenebra_code try_value(const tiny *here, const char *method, const char *name, const char *value,
                              tenebra_error *error)
{
    question q;
    ask_about(&q, method, NULL, NULL, "?");
    ask_set(&q, name, value);
    return try_question(here, &q, error);
}

static void assert_value_refused(const tiny *here, const char *method, const char *name, const char *value,
                                 const char *words)
{
    tenebra_error error;
    assert_int_equal(try_value(here, method, name, value, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, name, words);
}

static void test_unknown_names(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "telepathy", NULL, NULL, "?");
    assert_refused(here, &q, "method", "telepathy");
    ask_about(&q, "ivt-lr", NULL, NULL, "?");
    ask_set(&q, "n-latents", "3");
    assert_refused(here, &q, "n-latents", "ivt-lr");
    ask_method(&q, "direct");
    ask_set(&q, "n-latent", "3"); /* another method's */
    assert_refused(here, &q, "n-latent", "direct");
    ask_method(&q, "direct");
    q.request.positions = "spiral";
    assert_refused(here, &q, "positions", "sequential|mrope");
}

static void check_number(const tiny *here, const char *method, const tenebra_option *option)
{
    static const char *const wrong[] = { "", " ", "x", "3x", "2.5", "nan", "inf", "-1", "1e9", "99999999999999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_value_refused(here, method, option->name, wrong[i], "is not a whole number");
    char value[32];
    tenebra_error error;
    snprintf(value, sizeof value, "%.0f", option->maximum + 1);
    assert_value_refused(here, method, option->name, value, value);
    snprintf(value, sizeof value, "%.0f", option->maximum);
    assert_int_equal(try_value(here, method, option->name, value, &error), TENEBRA_OK);
    snprintf(value, sizeof value, "%.0f", option->minimum);
    assert_int_equal(try_value(here, method, option->name, value, &error), TENEBRA_OK);
}

static void check_words(const tiny *here, const char *method, const tenebra_option *option)
{
    char wrong[64], *words = strdup(option->argument), *rest = words;
    tenebra_error error;
    assert_non_null(words);
    for (char *word; (word = strtok_r(rest, "|", &rest)) != NULL;) {
        assert_int_equal(try_value(here, method, option->name, word, &error), TENEBRA_OK);
        snprintf(wrong, sizeof wrong, "%sx", word);
        assert_value_refused(here, method, option->name, wrong, option->argument);
        snprintf(wrong, sizeof wrong, "%.*s", (int)strlen(word) - 1, word);
        assert_value_refused(here, method, option->name, wrong, option->argument);
    }
    assert_value_refused(here, method, option->name, "", option->argument);
    assert_value_refused(here, method, option->name, option->argument, option->argument);
    free(words);
}

/* Every option of every method, from the list that callers see, too. */
static void test_every_option(void **state)
{
    const tiny *here = *state;
    tenebra_option option = { .size = sizeof option };
    const char *method, *summary;
    size_t numbers = 0, words = 0, methods = 0;
    for (; (method = tenebra_method_at(methods, &summary)) != NULL; methods++) {
        assert_true(summary[0] != '\0');
        for (size_t i = 0; tenebra_method_option(methods, i, &option); i++) {
            tenebra_error error;
            assert_true(option.help[0] != '\0');
            assert_int_equal(try_value(here, method, option.name, option.value, &error), TENEBRA_OK);
            assert_value_refused(here, method, option.name, NULL, "UTF-8");
            assert_value_refused(here, method, option.name, "\xC3", "");
            if (option.is_number)
                check_number(here, method, &option);
            else if (strchr(option.argument, '|') != NULL)
                check_words(here, method, &option);
            numbers += option.is_number;
            words += strchr(option.argument, '|') != NULL;
        }
    }
    assert_true(methods >= 4 && numbers >= 3 && words >= 8);
    assert_null(tenebra_method_at(methods, NULL));
    assert_null(tenebra_method_at(methods + 1000, NULL));
    assert_false(tenebra_method_option(methods, 0, &option));
    assert_false(tenebra_method_option(0, 1000, &option));
}

/* A caller that was compiled with a shorter structure gets the members that fit. */
static void test_option_of_a_shorter_structure(void **state)
{
    (void)state;
    size_t method = 0;
    while (strcmp(tenebra_method_at(method, NULL), "ivt-lr") != 0)
        method++;
    tenebra_option option = { .size = offsetof(tenebra_option, value), .value = "untouched" };
    assert_true(tenebra_method_option(method, 0, &option));
    assert_string_equal(option.name, "n-latent");
    assert_string_equal(option.value, "untouched");
    assert_int_equal(option.size, offsetof(tenebra_option, value));
}

/* ----------------------------------------------------------------- echo -- */

static const char *echoed(const tenebra_trace *trace, const char *name)
{
    for (size_t i = 0; i < trace->setting_count; i++)
        if (strcmp(trace->settings[i].name, name) == 0)
            return trace->settings[i].value;
    return "(missing)";
}

/* Both defaults and given values; the last of two counts. */
static void test_effective_settings_are_told(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "order", "text-first");
    ask_set(&q, "k-select", "2");
    q.request.sampling.seed = 5;
    run *made = run_question(here->model, &q);
    tenebra_option option = { .size = sizeof option };
    size_t options = 0, method = 0;
    while (strcmp(tenebra_method_at(method, NULL), "ivt-lr") != 0)
        method++;
    for (; tenebra_method_option(method, options, &option); options++) {
        const char *value = echoed(made->trace, option.name);
        const char *wanted = strcmp(option.name, "order") == 0      ? "text-first"
                             : strcmp(option.name, "k-select") == 0 ? "2"
                                                                    : option.value;
        assert_string_equal(value, wanted);
    }
    assert_int_equal(made->trace->setting_count, options);
    assert_string_equal(made->trace->method, "ivt-lr");
    assert_string_equal(made->trace->positions, "sequential");
    assert_string_equal(made->trace->kernels, "reference");
    assert_int_equal(made->trace->threads, 1);
    assert_true(made->trace->sampling.top_p == 1 && made->trace->sampling.seed == 5 && made->trace->sampling.temperature == 0);
    assert_int_equal(made->trace->steps[0].pick_count, 2);
    run_free(made);
}

/* The same in JSON: numbers as numbers, free text as text even when it looks like a number. */
static void test_settings_in_json(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "cot", NULL, NULL, "?");
    ask_set(&q, "cue", "1e999");
    run *made = run_question(here->model, &q);
    char *text = tenebra_trace_json(made->trace);
    json_t *json = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "settings"), "cue")), "1e999");
    json_decref(json);
    free(text);
    run_free(made);

    ask_latent(&q, PICTURE, NULL);
    made = run_question(here->model, &q);
    text = tenebra_trace_json(made->trace);
    json = json_loads(text, 0, NULL);
    const json_t *settings = json_object_get(json, "settings");
    assert_int_equal(json_object_size(settings), made->trace->setting_count);
    assert_int_equal(json_integer_value(json_object_get(settings, "k-select")), 4);
    assert_string_equal(json_string_value(json_object_get(settings, "pick-order")), "cuda");
    json_decref(json);
    free(text);
    run_free(made);
}

/* -------------------------------------------------------------- requests -- */

static void test_sampling_out_of_range(void **state)
{
    const tiny *here = *state;
    question q;
    const double temperatures[] = { -0.1, (double)NAN, HUGE_VAL }, shares[] = { -0.1, 1.1, (double)NAN };
    for (size_t i = 0; i < 3; i++) {
        ask_about(&q, "direct", NULL, NULL, "?");
        q.request.sampling.temperature = temperatures[i];
        assert_refused(here, &q, "sampling", "temperature");
        q.request.sampling.temperature = 1;
        q.request.sampling.top_p = shares[i];
        assert_refused(here, &q, "sampling", "top-p");
    }
    ask_about(&q, "direct", NULL, NULL, "?");
    q.request.lens = 33;
    assert_refused(here, &q, "lens", "32");
}

/* What is missing or broken in a request is named, not followed. */
static void test_broken_requests(void **state)
{
    const tiny *here = *state;
    tenebra_error error;
    question q;
    const char *stops[] = { "fine", NULL, "", "\xA9" };
    for (size_t i = 1; i < 4; i++) {
        ask_about(&q, "direct", NULL, NULL, "?");
        const char *two[] = { stops[0], stops[i] };
        q.request.stops = two;
        q.request.stop_count = 2;
        assert_refused(here, &q, "stop", "UTF-8");
    }
    q.request.stops = NULL;
    assert_refused(here, &q, "stop", "missing");
    ask_about(&q, "direct", NULL, NULL, "?");
    q.request.settings = NULL;
    q.request.setting_count = 1;
    assert_refused(here, &q, "settings", "missing");
    ask_about(&q, "direct", NULL, NULL, "?");
    ask_set(&q, NULL, "3");
    assert_refused(here, &q, "settings", "no name");
    ask_about(&q, "direct", NULL, NULL, NULL);
    assert_refused(here, &q, "message", "no text");
    q.parts[0] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE };
    assert_refused(here, &q, "image", "no file");
    q.parts[0] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_BYTES, .length = 5 };
    assert_refused(here, &q, "image", "no bytes");
    q.parts[0].kind = (tenebra_part_kind)9;
    assert_refused(here, &q, "message", "9");
    q.message.parts = NULL;
    assert_refused(here, &q, "message", "missing");
    q.message.role = "oracle";
    assert_refused(here, &q, "role", "oracle");
    q.message.role = NULL;
    assert_refused(here, &q, "role", "system, user, assistant");
    q.request.messages = NULL;
    assert_refused(here, &q, "messages", "missing");
    tn_session *session = tiny_session(here->model, 1);
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    assert_int_equal(tn_reasoner_open(reasoner, session, NULL, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    free(reasoner);
    tn_session_close(session);
}

/* With a module for the method that computes with one, made for as many steps as its option allows. */
static int set_up(void **state)
{
    static const tenebra_setting sizes[] = { { "lq-width", "32" }, { "lq-steps", "1024" } };
    tenebra_error error = { 0 };
    int result = tiny_set_up(state);
    tiny *here = *state;
    for (size_t m = 0; tn_methods[m] != NULL; m++)
        if (tn_modules_train(here->model, tn_methods[m], sizes, 2, 3, &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_names),    cmocka_unit_test(test_every_option), cmocka_unit_test(test_option_of_a_shorter_structure),
        cmocka_unit_test(test_effective_settings_are_told), cmocka_unit_test(test_settings_in_json),
        cmocka_unit_test(test_sampling_out_of_range), cmocka_unit_test(test_broken_requests),
    };
    return cmocka_run_group_tests(tests, set_up, tiny_tear_down);
}
