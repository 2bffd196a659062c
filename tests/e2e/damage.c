/* `tenebra verify` on the golden sets, for every kernel set of this machine; and that it would notice: each kind
 * of weight damaged, each tensor of a case changed, other choices of the loop, foreign and broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

#include <sys/wait.h>

#define GOLDEN TENEBRA_TEST_DATA "/golden/"
#define TIED_CASE GOLDEN "qwen2vl_tied/case.safetensors"
#define UNTIED_CASE GOLDEN "qwen2vl_untied/case.safetensors"
#define PREPROCESS_CASE GOLDEN "preprocess/case.safetensors"

/* --------------------------------------------------------------- running -- */

typedef struct result {
    int code;
    char *text; /* stdout and stderr, owned */
} result;

/* Runs the program with arguments as a shell reads them, under a kernel set ("": the best). */
static result run(const char *kernels, const char *format, ...) TN_PRINTF(2, 3);

static result run(const char *kernels, const char *format, ...)
{
    char command[8192], arguments[7000];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "TENEBRA_KERNELS='%s' '%s' %s 2>&1", kernels, TENEBRA_PROGRAM, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = 0, capacity = 1 << 20;
    char *text = malloc(capacity);
    assert_non_null(text);
    for (size_t got; (got = fread(text + size, 1, capacity - size - 1, pipe)) > 0;) {
        size += got;
        if (size + 1 == capacity)
            assert_non_null(text = realloc(text, capacity *= 2));
    }
    text[size] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status)); /* no signal: not even for a broken file */
    return (result){ WEXITSTATUS(status), text };
}

/* The program must end with this code and print these words. */
static void ends(result r, int code, const char *words)
{
    if (r.code != code || strstr(r.text, words) == NULL)
        print_error("exit code %d, wanted %d and \"%s\":\n%.3000s\n", r.code, code, words, r.text);
    assert_int_equal(r.code, code);
    assert_non_null(strstr(r.text, words));
    free(r.text);
}

/* --------------------------------------------------------------- all pass -- */

static size_t count_of(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    assert_non_null(at);
    while (at > text && (at[-1] == ' ' || (at[-1] >= '0' && at[-1] <= '9')))
        at--;
    return strtoul(at, NULL, 10);
}

/* Exit code 0, and at least as many quantities as the set is known to have. */
static void passes(const char *kernels, const char *path, size_t least, size_t uncovered)
{
    result r = run(kernels, "verify --quiet '%s'", path);
    if (r.code != 0)
        print_error("%s, %s:\n%.3000s\n", kernels, path, r.text);
    assert_int_equal(r.code, 0);
    assert_true(count_of(r.text, " passed") >= least);
    assert_int_equal(count_of(r.text, " failed"), 0);
    assert_int_equal(count_of(r.text, " not covered"), uncovered);
    free(r.text);
}

static void test_all_sets_pass(void **state)
{
    (void)state;
    size_t sets = 0;
    result list = run("", "bench --list-kernels");
    assert_int_equal(list.code, 0);
    char *rest = list.text;
    for (char *name; (name = strtok_r(rest, "\n", &rest)) != NULL; sets++) {
        char words[128];
        passes(name, TIED_CASE, 162, 0);
        passes(name, UNTIED_CASE, 181, 0);
        passes(name, PREPROCESS_CASE, 6, 6);
        snprintf(words, sizeof words, "\"kernels\":\"%s\"", name);
        ends(run(name, "verify --json '%s'", TIED_CASE), 0, words);
    }
    free(list.text);
    assert_true(sets >= 1);
    ends(run("", "verify -q --strict '%s' '%s'", TIED_CASE, UNTIED_CASE), 0, "181 passed");
    for (int threads = 1; threads <= 4; threads++)
        ends(run("", "verify -q -t %d '%s'", threads, UNTIED_CASE), 0, "181 passed");
}

/* ------------------------------------------------------------ bad weights -- */

typedef struct damage {
    char name[256];
    size_t element;
    bool nan; /* else 0.1 is added */
} damage;

static void spoil(void *user, copied *tensor)
{
    const damage *d = user;
    float value;
    if (strcmp(tensor->name, d->name) != 0)
        return;
    assert_true(4 * d->element < tensor->bytes);
    memcpy(&value, tensor->data + 4 * d->element, 4);
    value = d->nan ? (float)NAN : value + 0.1f;
    memcpy(tensor->data + 4 * d->element, &value, 4);
}

