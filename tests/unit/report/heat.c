/* Maps of attention: border, comparison with a neutral prompt, and the form in which they go into a page; answers with maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/answers.h"
#include "report/heat.h"

#include <math.h>
#include <string.h>

static void test_border(void **state)
{
    (void)state;
    double map[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    const double expected[12] = { 0, 0, 0, 0, 0, 6, 7, 0, 0, 0, 0, 0 };
    assert_true(tn_heat_mask_border(map, 3, 4));
    assert_memory_equal(map, expected, sizeof map);
    double small[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_false(tn_heat_mask_border(small, 2, 4)); /* all of it is border */
    assert_true(small[0] == 1 && small[7] == 8);
    assert_false(tn_heat_mask_border(small, 4, 2));
}

static void test_relative(void **state)
{
    (void)state;
    double raw[4] = { 1, 1, 2, 4 }, out[4];
    const double twice[4] = { 2, 2, 4, 8 }, other[4] = { 4, 2, 1, 1 };
    assert_true(tn_heat_relative(out, raw, twice, 4)); /* shares, not sums */
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(out[i] - 1) <= 1e-12);
    assert_true(tn_heat_relative(out, raw, other, 4));
    assert_true(fabs(out[0] - 0.25) <= 1e-12 && fabs(out[1] - 0.5) <= 1e-12 && fabs(out[3] - 4) <= 1e-12);
    const double nothing[4] = { 0, 1, 1, 2 };
    assert_true(tn_heat_relative(out, raw, nothing, 4));
    assert_true(fabs(out[0] - 0.125 / 2.5e-4) <= 1e-9); /* a thousandth of the mean replaces zero */
    const double bad[3][4] = { { 1, (double)NAN, 1, 1 }, { 1, -1, 1, 1 }, { 0, 0, 0, 0 } };
    for (size_t i = 0; i < 3; i++) {
        assert_false(tn_heat_relative(out, raw, bad[i], 4));
        assert_false(tn_heat_relative(out, bad[i], raw, 4));
    }
    assert_false(tn_heat_relative(out, raw, (const double[4]){ 1, 1, 1, HUGE_VAL }, 4));
}

static void test_json(void **state)
{
    (void)state;
    const double map[3] = { 0.5, 0.25, 0 }, none[3] = { 0, (double)NAN, -1 };
    json_t *json = tn_heat_json(map, 3);
    assert_true(json_number_value(json_array_get(json, 0)) == 0.5);
    assert_string_equal(json_string_value(json_array_get(json, 1)), "/4AA"); /* 255 128 0 */
    json_decref(json);
    json = tn_heat_json(none, 3);
    assert_true(json_is_null(json));
    json_decref(json);
}

static json_t *parse(const char *text)
{
    json_error_t where;
    json_t *json = json_loads(text, 0, &where);
    if (json == NULL)
        fail_msg("%s", where.text);
    return json;
}

#define NINE "[1,1,1,1,4,1,1,1,2]"
#define RECORD                                                                                                             \
    "{\"correct\":true,\"choice\":1,\"text\":\"B\",\"tokens\":{\"sampled\":4,\"latent\":1},\"ms\":{\"total\":5},"        \
    "\"pictures\":[[30,30,3,3],[10,10,1,2]],\"neutral\":[1,1,1,1,1,1,1,1,1,2,2],\"prompt_scores\":[1,1,1,1,1,1,1,1,1,0,5]," \
    "\"steps\":[{\"picks\":[[0,4,0.5,10,10,20,20],[0,1],\"x\"],\"hidden_norm\":3,\"hidden_cosine\":null,"                     \
    "\"lens\":[[3,\"a\",0.5],[4]],\"scores\":[1,1,1,1,4,1,1,1,2,1,3]}]}"

