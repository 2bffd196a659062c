/* Data sets of one's own: jsonl:FILE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/data/files.h"

/* A row with an image, two steps and these regions. */
#define REGIONS(list) "{\"question\":\"Q\",\"answer\":\"x\",\"image\":\"a.png\",\"rationale\":\"One. Two.\",\"regions\":" list "}"

static tn_data *open_file(const char *tree, const char *split, const tn_data_options *options, tenebra_error *error)
{
    char place[600];
    snprintf(place, sizeof place, "jsonl:%s/own/questions.jsonl", tree);
    tn_data *data;
    tn_data_open(place, split, options, &data, error);
    return data;
}

static void test_rows(void **state)
{
    (void)state;
    char *tree = make_tree(), path[600], note[TN_DATA_NOTE];
    put_file(tree, "own/questions.jsonl",
             "{\"question\":\"Which?\",\"image\":\"p/a.png\",\"choices\":[\"red\",\"blue\"],\"answer\":\"B\",\"id\":7,\"topic\":\"t\"}\n\n"
             "{\"question\":\"Which?\",\"image_path\":\"../b.png\",\"options\":[\"red\",\"blue\"],\"answer\":\" red\",\"rationale\":\"So.\"}\n"
             "{\"question\":\"Which?\",\"images\":[\"a.png\",\"/c.png\"],\"choices\":[\"x\",\"y\",\"z\"],\"answer\":2,\"mood\":1}\n"
             "{\"question\":\"How many?\",\"image\":[\"a.png\"],\"answer\":7,\"answers\":[\"seven\",7.5],\"hint\":\"Count.\"}\n"
             "{\"question\":\"What?\",\"answer\":[\"B\",\"b\"],\"answers\":[\"c\"],\"explanation\":\"E\",\"mood\":2}\n"
             "{\"question\":\"What?\",\"choices\":[],\"answers\":[\"dog\"]}\n"
             "{\"question\":\"How many?\",\"choices\":[\"3\",\"4\",\"5\"],\"answer\":4,\"images\":null,\"image\":\"a.png\"}");
    tenebra_error error;
    tn_data *data = open_file(tree, "test", NULL, &error);
    if (data == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(tn_data_count(data), 7);
    assert_string_equal(tn_data_name(data), "jsonl");
    static const struct { const char *id, *label; size_t options, answer, images, answers; } rows[] = {
        { "7", "B", 2, 1, 1, 0 }, { "line-3", "A", 2, 0, 1, 0 }, { "line-4", "C", 3, 2, 2, 0 },
        { "line-5", "7", 0, 0, 1, 2 }, { "line-6", "B", 0, 0, 0, 2 }, { "line-7", "dog", 0, 0, 0, 0 },
        { "line-8", "B", 3, 1, 1, 0 },
    };
    for (size_t i = 0; i < 7; i++) {
        const tn_sample *sample = tn_data_sample(data, i);
        assert_string_equal(sample->id, rows[i].id);
        assert_string_equal(sample->label, rows[i].label);
        assert_int_equal(sample->option_count, rows[i].options);
        assert_int_equal(sample->answer, rows[i].answer);
        assert_int_equal(sample->image_count, rows[i].images);
        assert_int_equal(sample->answer_count, rows[i].answers);
        assert_int_equal(sample->open, rows[i].options == 0);
    }
    snprintf(path, sizeof path, "%s/own/p/a.png", tree);
    assert_string_equal(tn_data_sample(data, 0)->images[0], path);
    snprintf(path, sizeof path, "%s/own/../b.png", tree);
    assert_string_equal(tn_data_sample(data, 1)->images[0], path);
    assert_string_equal(tn_data_sample(data, 2)->images[1], "/c.png");
    assert_string_equal(tn_data_sample(data, 3)->answers[0], "seven");
    assert_string_equal(tn_data_sample(data, 3)->answers[1], "7.5");
    assert_string_equal(tn_data_sample(data, 3)->context, "Count.");
    assert_string_equal(tn_data_sample(data, 4)->answers[0], "b");
    assert_string_equal(tn_data_sample(data, 4)->answers[1], "c");
    assert_string_equal(tn_data_sample(data, 4)->rationale, "E");
    tn_data_note(data, note);
    assert_non_null(strstr(note, "no row names a split"));
    assert_non_null(strstr(note, "unused fields in its rows: mood"));
    tn_data_close(data);
    remove_tree(tree);
}

static void test_splits(void **state)
{
    (void)state;
    /* Without names: train and dev are parts (lines as Python's hashlib says, share 0.25), test is all. */
    static const size_t held[] = { 2, 5, 7, 9, 14, 16, 19, 23, 25, 26, 27, 29, 37, 38, 40 };
    char *tree = make_tree(), text[4096] = "", note[TN_DATA_NOTE];
    for (size_t i = 0; i < 40; i++)
        strcat(text, "{\"question\":\"Q\",\"answer\":\"x\"}\n");
    put_file(tree, "own/questions.jsonl", text);
    tenebra_error error;
    tn_data *data = open_file(tree, "train", &(tn_data_options){ .part = TN_PART_HELD, .held_out = 0.25 }, &error);
    assert_int_equal(tn_data_count(data), sizeof held / sizeof *held);
    for (size_t i = 0; i < tn_data_count(data); i++) {
        char id[16];
        snprintf(id, sizeof id, "line-%zu", held[i]);
        assert_string_equal(tn_data_sample(data, i)->id, id);
    }
    tn_data_close(data);
    size_t counts[4];
    static const char *const names[] = { "train", "dev", "test", "all" };
    for (size_t i = 0; i < 4; i++) {
        data = open_file(tree, names[i], NULL, &error);
        counts[i] = tn_data_count(data);
        tn_data_close(data);
    }
    assert_true(counts[0] + counts[1] == 40 && counts[0] > 30 && counts[2] == 40 && counts[3] == 40);
    /* With names: as they say; rows without one are train's, and dev is a part of these until a row is dev's. */
    put_file(tree, "own/questions.jsonl", "{\"question\":\"Q\",\"answer\":\"x\",\"split\":\"val\"}\n{\"question\":\"Q\",\"answer\":\"x\"}\n"
             "{\"question\":\"Q\",\"answer\":\"x\",\"split\":\"test\"}\n{\"question\":\"Q\",\"answer\":\"x\",\"split\":\"train\"}\n");
    static const char *const ids[] = { "line-2", "line-1", "line-3", "line-1" };
    static const size_t expected[] = { 2, 1, 1, 4 };
    for (size_t i = 0; i < 4; i++) {
        data = open_file(tree, names[i], NULL, &error);
        assert_int_equal(tn_data_count(data), expected[i]);
        assert_string_equal(tn_data_sample(data, 0)->id, ids[i]);
        assert_string_equal(tn_data_note(data, note), "");
        tn_data_close(data);
    }
    remove_tree(tree);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct { const char *row, *part; } rows[] = {
        { "{\"question\":\"Q\"}", "\"answer\"" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":\"C\"}", "'C' is not the letter" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":2}", "'2' is not the letter, the text, or the index" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":-1}", "'-1' is not the letter" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"]}", "has no \"answer\"" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":[0]}", "must be the letter" },
        { "{\"question\":\"Q\",\"choices\":[\"B\",\"A\"],\"answer\":\"A\"}", "give the index" },
        { "{\"question\":\"Q\",\"choices\":[\"x\",\"x\"],\"answer\":\"x\"}", "two choices" },
        { "{\"question\":\"Q\",\"choices\":[\"1\",\"2\",\"3\"],\"answer\":1}", "give the letter" },
        { "{\"question\":\"Q\",\"choices\":[\"0\",\"0\",\"3\"],\"answer\":0}", "two choices" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"answer\":\"a\",\"answers\":[\"b\"]}", "without choices" },
        { "{\"question\":\"Q\",\"choices\":[\"a\",\"b\"],\"options\":[\"b\",\"a\"],\"answer\":\"A\"}", "both \"choices\" and \"options\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"image\":\"a.png\",\"images\":[\"b.png\"]}", "both \"image\" and \"images\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"image_path\":\"a.png\",\"images\":[]}", "both \"image_path\" and \"images\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"rationale\":\"a\",\"explanation\":\"b\"}", "both \"rationale\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"context\":\"a\",\"hint\":\"b\"}", "both \"context\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"split\":\"tset\"}", "\"split\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"image\":3}", "\"image\"" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"images\":[\"\"]}", "\"image\"" },
        { "{\"question\":\"Q\",\"answer\":{}}", "text or a number" },
        { "{\"question\":\"Q\",\"answer\":\"\"}", "empty" },
        { "{\"question\":\"Q\",\"answer\":[\"x\",\"\"]}", "empty" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"answers\":[\"\"]}", "empty" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"answers\":\"y\"}", "must be a list" },
        { "{\"question\":\"Q\",\"choices\":[1,2],\"answer\":0}", "a list of 1 to" },
        { "{\"answer\":\"x\"}", "\"question\"" },
        { REGIONS("{}"), "a list of at most 16" },
        { REGIONS("[1]"), "must have a \"box\"" },
        { REGIONS("[{}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0,0,1]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0,0,1,\"1\"]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0,0,1,1.01]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[-0.1,0,1,1]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0.5,0,0.5,1]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0,0.6,1,0.5]}]"), "must have a \"box\"" },
        { REGIONS("[{\"box\":[0,0,1,1e999]}]"), "" },
        { REGIONS("[{\"box\":[0,0,1,1],\"step\":1}]"), "has \"step\"" },
        { REGIONS("[{\"box\":[0,0,1,1],\"after\":3}]"), "has 2" },
        { REGIONS("[{\"box\":[0,0,1,1],\"after\":-1}]"), "has 2" },
        { REGIONS("[{\"box\":[0,0,1,1],\"after\":0.5}]"), "has 2" },
        { REGIONS("[{\"box\":[0,0,1,1],\"after\":2},{\"box\":[0,0,1,1],\"after\":1}]"), "in the order" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"regions\":[{\"box\":[0,0,1,1]}]}", "but no image" },
        { "[]", "JSON object" },
        { "{", "one line" },
        { "{\"question\":\"Q\",\"answer\":\"x\",\"id\":\"1\"}\n{\"question\":\"Q\",\"answer\":\"x\",\"id\":1}", "twice" },
    };
    char *tree = make_tree();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tenebra_error error = { 0 };
        put_file(tree, "own/questions.jsonl", rows[i].row);
        assert_null(open_file(tree, "test", NULL, &error));
        if (strstr(error.sentence, rows[i].part) == NULL)
            fail_msg("%s: '%s' does not hold '%s'", rows[i].row, error.sentence, rows[i].part);
    }
    tenebra_error error = { 0 };
    char place[600];
    snprintf(place, sizeof place, "jsonl:%s/own", tree);
    tn_data *data;
    assert_int_equal(tn_data_open(place, "test", NULL, &data, &error), TENEBRA_ERROR_IO);
    assert_null(data);
    assert_non_null(strstr(error.sentence, "is not a file"));
    remove_tree(tree);
}

