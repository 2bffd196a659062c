/* The readers of all sets over small directories: what is taken, what is left out, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/data/files.h"

#define ROW(id, rest) "{\"id\":\"" id "\",\"question\":\"Q?\",\"choices\":[\"x\",\"y\"],\"answer\":\"B\"" rest "}\n"

static void test_rows(void **state)
{
    (void)state;
    char *tree = make_tree();
    put_file(tree, "data/train.jsonl",
             "\n" ROW("a", ",\"image\":\"data\\\\images\\\\a.png\",\"rationale\":\"One. Two.\",\"domain\":\"d\",\"topic\":\"t\"")
             ROW("b", ",\"image\":null") "  \r\n" ROW("c", ",\"image_path\":\"/elsewhere/c.png\",\"context\":\"C\"")
             ROW("e", ",\"image\":\"C:\\\\x\\\\e.png\""));
    put_file(tree, "data/images/a.png", "x");
    put_file(tree, "data/images/c.png", "x");
    tenebra_error error;
    char note[TN_DATA_NOTE];
    tn_data *data = open_set("m3cot", tree, "train", NULL, &error);
    assert_non_null(data);
    assert_string_equal(tn_data_name(data), "m3cot");
    assert_string_equal(tn_data_prompt(data)->name, "ivtlr-infer");
    assert_string_equal(tn_data_note(data, note), "");
    assert_int_equal(tn_data_rows(data), 4);
    assert_int_equal(tn_data_rows_with_image(data), 3);
    assert_int_equal(tn_data_count(data), 3); /* b has no image */
    const tn_sample *sample = tn_data_sample(data, 0);
    char path[600];
    snprintf(path, sizeof path, "%s/data/images/a.png", tree);
    assert_string_equal(sample->images[0], path);
    assert_string_equal(sample->label, "B");
    assert_int_equal(sample->answer, 1);
    assert_string_equal(sample->options[1], "y");
    assert_string_equal(sample->rationale, "One. Two.");
    assert_string_equal(sample->split, "train");
    assert_string_equal(sample->lecture, "");
    snprintf(path, sizeof path, "%s/data/images/c.png", tree);
    assert_string_equal(tn_data_sample(data, 1)->images[0], path);
    snprintf(path, sizeof path, "%s/images/e.png", tree); /* not found: the first possible path */
    assert_string_equal(tn_data_sample(data, 2)->images[0], path);
    tn_data_close(data);

    data = open_set("hops", tree, "train", &(tn_data_options){ .without_images = true, .limit = 2 }, &error);
    assert_non_null(data);
    assert_int_equal(tn_data_count(data), 2);
    assert_int_equal(tn_data_rows(data), 4);
    assert_string_equal(tn_data_sample(data, 1)->id, "b");
    assert_int_equal(tn_data_sample(data, 1)->image_count, 0);
    tn_data_close(data);
    static const char *const topics[] = { "t", "s,t", "t,s", "tt", "s", "" };
    for (size_t i = 0; i < 6; i++) {
        data = open_set("hops", tree, "train", &(tn_data_options){ .topics = topics[i] }, &error);
        assert_non_null(data);
        assert_int_equal(tn_data_count(data), i < 3 ? 1 : i == 5 ? 2 : 0);
        tn_data_close(data);
    }
    remove_tree(tree);
}

/* Unused fields are noted once, by name. */
static void test_unknown_fields(void **state)
{
    (void)state;
    char note[TN_DATA_NOTE], *tree = make_tree();
    put_file(tree, "test.jsonl", ROW("a", ",\"image\":\"a.png\",\"hint\":\"x\",\"split\":\"test\",\"image_id\":\"a\"")
             ROW("b", ",\"image\":\"b.png\",\"hint\":\"y\",\"solution\":\"z\""));
    put_file(tree, "problems.json", "{\"1\":{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":1,\"image\":\"i.png\",\"caption\":\"c\"}}");
    put_file(tree, "pid_splits.json", "{\"test\":[\"1\"]}");
    static const char *const names[] = { "m3cot", "hops", "scienceqa" }, *const lists[] = { "hint, solution", "hint, solution", "caption" };
    for (size_t i = 0; i < 3; i++) {
        tenebra_error error;
        tn_data *data = open_set(names[i], tree, "test", NULL, &error);
        assert_non_null(data);
        tn_data_note(data, note);
        const char *list = strrchr(note, ':');
        assert_non_null(list);
        assert_string_equal(list + 2, lists[i]);
        assert_string_equal(tn_data_prompt(data)->name, i < 2 ? "ivtlr-infer" : "ivtlr-infer-parens");
        tn_data_close(data);
    }
    remove_tree(tree);
}

