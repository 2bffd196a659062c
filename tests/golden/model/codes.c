/* The image encoder whose results are codes, against the golden sets chameleon_64, chameleon_1024 (values inside the encoder, codes and
 * tokens) and preprocess (pixels), with every kernel set. The bound of values is that of the sets, 1e-4 of their largest value; the
 * nearest codes are 2.8e-4 apart, so codes are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

static const char *const sets[] = { TENEBRA_TEST_DATA "/golden/chameleon_64", TENEBRA_TEST_DATA "/golden/chameleon_1024" };
enum { SETS = sizeof sets / sizeof *sets };

static const tn_stored *find(const tn_store *store, const char *name)
{
    const tn_stored *found = tn_store_find(store, name);
    if (found == NULL)
        fail_msg("the golden set has no %s", name);
    return found;
}

static tn_store *open_case(const char *directory)
{
    char path[1024];
    tn_store *store;
    snprintf(path, sizeof path, "%s/case.safetensors", directory);
    assert_int_equal(tn_store_open(path, &store, NULL), TENEBRA_OK);
    return store;
}

static float *floats(const tn_store *store, const char *name)
{
    size_t count = find(store, name)->elements;
    float *values = malloc(count * sizeof *values);
    assert_int_equal(tn_store_read_f32(store, name, values, count, NULL), TENEBRA_OK);
    return values;
}

static tn_image picture(const tn_store *store, const char *name)
{
    const tn_stored *stored = find(store, name);
    tn_image image;
    assert_int_equal(stored->shape[2], 3);
    assert_int_equal(tn_image_new(&image, stored->shape[1], stored->shape[0], 3, NULL), TENEBRA_OK);
    memcpy(image.pixels, stored->data, stored->bytes);
    return image;
}

/* --------------------------------------------------------------- encoding -- */

/* What one encoding gives: tokens, and the values inside the encoder, as rows. */
typedef struct encoded {
    size_t rows;
    int32_t ids[1024];
    size_t vector_columns, attention_columns;
    tn_real *vectors, *attention;
} encoded;

static void watch(void *user, const char *name, size_t index, const tn_tensor *value)
{
    encoded *e = user;
    bool vectors = strcmp(name, "vq.prequant") == 0;
    (void)index;
    if (!vectors && strcmp(name, "vq.mid.attn") != 0)
        return;
    tn_real *values = malloc(value->rows * value->cols * sizeof *values);
    memcpy(values, value->data, value->rows * value->cols * sizeof *values);
    tn_real **kept = vectors ? &e->vectors : &e->attention;
    free(*kept); /* of an earlier image */
    *kept = values;
    *(vectors ? &e->vector_columns : &e->attention_columns) = value->cols;
}

static void drop(encoded *e)
{
    free(e->vectors);
    free(e->attention);
}