/* verify must find the damage, and name the first quantity that differs. */
static void damage_is_found(const char *model, const char *path, const damage *d)
{
    damage copy_of = *d;
    char *directory = edited_model(model, spoil, &copy_of, "{}");
    result r = run("", "verify -q -m '%s' '%s'", directory, path);
    if (r.code != 1)
        print_error("%s of element %zu of %s is not found\n", d->nan ? "NaN" : "change", d->element, d->name);
    ends(r, 1, "first divergence: ");
    remove_directory(directory);
}

/* Two layers, one block. */
static tenebra_code damage_place(void *user, const tn_place *place, tenebra_error *error)
{
    const int64_t *ids = user;
    damage d = { .element = place->rows * place->cols / 2 };
    bool layer = place->network->layout->kind == TN_NETWORK_DECODER && place->row->group > 0;
    (void)error;
    if (place->row->role == TN_ROLE_HEAD || place->number > layer)
        return TENEBRA_OK;
    snprintf(d.name, sizeof d.name, "%s", place->name);
    if (place->row->role == TN_ROLE_EMBEDDING)
        d.element = (size_t)ids[0] * place->cols + 3;
    for (int nan = 0; nan < 2; nan++) {
        d.nan = nan;
        damage_is_found(TIED, TIED_CASE, &d);
    }
    return TENEBRA_OK;
}

static void test_every_kind_of_weight(void **state)
{
    (void)state;
    tn_model *model = open_model(TIED, NULL);
    tn_store *golden;
    assert_int_equal(tn_store_open(TIED_CASE, &golden, NULL), TENEBRA_OK);
    int64_t ids[46];
    assert_int_equal(tn_store_read_i64(golden, "plain.ids", ids, 46, NULL), TENEBRA_OK);
    assert_int_equal(tn_networks_each(&model->networks, damage_place, ids, NULL), TENEBRA_OK);
    tn_store_close(golden);
    tn_model_close(model);
    for (int nan = 0; nan < 2; nan++) {
        damage head = { .name = "lm_head.weight", .element = 64 * 200 + 5, .nan = nan };
        damage second_block = { .name = "visual.blocks.1.attn.qkv.bias", .element = 70, .nan = nan };
        damage_is_found(UNTIED, UNTIED_CASE, &head);
        damage_is_found(UNTIED, UNTIED_CASE, &second_block);
    }
}

/* The right weights in the wrong place, and the model of another case. */
static void swap_norms(void *user, copied *tensor)
{
    (void)user;
    if (strcmp(tensor->name, "model.layers.0.input_layernorm.weight") == 0)
        snprintf(tensor->name, sizeof tensor->name, "model.layers.0.post_attention_layernorm.weight");
    else if (strcmp(tensor->name, "model.layers.0.post_attention_layernorm.weight") == 0)
        snprintf(tensor->name, sizeof tensor->name, "model.layers.0.input_layernorm.weight");
}

static void test_wrong_model(void **state)
{
    (void)state;
    static const char *const configs[] = { "{\"rope_theta\": 10000}", "{\"rms_norm_eps\": 0.01}",
                                           "{\"rope_scaling\": {\"mrope_section\": [2, 3, 3]}}",
                                           "{\"image_token_id\": 277}" };
    char *directory = edited_model(TIED, swap_norms, NULL, "{}");
    ends(run("", "verify -q -m '%s' '%s'", directory, TIED_CASE), 1, "first divergence: textonly.last_logits");
    remove_directory(directory);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        directory = edited_model(TIED, NULL, NULL, configs[i]);
        ends(run("", "verify -q -m '%s' '%s'", directory, TIED_CASE), 1, "first divergence: ");
        remove_directory(directory);
    }
    ends(run("", "verify -q -m '%s' '%s'", UNTIED, TIED_CASE), 1, "first divergence: ");
    ends(run("", "verify -q -m /nonexistent '%s'", TIED_CASE), 1, "not a model directory");
}

/* -------------------------------------------------------------- bad cases -- */

/* A changed copy of a case in `directory`, from tensors that `edit` has seen. */
static void write_case(const char *directory, const char *name, const char *path, edit_fn *edit, void *user)
{
    char out[1024];
    copy *all = copy_open(path);
    for (size_t i = 0; i < all->count; i++)
        edit(user, &all->tensors[i]);
    snprintf(out, sizeof out, "%s/%s", directory, name);
    copy_write_file(all, out, 0);
    copy_close(all);
}

static void case_fails(const char *model, const char *path, edit_fn *edit, void *user, const char *words)
{
    char *directory = make_directory();
    write_case(directory, "case.safetensors", path, edit, user);
    ends(run("", "verify -q -m '%s' '%s/case.safetensors'", model, directory), 1, words);
    remove_directory(directory);
}

