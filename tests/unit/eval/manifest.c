/* Plans: the error if a run is continued with other settings than those of its file, and the entries of a probe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/plan.h"
#include "eval/probe.h"

#include <stdio.h>
#include <string.h>

#define METHOD(label, k) "{\"label\": \"" label "\", \"settings\": {\"k-select\": \"" k "\"}}"

static const char base[] =
    "{\"model\": {\"directory\": \"m\", \"digest\": \"0\"}, \"data\": {\"questions\": 9, \"digest\": \"1\", \"prompt_digest\": \"2\"}, "
    "\"sampling\": {\"top_p\": 0.1}, \"methods\": [" METHOD("a", "4") ", " METHOD("b", "5") "]}";

/* The sentence for `text` in place of `base`; "" if they agree. */
static const char *compare(const char *now, const char *then, tenebra_error *error)
{
    json_t *a = json_loads(now, 0, NULL), *b = json_loads(then, 0, NULL);
    assert_true(a != NULL && b != NULL);
    *error = (tenebra_error){ 0 };
    tenebra_code code = tn_eval_manifest_compare(a, b, "x.jsonl", error);
    assert_int_equal(code, error->code);
    json_decref(a);
    json_decref(b);
    return error->sentence;
}

/* `base` with one part in place of another. */
static const char *changed(const char *part, const char *with)
{
    static char text[2048];
    const char *at = strstr(base, part);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, with, at + strlen(part));
    return text;
}

static void test_words(void **state)
{
    (void)state;
    static const struct { const char *part, *with, *words, *not; } cases[] = {
        { "\"digest\": \"0\"", "\"digest\": \"x\"", "settings: the files of the model have changed. Restore", "digest" },
        { "\"digest\": \"1\"", "\"digest\": \"x\"", "settings: the questions have changed. Restore", "digest" },
        { "\"prompt_digest\": \"2\"", "\"prompt_digest\": \"x\"", "the wording of the questions has changed", "digest" },
        { "\"directory\": \"m\"", "\"directory\": \"n\"", "", "model" },
        { "0.1", "0.25", "sampling.top_p was 0.1, now 0.25", "0000" },
        { METHOD("b", "5"), METHOD("b", "6"), "methods.b.settings.k-select was \"5\", now \"6\"", "methods.a" },
        /* one taken away, one put before, one in place of another, and the other order */
        { ", " METHOD("b", "5"), "", "methods.b was there, now not there", "methods.a" },
        { METHOD("a", "4"), METHOD("c", "9") ", " METHOD("a", "4"), "methods.c was not there, now there", "k-select" },
        { METHOD("a", "4"), METHOD("c", "4"), "methods.a was there, now not there", "label" },
        { METHOD("a", "4") ", " METHOD("b", "5"), METHOD("b", "5") ", " METHOD("a", "4"), "", "methods" },
    };
    tenebra_error error;
    assert_string_equal(compare(base, base, &error), "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *sentence = compare(changed(cases[i].part, cases[i].with), base, &error);
        bool fits = cases[i].words[0] != '\0' ? strstr(sentence, cases[i].words) != NULL : sentence[0] == '\0';
        if (!fits || strstr(sentence, cases[i].not) != NULL)
            fail_msg("%s: %s", cases[i].with, sentence);
    }
}

/* The interventions that apply: only those on picks if a method has no latent steps; none if it has neither. */
static void test_probe_plans(void **state)
{
    (void)state;
    static const struct { const char *method; size_t least, most; } cases[] = { { "ivt-lr-words", 5, 12 }, { "ivt-lr", 15, 30 },
                                                                                { "direct", 0, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_eval_plan plan = { 0 };
        tenebra_error error = { 0 };
        assert_int_equal(tn_eval_plan_add(&plan, cases[i].method, &error), TENEBRA_OK);
        tenebra_code code = tn_probe_plan(&plan, &error);
        assert_int_equal(code == TENEBRA_OK, cases[i].most > 0);
        if (code == TENEBRA_OK)
            assert_in_range(plan.entry_count, cases[i].least, cases[i].most);
        tn_eval_plan_free(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_words), cmocka_unit_test(test_probe_plans) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