static void test_names_of_splits(void **state)
{
    (void)state;
    static const char *const files[] = { "data/dev.jsonl", "dev.jsonl", "data/validation.jsonl", "val.jsonl" };
    static const char *const names[] = { "dev", "validation", "val" };
    for (size_t i = 0; i < 4; i++) {
        char *tree = make_tree();
        put_file(tree, files[i], ROW("a", ",\"image\":\"a.png\""));
        for (size_t k = 0; k < 3; k++) {
            tenebra_error error = { 0 };
            tn_data *data = open_set("m3cot", tree, names[k], NULL, &error);
            if (data == NULL)
                fail_msg("%s for %s: %s", files[i], names[k], error.sentence);
            assert_string_equal(tn_data_sample(data, 0)->split, "dev");
            tn_data_close(data);
        }
        refuse_set("m3cot", tree, "test", TENEBRA_ERROR_IO, "data/test.jsonl");
        refuse_set("m3cot", tree, "tset", TENEBRA_ERROR_ARGUMENT, "train, dev, test");
        refuse_set("m3kot", tree, "test", TENEBRA_ERROR_ARGUMENT, "scienceqa");
        remove_tree(tree);
    }
    refuse_set("m3cot", "/nowhere/at/all", "test", TENEBRA_ERROR_IO, "/nowhere/at/all");
}

/* The contents of line 2, and a part of the expected error. */
static void test_bad_rows(void **state)
{
    (void)state;
    static const struct {
        const char *row, *part;
    } rows[] = {
        { "{\"id\":\"b\"", "train.jsonl:2" },
        { "{\"id\":\"b\"", "JSON" },
        { "[1]", "not a JSON object" },
        { ROW("", ""), "no \"id\"" },
        { "{\"id\":\"b\",\"question\":\"\",\"choices\":[\"x\"],\"answer\":\"A\"}", "no \"question\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[],\"answer\":\"A\"}", "\"choices\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":\"xy\",\"answer\":\"A\"}", "\"choices\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",2],\"answer\":\"A\"}", "\"choices\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"answer\":\"A\"}", "\"choices\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":\"C\"}", "\"answer\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":\"a\"}", "\"answer\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":\"AB\"}", "\"answer\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":1}", "\"answer\"" },
        { "{\"id\":\"b\",\"question\":\"Q\",\"choices\":[\"x\",\"y\"]}", "\"answer\"" },
        { ROW("b", ",\"rationale\":[]"), "\"rationale\"" },
        { ROW("b", ",\"topic\":\"x\\u0000y\""), "zero byte" },
        { ROW("b", ",\"image\":\"../../secret.png\""), "not a file inside" },
        { ROW("b", ",\"image\":\"a\\\\..\\\\..\\\\x.png\""), "not a file inside" },
        { ROW("b", ",\"image\":\"images/\""), "not a file inside" },
        { ROW("b", ",\"image\":7"), "\"image\"" },
        { ROW("b", ",\"id\":\"c\""), "JSON" }, /* a key twice */
        { ROW("a", ",\"image\":\"a.png\""), "twice" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024], *tree = make_tree();
        snprintf(text, sizeof text, "%s%s", ROW("a", ",\"image\":\"a.png\""), rows[i].row);
        put_file(tree, "train.jsonl", text);
        refuse_set("m3cot", tree, "train", TENEBRA_ERROR_FORMAT, rows[i].part);
        remove_tree(tree);
    }
}