/* The regions that a solution looks at; the numbers of steps before them count those that no limit has merged. */
static void test_regions(void **state)
{
    (void)state;
    char *tree = make_tree(), note[TN_DATA_NOTE];
    put_file(tree, "own/questions.jsonl",
             REGIONS("[{\"box\":[0.25,0,0.5,1e-3],\"after\":1},{\"box\":[0,0,1,1]}, {\"box\":[0,0,1,1],\"after\":2}]") "\n"
             REGIONS("[]") "\n" REGIONS("null") "\n" REGIONS("[{\"box\":[0,0,1,1],\"after\":null}]"));
    tenebra_error error;
    tn_data *data = open_file(tree, "all", NULL, &error);
    if (data == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    static const size_t counts[] = { 3, 0, 0, 1 };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(tn_data_sample(data, i)->region_count, counts[i]);
    const tn_sample_region *regions = tn_data_sample(data, 0)->regions;
    assert_true(regions[0].box[0] == 0.25 && regions[0].box[1] == 0 && regions[0].box[2] == 0.5 && regions[0].box[3] == 1e-3);
    assert_int_equal(regions[0].after, 1);
    assert_int_equal(regions[1].after, 1); /* as the one before */
    assert_int_equal(regions[2].after, 2);
    assert_int_equal(tn_data_sample(data, 3)->regions[0].after, 0);
    json_t *written = tn_regions_write(tn_data_sample(data, 0));
    assert_int_equal(json_array_size(written), 3);
    json_decref(written);
    assert_null(strstr(tn_data_note(data, note), "unused"));
    tn_data_close(data);
    remove_tree(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