/* Stated to be for information only, or read by nothing. */
static bool is_for_information(const char *name)
{
    return strstr(name, ".native.") != NULL || strcmp(name, "prompt_ids") == 0 || strcmp(name, "eos_token_id") == 0;
}

typedef struct target {
    const char *name;
} target;

/* Changes one number: of labels the last (the first ones are unlabelled), else one in the middle. */
static void change_one(void *user, copied *tensor)
{
    const target *t = user;
    if (strcmp(tensor->name, t->name) != 0)
        return;
    assert_true(tensor->elements > 0);
    size_t size = tensor->bytes / tensor->elements, middle = tensor->elements / 2;
    bool last = strstr(t->name, "labels") != NULL || strstr(t->name, ".gen_calls") != NULL;
    unsigned char *at = tensor->data + size * (last ? tensor->elements - 1 : middle);
    if (tensor->type != TN_STORE_F32) {
        at[0] ^= 1;
        return;
    }
    float value;
    for (memcpy(&value, at, 4); !isfinite(value); at += 4) /* scores of used patches are -inf */
        memcpy(&value, at + 4, 4);
    value += 0.01f + 0.01f * fabsf(value);
    memcpy(at, &value, 4);
}

/* One copy of the case for each of its tensors, with one number changed: each must fail by itself. */
static void every_tensor_counts(const char *model, const char *path)
{
    char *directory = make_directory();
    tn_store *store;
    assert_int_equal(tn_store_open(path, &store, NULL), TENEBRA_OK);
    size_t tried = 0;
    for (size_t i = 0; i < tn_store_count(store); i++) {
        target t = { tn_store_at(store, i)->name };
        if (is_for_information(t.name))
            continue;
        write_case(directory, "case.safetensors", path, change_one, &t);
        result r = run("", "verify -q -m '%s' '%s/case.safetensors'", model, directory);
        if (r.code != 1)
            print_error("a change of %s is not noticed\n", t.name);
        ends(r, 1, "first divergence: ");
        tried++;
    }
    assert_true(tried > 100);
    tn_store_close(store);
    remove_directory(directory);
}

static void test_every_tensor_counts(void **state)
{
    (void)state;
    every_tensor_counts(TIED, TIED_CASE);
}

typedef struct nudge {
    const char *name;
    double part; /* of the largest magnitude */
} nudge;

/* Moves the value of the smallest magnitude. */
static void move_smallest(void *user, copied *tensor)
{
    const nudge *n = user;
    if (strcmp(tensor->name, n->name) != 0)
        return;
    float *values = (float *)(void *)tensor->data, largest = 0;
    size_t at = 0;
    for (size_t i = 0; i < tensor->elements; i++) {
        if (isfinite(values[i]))
            largest = fmaxf(largest, fabsf(values[i]));
        if (fabsf(values[i]) < fabsf(values[at]))
            at = i;
    }
    values[at] += (float)(n->part * (double)largest);
}

/* What may differ is a part of the tensor's range, whatever the range and the element: logits of some units here, scores far below
 * one. A loss is measured by one at least. */
static void test_bound_follows_the_range(void **state)
{
    (void)state;
    static const char *const names[] = { "plain.mrope.logits_last24", "plain.arange.hidden_last", "ivtlr.K2.N2.cuda.scores",
                                         "vision.embeds" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        nudge within = { names[i], 0.8e-4 }, beyond = { names[i], 1.3e-4 };
        char *directory = make_directory();
        write_case(directory, "case.safetensors", TIED_CASE, move_smallest, &within);
        ends(run("", "verify -q -m '%s' '%s/case.safetensors'", TIED, directory), 0, "0 failed");
        remove_directory(directory);
        case_fails(TIED, TIED_CASE, move_smallest, &beyond, names[i]);
    }
}

/* Renames tensors: replaces `from` by `to` in every name. */
typedef struct renaming {
    const char *from, *to;
    bool both_ways;
} renaming;

static bool replace(copied *tensor, const char *from, const char *to)
{
    char old[256];
    memcpy(old, tensor->name, sizeof old);
    char *at = strstr(old, from);
    if (at == NULL)
        return false;
    snprintf(tensor->name, sizeof tensor->name, "%.*s%s%.100s", (int)(at - old), old, to, at + strlen(from));
    return true;
}

static void rename_tensor(void *user, copied *tensor)
{
    const renaming *r = user;
    if (!replace(tensor, r->from, r->to) && r->both_ways)
        replace(tensor, r->to, r->from);
}