static void test_problems(void **state)
{
    (void)state;
    char *tree = make_tree();
    put_file(tree, "data/scienceqa/problems.json",
             "{\"3\":{\"question\":\"Q3\",\"choices\":[\"x\",\"y\",\"z\"],\"answer\":2,\"hint\":\"H\",\"image\":\"image.png\","
             "\"lecture\":\" L one.\\nL two. \",\"solution\":\" S.\",\"subject\":\"natural science\",\"grade\":\"grade2\","
             "\"topic\":\"t\",\"split\":\"test\"},"
             "\"1\":{\"question\":\"Q1\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"hint\":\"\",\"image\":null,\"lecture\":\"\","
             "\"solution\":\"\",\"split\":\"val\"},"
             "\"2\":{\"question\":\"Q2\",\"choices\":[\"x\",\"y\"],\"answer\":1,\"image\":\"image.png\",\"lecture\":\"L\","
             "\"solution\":\" \",\"split\":\"val\"}}");
    put_file(tree, "data/scienceqa/pid_splits.json",
             "{\"train\":[],\"val\":[\"2\",\"1\"],\"test\":[\"3\"],\"minitest\":[\"9\"],\"minival\":[3]}");
    put_file(tree, "data/scienceqa/images/test/3/image.png", "x");
    tenebra_error error;
    tn_data *data = open_set("scienceqa", tree, "test", NULL, &error);
    assert_non_null(data);
    const tn_sample *sample = tn_data_sample(data, 0);
    char path[600];
    snprintf(path, sizeof path, "%s/data/scienceqa/images/test/3/image.png", tree);
    assert_string_equal(sample->images[0], path);
    assert_string_equal(sample->label, "2");
    assert_string_equal(sample->context, "H");
    assert_string_equal(sample->rationale, "L one.\nL two. S.");
    assert_string_equal(sample->grade, "grade2");
    assert_string_equal(sample->subject, "natural science");
    tn_data_close(data);

    data = open_set("scienceqa", tree, "validation", &(tn_data_options){ .without_images = true }, &error);
    assert_non_null(data);
    assert_int_equal(tn_data_count(data), 2);
    assert_int_equal(tn_data_rows_with_image(data), 1);
    assert_string_equal(tn_data_sample(data, 0)->id, "2"); /* in the list's order */
    assert_string_equal(tn_data_sample(data, 0)->rationale, "L");
    assert_string_equal(tn_data_sample(data, 1)->rationale, "0"); /* neither lecture nor solution */
    tn_data_close(data);
    refuse_set("scienceqa", tree, "minitest", TENEBRA_ERROR_FORMAT, "problem 9");
    refuse_set("scienceqa", tree, "minival", TENEBRA_ERROR_FORMAT, "entry 0");
    refuse_set("scienceqa", tree, "minitrain", TENEBRA_ERROR_IO, "minitrain");
    put_file(tree, "data/scienceqa/problems.json", "{\"3\":{\"question\":\"Q\",\"choices\":[\"x\"],\"answer\":1}}");
    refuse_set("scienceqa", tree, "test", TENEBRA_ERROR_FORMAT, "\"answer\"");
    put_file(tree, "data/scienceqa/problems.json", "{\"3\":{\"question\":\"Q\",\"choices\":[\"x\"]}}");
    refuse_set("scienceqa", tree, "test", TENEBRA_ERROR_FORMAT, "\"answer\"");
    put_file(tree, "data/scienceqa/problems.json",
             "{\"3\":{\"question\":\"Q\",\"choices\":[\"x\"],\"answer\":0,\"image\":\"image.png\",\"split\":\"../..\"}}");
    refuse_set("scienceqa", tree, "test", TENEBRA_ERROR_FORMAT, "not a file inside");
    put_file(tree, "data/scienceqa/problems.json", "[]");
    refuse_set("scienceqa", tree, "test", TENEBRA_ERROR_FORMAT, "problem 3");
    remove_tree(tree);
}

/* The held-out part of a split never changes: these images of 400 (Python: hashlib.blake2b of b"held out\0images/N.png", 256
 * bits, the first 53 below 0.05). Questions about one image stay together. */
static void test_held_out(void **state)
{
    (void)state;
    static const size_t held[] = { 50, 97, 117, 121, 150, 154, 165, 204, 223, 264, 272, 292, 293, 310, 324, 369, 399 };
    enum { HELD = sizeof held / sizeof *held, PICTURES = 400 };
    char *tree = make_tree(), *text = malloc(PICTURES * 80);
    size_t used = 0;
    for (size_t i = 0; i < PICTURES; i++)
        used += (size_t)sprintf(text + used, "%s[\"is it red?\",\"no\",%zu],[\"what is it?\",\"circle\",%zu]", i > 0 ? "," : "[", i, i);
    strcpy(text + used, "]");
    put_file(tree, "train/questions.json", text);
    put_file(tree, "test/questions.json", "[[\"q\",\"yes\",0]]");
    static const char *const names[] = { "dev", "val", "train", "trainval", "test" };
    static const size_t counts[] = { 2 * HELD, 2 * HELD, 2 * (PICTURES - HELD), 2 * PICTURES, 1 };
    for (size_t i = 0; i < 5; i++) {
        tenebra_error error;
        tn_data *data = open_set("easy-vqa", tree, names[i], NULL, &error);
        assert_non_null(data);
        assert_int_equal(tn_data_count(data), counts[i]);
        assert_int_equal(tn_data_eligible(data), counts[i]);
        for (size_t k = 0; i == 0 && k < HELD; k++) {
            char id[32];
            snprintf(id, sizeof id, "train-%zu", 2 * held[k] + 1);
            assert_string_equal(tn_data_sample(data, 2 * k + 1)->id, id);
            assert_string_equal(tn_data_sample(data, 2 * k + 1)->split, "dev");
        }
        tn_data_close(data);
    }
    /* For any share of any split, the parts are disjoint, and a larger share contains the smaller one. */
    size_t before = 0;
    for (double share = 0.1; share < 0.9; share += 0.2) {
        tenebra_error error;
        const tn_data_options one = { .part = TN_PART_KEPT, .held_out = share }, two = { .part = TN_PART_HELD, .held_out = share };
        tn_data *kept = open_set("easy-vqa", tree, "train", &one, &error), *out = open_set("easy-vqa", tree, "train", &two, &error);
        assert_int_equal(tn_data_count(kept) + tn_data_count(out), 2 * PICTURES);
        assert_true(tn_data_count(out) > before && tn_data_count(out) > (size_t)(2 * PICTURES * (share - 0.08)));
        assert_true(tn_data_count(out) < (size_t)(2 * PICTURES * (share + 0.08)));
        before = tn_data_count(out);
        for (size_t i = 0; i < tn_data_count(kept); i++)
            for (size_t k = 0; k < tn_data_count(out); k++)
                assert_string_not_equal(tn_data_sample(kept, i)->images[0], tn_data_sample(out, k)->images[0]);
        tn_data_close(kept);
        tn_data_close(out);
    }
    free(text);
    remove_tree(tree);
}