static void test_answer(void **state)
{
    (void)state;
    json_t *record = parse(RECORD), *answer = tn_answer_json(record, 7);
    const json_t *step = json_array_get(json_object_get(answer, "steps"), 0), *maps = json_object_get(step, "maps");
    assert_int_equal(json_integer_value(json_object_get(answer, "way")), 7);
    assert_true(json_is_true(json_object_get(answer, "ok")));
    assert_int_equal(json_array_size(json_object_get(step, "picks")), 1); /* the broken ones are left out */
    assert_int_equal(json_array_size(json_object_get(step, "lens")), 1);
    assert_true(json_is_null(json_object_get(step, "hidden_cosine")) || json_object_get(step, "hidden_cosine") == NULL);
    assert_int_equal(json_array_size(maps), 2);
    const json_t *first = json_array_get(maps, 0), *second = json_array_get(maps, 1);
    assert_true(json_number_value(json_array_get(json_array_get(first, 0), 0)) == 4);
    assert_true(json_number_value(json_array_get(json_array_get(first, 1), 0)) == 4);
    assert_string_equal(json_string_value(json_array_get(json_array_get(first, 1), 1)), "AAAAAP8AAAAA");
    assert_true(fabs(json_number_value(json_array_get(json_array_get(first, 2), 0)) - 4.0 / 13 * 9) <= 1e-9);
    assert_true(json_is_null(json_array_get(second, 1))); /* one row: all border */
    assert_true(fabs(json_number_value(json_array_get(json_array_get(second, 2), 0)) - 1.5) <= 1e-9);
    assert_int_equal(json_array_size(json_object_get(answer, "neutral")), 2);
    assert_int_equal(json_array_size(json_object_get(answer, "maps")), 2);
    json_decref(answer);
    json_decref(record);
}

/* With a solved example before the question's images and an image of the method after them: the neutral prompt has only those
 * of the question. */
static void test_sources(void **state)
{
    (void)state;
    json_t *record = parse("{\"pictures\":[[1,1,1,1,null],[1,1,1,2,1],[1,1,1,2,0],[1,1,1,1,null]],\"neutral\":[1,2,3,1],"
                           "\"prompt_scores\":[9,3,1,1,2,5]}");
    json_t *answer = tn_answer_json(record, 0);
    const json_t *sources = json_object_get(answer, "sources"), *maps = json_object_get(answer, "maps");
    const json_t *neutral = json_object_get(answer, "neutral");
    assert_true(json_is_null(json_array_get(sources, 0)) && json_is_null(json_array_get(sources, 3)));
    assert_int_equal(json_integer_value(json_array_get(sources, 1)), 1);
    assert_int_equal(json_integer_value(json_array_get(sources, 2)), 0);
    assert_int_equal(json_array_size(maps), 4);
    assert_true(json_is_null(json_array_get(json_array_get(maps, 0), 2)));
    for (size_t i = 1; i < 3; i++) { /* as the neutral prompt saw it */
        const json_t *relative = json_array_get(json_array_get(maps, i), 2);
        assert_true(fabs(json_number_value(json_array_get(relative, 0)) - 1) <= 1e-9);
        assert_string_equal(json_string_value(json_array_get(relative, 1)), "//8=");
    }
    assert_true(json_is_null(json_array_get(neutral, 0)));
    assert_true(json_number_value(json_array_get(json_array_get(neutral, 1), 0)) == 3);
    assert_true(json_number_value(json_array_get(json_array_get(neutral, 2), 0)) == 2);
    json_decref(answer);
    json_decref(record);
}

static void test_turns_and_regions(void **state)
{
    (void)state;
    json_t *record = parse("{\"turns\":[{\"text\":\"a\"},{\"text\":null},{\"text\":\"last\"}],"
                           "\"regions\":[[0,\"shown\",1,2,3,4],[0,\"invalid\",null,null,null,null],[1,2]]}");
    json_t *answer = tn_answer_json(record, 0);
    const json_t *turns = json_object_get(answer, "turns"), *regions = json_object_get(answer, "regions");
    assert_int_equal(json_array_size(turns), 2); /* the last is the answer */
    assert_string_equal(json_string_value(json_array_get(turns, 0)), "a");
    assert_true(json_is_null(json_array_get(turns, 1)));
    assert_int_equal(json_array_size(regions), 1);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(regions, 0), 3)), 4);
    json_decref(answer);
    json_decref(record);
}