/* The numbers of one way of computing under the name of another one. */
static void test_other_choices(void **state)
{
    (void)state;
    static const renaming tied[] = {
        { "K3.N3.cuda", "K3.N3.asc", true },            /* order of the picks */
        { "K3.N3.desc", "K3.N3.cuda", true },
        { "ivtlr.K2.", "ivtlr.K1.", false },            /* picks a step       */
        { "ivtlr.K3.", "ivtlr.K4.", false },
        { ".N2.", ".N3.", true },                       /* latent steps       */
        { "plain.mrope.hidden_last", "plain.arange.hidden_last", true }, /* positions */
        { "plain.mrope.logits_last24", "plain.arange.logits_last24", true },
    };
    for (size_t i = 0; i < sizeof tied / sizeof *tied; i++) {
        renaming r = tied[i];
        case_fails(TIED, TIED_CASE, rename_tensor, &r, "first divergence: ");
    }
    renaming stop = { "eos.first.generated", "eos.later.generated", true };
    case_fails(UNTIED, UNTIED_CASE, rename_tensor, &stop, "first divergence: eos.");
}

/* Picks in another order: named by the tensor that shows it. */
static void swap_picks(void *user, copied *tensor)
{
    if (strcmp(tensor->name, user) != 0)
        return;
    unsigned char kept[8];
    memcpy(kept, tensor->data, 8);
    memcpy(tensor->data, tensor->data + 8, 8);
    memcpy(tensor->data + 8, kept, 8);
}

static void test_swapped_picks(void **state)
{
    (void)state;
    case_fails(TIED, TIED_CASE, swap_picks, (char[]){ "ivtlr.K2.N2.cuda.selected" },
               "first divergence: ivtlr.K2.N2.cuda.selected at element 0");
    case_fails(UNTIED, UNTIED_CASE, swap_picks, (char[]){ "batch2.selected" }, "first divergence: batch2.selected");
}

/* Ids beyond 32 bits are not ids, even if their low half is right. */
static void widen_ids(void *user, copied *tensor)
{
    if (strcmp(tensor->name, user) == 0)
        tensor->data[4] ^= 1;
}

static void test_wide_ids(void **state)
{
    (void)state;
    static const char *const names[] = { "plain.ids", "textonly.ids", "ids.N0.gen", "ids.N2.gen", "ids.N2.train",
                                         "batch2.input_ids" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", names[i]);
        case_fails(UNTIED, UNTIED_CASE, widen_ids, name, "first divergence: ");
    }
}

/* Other shapes: a row less, one dimension, no rows, other types. What cannot be computed fails. */
typedef struct reshaping {
    const char *name;
    enum { ROW_LESS, FLATTEN, NOTHING, AS_U8 } kind;
} reshaping;

static void reshape(void *user, copied *tensor)
{
    const reshaping *r = user;
    size_t shape[TN_STORED_RANK_MAX];
    if (strcmp(tensor->name, r->name) != 0)
        return;
    memcpy(shape, tensor->shape, sizeof shape);
    switch (r->kind) {
    case ROW_LESS: shape[0]--; copy_reshape(tensor, tensor->rank, shape); break;
    case FLATTEN: shape[0] = tensor->elements; copy_reshape(tensor, 1, shape); break;
    case NOTHING: shape[0] = 0; copy_reshape(tensor, tensor->rank, shape); break;
    case AS_U8: shape[0] = tensor->bytes; tensor->type = TN_STORE_U8; copy_reshape(tensor, 1, shape); break;
    }
}

static void test_misshapen_inputs(void **state)
{
    (void)state;
    static const char *const names[] = { "pixel_values", "image_grid_thw", "plain.ids", "textonly.ids", "ids.N2.train",
                                         "ids.N2.labels", "ids.N2.gen", "multi.pixel_values", "multi.image_grid_thw",
                                         "batch2.input_ids", "batch2.attention_mask", "batch2.labels", "eos.later.eos_id",
                                         "latent_token_id" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int kind = ROW_LESS; kind <= AS_U8; kind++) {
            reshaping r = { names[i], ROW_LESS };
            r.kind = kind;
            if (kind != FLATTEN || strstr(names[i], "pixel") || strstr(names[i], "grid") || strstr(names[i], "input_ids"))
                case_fails(UNTIED, UNTIED_CASE, reshape, &r, "first divergence: ");
        }
}

/* Grids that no image can have. */
typedef struct grid_change {
    int64_t values[3];
} grid_change;

static void set_grid(void *user, copied *tensor)
{
    if (strcmp(tensor->name, "image_grid_thw") == 0)
        memcpy(tensor->data, ((const grid_change *)user)->values, 24);
}