static void test_open_questions(void **state)
{
    (void)state;
    char *tree = make_tree();
    put_file(tree, "train/questions.json",
             "[[\"is it red?\",\"no\",7],[\"what is it?\",\"circle\",7],[\"colour?\",\"teal\",0],"
             "[\"is a circle present?\",\"yes\",0]]");
    put_file(tree, "test/questions.json", "[[\"q\",\"yes\"]]");
    tenebra_error error;
    tn_data *data = open_set("easy-vqa", tree, "train", NULL, &error);
    assert_non_null(data);
    assert_int_equal(tn_data_count(data), 4);
    const tn_sample *sample = tn_data_sample(data, 1);
    char path[600];
    snprintf(path, sizeof path, "%s/train/images/7.png", tree);
    assert_string_equal(sample->images[0], path);
    assert_string_equal(sample->label, "circle");
    assert_int_equal(sample->option_count, 0);
    assert_string_equal(tn_data_sample(data, 0)->topic, "yes-no-colour");
    assert_string_equal(sample->topic, "shape");
    assert_string_equal(tn_data_sample(data, 2)->topic, "colour");
    assert_string_equal(tn_data_sample(data, 3)->topic, "yes-no-shape");
    tn_data_close(data);
    refuse_set("easy-vqa", tree, "test", TENEBRA_ERROR_FORMAT, "row 0");
    put_file(tree, "test/questions.json", "[[\"q\",\"yes\",-1]]");
    refuse_set("easy-vqa", tree, "test", TENEBRA_ERROR_FORMAT, "row 0");
    put_file(tree, "test/questions.json", "{}");
    refuse_set("easy-vqa", tree, "test", TENEBRA_ERROR_FORMAT, "not a list");
    put_file(tree, "test/questions.json", "");
    refuse_set("easy-vqa", tree, "test", TENEBRA_ERROR_FORMAT, "JSON");
    remove_tree(tree);
}

/* What is written is read again. */
static void test_written_rows_come_back(void **state)
{
    (void)state;
    static const char *const options[] = { "x", "y \"z\" \\", "\xC3\xA9" }, *const images[] = { "data/images/i.png" };
    tn_sample sample = { .id = "i", .question = "Q\n?", .context = "c", .options = options, .option_count = 3, .answer = 2,
                         .label = "C", .images = images, .image_count = 1, .rationale = "r.\ns.", .split = "dev",
                         .domain = "d", .topic = "t", .category = "k" };
    json_t *row = tn_rows_write(&sample);
    assert_non_null(row);
    char *line = json_dumps(row, JSON_ENSURE_ASCII), *tree = make_tree();
    put_file(tree, "dev.jsonl", line);
    tenebra_error error;
    tn_data *data = open_set("m3cot", tree, "dev", NULL, &error);
    assert_non_null(data);
    const tn_sample *back = tn_data_sample(data, 0);
    assert_string_equal(back->question, sample.question);
    assert_string_equal(back->rationale, sample.rationale);
    assert_string_equal(back->options[1], options[1]);
    assert_string_equal(back->options[2], options[2]);
    assert_int_equal(back->answer, 2);
    assert_string_equal(back->category, "k");
    tn_data_close(data);
    json_decref(row);
    free(line);
    remove_tree(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_held_out), cmocka_unit_test(test_names_of_splits), cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_problems), cmocka_unit_test(test_open_questions),
        cmocka_unit_test(test_written_rows_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