/* Records of any form give an answer, and maps only if the numbers are present. */
static void test_broken_records(void **state)
{
    (void)state;
    static const char *const records[] = {
        "{}", "{\"steps\":5,\"tokens\":[],\"ms\":\"x\",\"text\":7}", "{\"steps\":[1,null,{}],\"failed\":true,\"error\":3}",
        "{\"failed\":true,\"error\":{\"sentence\":\"no\"}}",
        "{\"pictures\":[[1,1,-1,3]],\"steps\":[{\"scores\":" NINE "}]}",
        "{\"pictures\":[[1,1,1048576,1048576]],\"steps\":[{\"scores\":" NINE "}]}",
        "{\"pictures\":[[1,1,9223372036854775807,2]],\"steps\":[{\"scores\":" NINE "}]}",
        "{\"pictures\":[[1,1,4,4]],\"steps\":[{\"scores\":" NINE "}]}", "{\"pictures\":[[1,1,\"3\",3]],\"steps\":[{\"scores\":" NINE "}]}",
        "{\"pictures\":{},\"neutral\":{},\"prompt_scores\":\"\",\"steps\":[{\"scores\":{},\"picks\":{},\"lens\":{}}]}",
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        json_t *record = parse(records[i]), *answer = tn_answer_json(record, 0);
        assert_non_null(answer);
        assert_null(json_object_get(answer, "maps"));
        const json_t *steps = json_object_get(answer, "steps");
        for (size_t s = 0; s < json_array_size(steps); s++)
            assert_null(json_object_get(json_array_get(steps, s), "maps"));
        json_decref(answer);
        json_decref(record);
    }
    json_t *record = parse("{\"pictures\":[[1,1,3,3]],\"steps\":[{\"scores\":" NINE "}]}"), *answer = tn_answer_json(record, 0);
    assert_non_null(json_object_get(json_array_get(json_object_get(answer, "steps"), 0), "maps"));
    json_decref(answer);
    json_decref(record);
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    static char text[40001];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA4", 2);
    json_t *record = json_pack("{s:s}", "text", text + 0), *answer = tn_answer_json(record, 0);
    const char *shown = json_string_value(json_object_get(answer, "text"));
    assert_true(strlen(shown) < 17000 && strlen(shown) > 16000);
    assert_string_equal(shown + strlen(shown) - 6, " [...]");
    json_decref(answer);
    json_decref(record);
}

/* Reconstructed pictures go into the page only if they are whole. */
static void test_reconstructions(void **state)
{
    (void)state;
    json_t *record = parse("{\"correct\":true,\"text\":\"B\",\"reconstruction\":{\"note\":null,\"side\":1,\"seen\":\"00ff7f\","
                           "\"error\":0.5,\"other_error\":null},\"steps\":[{\"reconstruction\":{\"rgb\":\"010203\",\"error\":0.25}},{},"
                           "{\"reconstruction\":{\"rgb\":\"0102\",\"error\":1}},{\"reconstruction\":{\"rgb\":\"01020g\",\"error\":1}},"
                           "{\"reconstruction\":{\"rgb\":\"010204\",\"error\":null}}]}");
    json_t *answer = tn_answer_json(record, 0), *made = json_object_get(answer, "reconstruction");
    assert_string_equal(json_string_value(json_object_get(made, "seen")), "00ff7f");
    assert_int_equal(json_integer_value(json_object_get(made, "side")), 1);
    assert_true(json_real_value(json_object_get(made, "error")) == 0.5);
    assert_true(json_object_get(made, "other_error") == NULL && json_object_get(made, "note") == NULL);
    assert_int_equal(json_array_size(json_object_get(made, "steps")), 1);
    assert_string_equal(json_string_value(json_array_get(json_array_get(json_object_get(made, "steps"), 0), 1)), "010203");
    json_decref(answer);
    json_decref(record);
    static const char *const broken[] = { "{\"side\":1000000,\"seen\":\"00\"}", "{\"side\":-1,\"seen\":\"\"}",
                                          "{\"side\":\"1\",\"seen\":7,\"note\":[]}", "{}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"text\":\"B\",\"reconstruction\":%s,\"steps\":[{\"reconstruction\":{\"rgb\":\"\",\"error\":1}}]}",
                 broken[i]);
        record = parse(text);
        answer = tn_answer_json(record, 0);
        made = json_object_get(answer, "reconstruction");
        assert_true(json_object_get(made, "seen") == NULL && json_array_size(json_object_get(made, "steps")) == 0);
        json_decref(answer);
        json_decref(record);
    }
    record = parse("{\"text\":\"B\",\"reconstruction\":7,\"steps\":[]}");
    answer = tn_answer_json(record, 0);
    assert_null(json_object_get(answer, "reconstruction"));
    json_decref(answer);
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_border), cmocka_unit_test(test_relative),       cmocka_unit_test(test_json),
        cmocka_unit_test(test_answer), cmocka_unit_test(test_broken_records), cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_sources), cmocka_unit_test(test_reconstructions), cmocka_unit_test(test_turns_and_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