static void test_hostile_grids(void **state)
{
    (void)state;
    static const grid_change grids[] = { { { 1, 36, 1 } }, { { 1, 1, 36 } }, { { 36, 1, 1 } }, { { 0, 6, 6 } }, { { -1, -6, 6 } },
                                         { { 1, 12, 3 } }, { { 1, 65535, 65535 } }, { { INT64_MAX, 2, 2 } }, { { 1, 18, 2 } } };
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        grid_change g = grids[i];
        case_fails(TIED, TIED_CASE, set_grid, &g, "first divergence: ");
    }
}

/* ------------------------------------------------------------ other files -- */

static void keep_only(void *user, copied *tensor)
{
    tensor->drop = strstr(tensor->name, user) == NULL;
}

static void add_unknown(const char *directory, const char *name)
{
    char out[1024];
    copy *all = copy_open(TIED_CASE);
    copy_add(all, name, 1, 1);
    snprintf(out, sizeof out, "%s/case.safetensors", directory);
    copy_write_file(all, out, 0);
    copy_close(all);
}

static void test_strict(void **state)
{
    (void)state;
    char *directory = make_directory();
    add_unknown(directory, "mystery.codes");
    ends(run("", "verify -m '%s' '%s/case.safetensors'", TIED, directory), 0, "mystery.codes");
    ends(run("", "verify -q -m '%s' '%s/case.safetensors'", TIED, directory), 0, "1 not covered yet");
    ends(run("", "verify -q --strict -m '%s' '%s/case.safetensors'", TIED, directory), 1, "1 not covered yet");
    remove_directory(directory);
    ends(run("", "verify -q --strict '%s'", PREPROCESS_CASE), 1, "6 not covered yet");
    ends(run("", "verify -q --strict '%s/model.safetensors'", TIED), 1, "nothing in it was recognised");
}

static void test_unrecognised(void **state)
{
    (void)state;
    ends(run("", "verify '%s/model.safetensors'", TIED), 1, "nothing in it was recognised");
    ends(run("", "verify '%sREADME.md'", GOLDEN), 1, "README.md");
    ends(run("", "verify /nonexistent.safetensors"), 1, "/nonexistent.safetensors");
    ends(run("", "verify"), 2, "requires a CASE");
    ends(run("abacus", "verify '%s'", TIED_CASE), 2, "abacus");
    ends(run("", "verify -q '%s' '%s/model.safetensors'", TIED_CASE, TIED), 1, "162 passed, 0 failed");
    char *directory = make_directory();
    write_case(directory, "case.safetensors", TIED_CASE, keep_only, (char[]){ "native" });
    ends(run("", "verify -m '%s' '%s/case.safetensors'", TIED, directory), 1, "nothing in it was recognised");
    remove_directory(directory);
}

/* Part of a case is a case: what is there is verified. */
static void test_partial_case(void **state)
{
    (void)state;
    char *directory = make_directory();
    write_case(directory, "case.safetensors", PREPROCESS_CASE, keep_only, (char[]){ "smart_resize" });
    ends(run("", "verify -q '%s/case.safetensors'", directory), 0, "1 passed, 0 failed");
    remove_directory(directory);
}

/* The JSON of a failure is JSON, and names what the text names. */
static void test_json(void **state)
{
    (void)state;
    char *directory = make_directory();
    target t = { "ivtlr.K2.N2.cuda.loss" };
    write_case(directory, "case.safetensors", TIED_CASE, change_one, &t);
    result r = run("", "verify --json -m '%s' '%s/case.safetensors'", TIED, directory);
    json_t *json = json_loads(r.text, 0, NULL);
    assert_int_equal(r.code, 1);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "first_divergence")), t.name);
    assert_int_equal(json_integer_value(json_object_get(json, "failed")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "passed")), 161);
    assert_int_equal(json_array_size(json_object_get(json, "rows")), 162);
    json_decref(json);
    free(r.text);
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sets_pass),       cmocka_unit_test(test_every_kind_of_weight),
        cmocka_unit_test(test_wrong_model),         cmocka_unit_test(test_every_tensor_counts),
        cmocka_unit_test(test_other_choices),       cmocka_unit_test(test_swapped_picks),
        cmocka_unit_test(test_wide_ids),            cmocka_unit_test(test_misshapen_inputs),
        cmocka_unit_test(test_hostile_grids),       cmocka_unit_test(test_strict),
        cmocka_unit_test(test_unrecognised),        cmocka_unit_test(test_partial_case),
        cmocka_unit_test(test_json),                cmocka_unit_test(test_bound_follows_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