/* Encodes images one after another in one call; results of the last one are watched. */
static void encode_images(const tn_model *model, const tn_image *images, size_t count, encoded *all)
{
    tn_prepared prepared[4] = { 0 };
    const tn_prepared *from[4];
    tn_image_rows rows[4] = { 0 }, *to[4];
    tn_engine engine;
    tn_arena kept;
    tenebra_error error = { 0 };
    assert_int_equal(tn_engine_open(&engine, model, 2, NULL), TENEBRA_OK);
    assert_int_equal(tn_arena_open(&kept, 1 << 20, NULL), TENEBRA_OK);
    memset(all, 0, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(model->backbone->encoder->prepare(model->rule, &images[i], &prepared[i], NULL), TENEBRA_OK);
        rows[i] = tn_model_measure(model, images[i].width, images[i].height);
        from[i] = &prepared[i];
        to[i] = &rows[i];
    }
    engine.ops.watch = watch;
    engine.ops.watch_user = &all[count - 1];
    if (tn_engine_encode(&engine, from, to, count, &kept, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    for (size_t i = 0; i < count; i++) {
        all[i].rows = rows[i].rows;
        assert_non_null(rows[i].ids);
        assert_true(tn_tensor_is_empty(rows[i].embeds));
        memcpy(all[i].ids, rows[i].ids, rows[i].rows * sizeof *all[i].ids);
        tn_prepared_free(&prepared[i]);
    }
    tn_arena_close(&kept);
    tn_engine_close(&engine);
}

/* Largest distance of rows of channels to the golden tensor, [rows, columns] or a map [1, columns, height, width], relative to its largest
 * value. */
static double distance(const tn_store *store, const char *name, const tn_real *values, size_t rows, size_t columns)
{
    float *wanted = floats(store, name);
    bool map = find(store, name)->rank == 4;
    double most = 0, largest = 0;
    assert_int_equal(find(store, name)->elements, rows * columns);
    for (size_t i = 0; i < rows * columns; i++) {
        double goal = (double)wanted[map ? i % columns * rows + i / columns : i], d = fabs((double)values[i] - goal);
        most = d <= most ? most : d;
        largest = fmax(largest, fabs(goal));
    }
    free(wanted);
    return most / largest;
}

static size_t wrong_ids(const tn_store *store, const encoded *e)
{
    const int64_t *ids = find(store, "vq.token_ids")->data;
    size_t wrong = 0;
    assert_int_equal(find(store, "vq.token_ids")->elements, e->rows);
    for (size_t i = 0; i < e->rows; i++)
        wrong += ids[i] != e->ids[i];
    return wrong;
}

/* -------------------------------------------------------------------- tests -- */

static void test_codes(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETS; s++) {
        char directory[512];
        tn_store *store = open_case(sets[s]);
        tn_image image = picture(store, "image_u8");
        snprintf(directory, sizeof directory, "%s/model", sets[s]);
        for (size_t k = 0; tn_kernels_at(k) != NULL; k++) {
            tn_model *model = open_model(directory, tn_kernels_at(k)->name);
            encoded e;
            encode_images(model, &image, 1, &e);
            assert_int_equal(wrong_ids(store, &e), 0);
            assert_true(distance(store, "vq.prequant", e.vectors, e.rows, e.vector_columns) <= 1e-4);
            if (tn_store_find(store, "vq.mid.attn") != NULL)
                assert_true(distance(store, "vq.mid.attn", e.attention, e.rows, e.attention_columns) <= 1e-4);
            const int64_t *codes = find(store, "vq.codes")->data;
            size_t raw = 0;
            for (size_t i = 0; i < e.rows; i++) {
                assert_int_equal(e.ids[i], model->config.vision.ids[codes[i]]);
                raw += e.ids[i] == codes[i];
            }
            assert_int_equal(raw, 0); /* the number of a code is never its token (P8) */
            drop(&e);
            tn_model_close(model);
        }
        tn_image_free(&image);
        tn_store_close(store);
    }
}

/* Another image, and another weight, give other codes and values: the comparison would notice. */
static void test_what_must_be_noticed(void **state)
{
    (void)state;
    char directory[512];
    tn_store *store = open_case(sets[0]);
    tn_image image = picture(store, "image_u8"), turned = picture(store, "image_u8");
    for (size_t i = 0; i < image.width * image.height; i++)
        memcpy(turned.pixels + 3 * i, image.pixels + 3 * (i / image.width * image.width + image.width - 1 - i % image.width), 3);
    snprintf(directory, sizeof directory, "%s/model", sets[0]);
    tn_model *model = open_model(directory, NULL);
    encoded e[3];
    encode_images(model, &turned, 1, &e[0]);
    assert_true(wrong_ids(store, &e[0]) > 10);
    assert_true(distance(store, "vq.prequant", e[0].vectors, e[0].rows, e[0].vector_columns) > 0.1);
    drop(&e[0]);
    tn_network *tower = tn_networks_find(&model->networks, TN_NETWORK_IMAGES);
    tower->vectors[3] += (tn_real)0.5; /* one bias of the first convolution */
    encode_images(model, &image, 1, &e[0]);
    assert_true(wrong_ids(store, &e[0]) > 0);
    assert_true(distance(store, "vq.mid.attn", e[0].attention, e[0].rows, e[0].attention_columns) > 1e-4);
    drop(&e[0]);
    tower->vectors[3] -= (tn_real)0.5;
    /* Several images in one call, of other sizes, too, are encoded as if alone. */
    tn_image wide = { 0 };
    assert_int_equal(tn_image_resize(&image, 48, 24, TN_RESAMPLE_BICUBIC, &wide, NULL), TENEBRA_OK);
    const tn_image images[3] = { turned, wide, image };
    encode_images(model, images, 3, e);
    assert_int_equal(e[1].rows, 12 * 6);
    assert_int_equal(wrong_ids(store, &e[2]), 0);
    assert_true(wrong_ids(store, &e[0]) > 10);
    for (size_t i = 0; i < 3; i++)
        drop(&e[i]);
    tn_image_free(&wide);
    tn_image_free(&image);
    tn_image_free(&turned);
    tn_model_close(model);
    tn_store_close(store);
}

/* Weights that are not finite are an error that names the tensor, not some code. */
static void spoil(void *user, copied *tensor)
{
    if (strcmp(tensor->name, user) == 0)
        ((float *)tensor->data)[0] = NAN;
}

static void test_not_finite(void **state)
{
    static const struct {
        const char *tensor, *words;
    } cases[] = {
        { "model.vqmodel.encoder.down.1.block.0.conv2.weight", "vision block 1" },
        { "model.vqmodel.encoder.down.1.downsample.conv.weight", "vision block 1" },
        { "model.vqmodel.encoder.down.2.block.0.nin_shortcut.bias", "vision block 2" },
        { "model.vqmodel.encoder.mid.attn_1.k.weight", "the layers after the blocks of the vision tower" },
        { "model.vqmodel.encoder.conv_in.bias", "the input of the blocks of the vision tower" },
    };
    (void)state;
    tn_store *store = open_case(sets[0]);
    tn_image image = picture(store, "image_u8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char from[512], name[128];
        snprintf(from, sizeof from, "%s/model", sets[0]);
        snprintf(name, sizeof name, "%s", cases[i].tensor);
        char *directory = edited_model(from, spoil, name, "{}");
        tn_model *model = open_model(directory, NULL);
        tn_engine engine;
        tn_arena kept;
        tn_prepared prepared;
        tenebra_error error = { 0 };
        assert_int_equal(tn_engine_open(&engine, model, 1, NULL), TENEBRA_OK);
        assert_int_equal(tn_arena_open(&kept, 1 << 20, NULL), TENEBRA_OK);
        assert_int_equal(model->backbone->encoder->prepare(model->rule, &image, &prepared, NULL), TENEBRA_OK);
        tn_image_rows rows = tn_model_measure(model, image.width, image.height), *to = &rows;
        const tn_prepared *one = &prepared;
        assert_int_equal(tn_engine_encode(&engine, &one, &to, 1, &kept, &error), TENEBRA_ERROR_FORMAT);
        assert_string_equal(error.where, cases[i].tensor);
        assert_non_null(strstr(error.sentence, cases[i].words));
        tn_prepared_free(&prepared);
        tn_arena_close(&kept);
        tn_engine_close(&engine);
        tn_model_close(model);
        remove_directory(directory);
    }
    tn_image_free(&image);
    tn_store_close(store);
}

/* ------------------------------------------------------------------- pixels -- */

/* Values that differ from the golden planes [3, 24, 24] after the encoder's own fit, crop and arithmetic, with `rule` as the contents of a
 * processor file. */
static size_t wrong_pixels(const tn_store *store, const tn_image *image, const char *name, const char *rule)
{
    const tn_image_encoder *encoder = tn_backbone_find("chameleon")->encoder;
    static const tenebra_image_rule nothing = { 0 };
    tn_model_config config = { 0 };
    json_t *sizes = json_loads("{\"resolution\": 24, \"channel_multiplier\": [1, 1, 1, 1]}", 0, NULL), *part = json_loads(rule, 0, NULL);
    void *memory = calloc(1, encoder->rule_bytes);
    tn_fit fit;
    tn_image seen;
    tn_prepared prepared;
    assert_int_equal(encoder->read_config(sizes, "config.json", &config, NULL), TENEBRA_OK);
    assert_int_equal(encoder->read_rule(part, "preprocessor_config.json", &config.vision, memory, NULL), TENEBRA_OK);
    assert_int_equal(encoder->fit(memory, image->width, image->height, &nothing, &fit, NULL), TENEBRA_OK);
    assert_int_equal(tn_fit_apply(&fit, image, &seen, NULL), TENEBRA_OK);
    assert_int_equal(encoder->prepare(memory, &seen, &prepared, NULL), TENEBRA_OK);
    assert_int_equal(prepared.rows, 24 * 24);
    assert_int_equal(prepared.columns, 3);
    float *wanted = floats(store, name);
    size_t wrong = 0;
    for (size_t i = 0; i < 3 * 24 * 24; i++)
        wrong += !(prepared.values[i] == wanted[i % 3 * 576 + i / 3]);
    free(wanted);
    free(memory);
    tn_prepared_free(&prepared);
    tn_image_free(&seen);
    json_decref(sizes);
    json_decref(part);
    return wrong;
}

static void test_pixels(void **state)
{
    static const char whole[] = "{\"size\": {\"shortest_edge\": 24}, \"crop_size\": {\"height\": 24, \"width\": 24}, \"resample\": 1, "
                                "\"rescale_factor\": 0.0078, \"image_mean\": [1, 1, 1], \"image_std\": [1, 1, 1]}";
    (void)state;
    tn_store *store;
    assert_int_equal(tn_store_open(TENEBRA_TEST_DATA "/golden/preprocess/case.safetensors", &store, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 2; i++) {
        char source[64], values[64];
        snprintf(source, sizeof source, "chameleon.%zu.src", i);
        snprintf(values, sizeof values, "chameleon.%zu.pixel_values", i);
        tn_image image = picture(store, source);
        assert_int_equal(wrong_pixels(store, &image, values, whole), 0);
        assert_int_equal(wrong_pixels(store, &image, values, "{}"), 0); /* these are the defaults */
        assert_true(wrong_pixels(store, &image, values, "{\"resample\": 3}") > 100);
        assert_true(wrong_pixels(store, &image, values, "{\"size\": {\"shortest_edge\": 25}}") > 100);
        assert_true(wrong_pixels(store, &image, values, "{\"rescale_factor\": 0.00784313725490196}") > 100);
        assert_true(wrong_pixels(store, &image, values, "{\"image_mean\": [0.5, 0.5, 0.5]}") > 100);
        tn_image_free(&image);
    }
    tn_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_what_must_be_noticed),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
