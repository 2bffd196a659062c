/* Copies of the golden models with something changed, and one run through a model that the tests
 * compare. Include after cmocka.h. */
#ifndef TN_TESTS_UNIT_MODEL_MODELS_H
#define TN_TESTS_UNIT_MODEL_MODELS_H

#include "base/checked.h"
#include "base/rng.h"
#include "image/patches.h"
#include "model/pieces.h"
#include "model/session.h"
#include "store/writer.h"
#include "unit/store/files.h"

#include <math.h>

#define TIED TENEBRA_TEST_DATA "/golden/qwen2vl_tied/model"
#define UNTIED TENEBRA_TEST_DATA "/golden/qwen2vl_untied/model"

/* sqrt(sum (a - b)^2 / sum b^2); NaN if there is one. */
static inline double relative_distance(const tn_real *a, const tn_real *b, size_t count)
{
    double errors = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        errors += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        squares += (double)b[i] * (double)b[i];
    }
    return sqrt(errors / squares);
}

/* ------------------------------------------------------- changed copies -- */

/* One tensor on its way from the golden model to a copy. */
typedef struct copied {
    char name[256];
    tn_store_type type;
    size_t rank, shape[TN_STORED_RANK_MAX], elements, bytes;
    unsigned char *data;
    bool drop;
    size_t file; /* number of the shard */
} copied;

/* Changes one tensor; called for each. */
typedef void edit_fn(void *user, copied *tensor);

enum { COPIED_MAX = 256, SHARDS_MAX = 4 };

typedef struct copy {
    copied tensors[COPIED_MAX];
    size_t count;
} copy;

static inline copy *copy_open(const char *model)
{
    tn_store *store;
    assert_int_equal(tn_store_open(model, &store, NULL), TENEBRA_OK);
    copy *all = calloc(1, sizeof *all);
    assert_non_null(store);
    assert_non_null(all);
    all->count = tn_store_count(store);
    assert_true(all->count + 2 < COPIED_MAX);
    for (size_t i = 0; i < all->count; i++) {
        const tn_stored *from = tn_store_at(store, i);
        copied *to = &all->tensors[i];
        snprintf(to->name, sizeof to->name, "%s", from->name);
        to->type = from->type;
        to->rank = from->rank;
        memcpy(to->shape, from->shape, sizeof to->shape);
        to->elements = from->elements;
        to->bytes = from->bytes;
        to->data = malloc(from->bytes);
        assert_non_null(to->data);
        memcpy(to->data, from->data, from->bytes);
    }
    tn_store_close(store);
    return all;
}

static inline copied *copy_find(copy *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->tensors[i].name, name) == 0)
            return &all->tensors[i];
    fail_msg("the golden model has no tensor %s", name);
    return NULL;
}

/* Another tensor, zeroed. */
static inline copied *copy_add(copy *all, const char *name, size_t rows, size_t cols)
{
    assert_true(all->count < COPIED_MAX);
    copied *tensor = &all->tensors[all->count++];
    *tensor = (copied){ .type = TN_STORE_F32, .rank = 2, .shape = { rows, cols }, .elements = rows * cols,
                        .bytes = rows * cols * 4, .data = calloc(rows * cols, 4) };
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    assert_non_null(tensor->data);
    return tensor;
}

/* Gives the tensor these dimensions; values are cut or zero. */
static inline void copy_reshape(copied *tensor, size_t rank, const size_t *shape)
{
    size_t elements, bytes;
    assert_true(tn_store_extent(tensor->type, rank, shape, &elements, &bytes));
    unsigned char *data = calloc(bytes + 1, 1);
    assert_non_null(data);
    memcpy(data, tensor->data, tn_min(bytes, tensor->bytes));
    free(tensor->data);
    tensor->data = data;
    tensor->rank = rank;
    memcpy(tensor->shape, shape, rank * sizeof *shape);
    tensor->elements = elements;
    tensor->bytes = bytes;
}

/* Stores an F32 tensor as `type`, or (keep) rounds it to `type` and stays F32. */
static inline void copy_round(copied *tensor, tn_dtype type, bool keep)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    assert_int_equal(tensor->type, TN_STORE_F32);
    unsigned char *packed = calloc(tensor->elements, traits->block_bytes);
    float *values = malloc(tensor->bytes);
    assert_non_null(packed);
    assert_non_null(values);
    memcpy(values, tensor->data, tensor->bytes);
    traits->pack(values, tensor->elements, packed);
    traits->unpack(packed, tensor->elements, values);
    if (keep) {
        memcpy(tensor->data, values, tensor->bytes);
        free(packed);
    } else {
        free(tensor->data);
        tensor->data = packed;
        tensor->type = tn_store_type_of_weight(type);
        tensor->bytes = tensor->elements * traits->block_bytes;
    }
    free(values);
}

static inline void copy_write_file(const copy *all, const char *path, size_t file)
{
    tn_writer *writer;
    assert_int_equal(tn_writer_open(path, &writer, NULL), TENEBRA_OK);
    for (size_t i = 0; i < all->count; i++) {
        const copied *t = &all->tensors[i];
        if (!t->drop && t->file == file)
            assert_int_equal(tn_writer_declare(writer, t->name, t->type, t->rank, t->shape, NULL), TENEBRA_OK);
    }
    for (size_t i = 0; i < all->count; i++) {
        const copied *t = &all->tensors[i];
        if (!t->drop && t->file == file)
            assert_int_equal(tn_writer_write(writer, t->data, t->bytes, NULL), TENEBRA_OK);
    }
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
}

/* As one model.safetensors. */
static inline void copy_write(const copy *all, const char *directory)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    copy_write_file(all, path, 0);
}

/* As `shards` files with their index; tensors say in which. */
static inline void copy_write_shards(const copy *all, const char *directory, size_t shards)
{
    json_t *map = json_object();
    for (size_t file = 0; file < shards; file++) {
        char name[64], path[1024];
        snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", file + 1, shards);
        snprintf(path, sizeof path, "%s/%s", directory, name);
        copy_write_file(all, path, file);
        for (size_t i = 0; i < all->count; i++)
            if (!all->tensors[i].drop && all->tensors[i].file == file)
                json_object_set_new(map, all->tensors[i].name, json_string(name));
    }
    json_t *index = json_pack("{s:{}, s:o}", "metadata", "weight_map", map);
    char *text = json_dumps(index, 0);
    write_file(directory, "model.safetensors.index.json", text, strlen(text));
    free(text);
    json_decref(index);
}

static inline void copy_close(copy *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->tensors[i].data);
    free(all);
}

/* config.json of `model` with `changes` (a JSON object, merged into it) in `directory`. A value
 * "-" takes the key away. */
static inline void strip(json_t *object)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, key, value) {
        if (json_is_object(value))
            strip(value);
        else if (json_is_string(value) && strcmp(json_string_value(value), "-") == 0)
            json_object_del(object, key);
    }
}

static inline void write_config(const char *model, const char *directory, const char *changes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", model);
    json_t *config = json_load_file(path, 0, NULL);
    json_t *update = json_loads(changes, 0, NULL);
    assert_non_null(config);
    assert_non_null(update);
    assert_int_equal(json_object_update_recursive(config, update), 0);
    strip(config);
    char *text = json_dumps(config, 0);
    write_file(directory, "config.json", text, strlen(text));
    free(text);
    json_decref(config);
    json_decref(update);
}

/* A fresh directory with a copy of `model`, each tensor seen by `edit` (may be NULL), and changes to
 * config.json. remove_directory takes it away. */
static inline char *edited_model(const char *model, edit_fn *edit, void *user, const char *changes)
{
    char *directory = make_directory();
    copy *all = copy_open(model);
    for (size_t i = 0; edit != NULL && i < all->count; i++)
        edit(user, &all->tensors[i]);
    copy_write(all, directory);
    copy_close(all);
    write_config(model, directory, changes);
    return directory;
}

static inline tn_model *open_model(const char *directory, const char *kernels)
{
    const tn_model_options options = { .kernels = kernels };
    tenebra_error error = { 0 };
    tn_model *model;
    if (tn_model_open(directory, &options, &model, &error) != TENEBRA_OK)
        print_error("%s: %s\n", error.where, error.sentence);
    assert_non_null(model);
    return model;
}

/* Whether the set gives a row the same bits in any span. A BLAS chooses its order of addition by the shape. */
static inline bool is_steady(const tn_kernels *kernels)
{
    return strstr(kernels->name, "blas") == NULL;
}

/* The best such set of this machine. */
static inline const char *steady_kernels(void)
{
    const char *name = NULL;
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++)
        name = is_steady(tn_kernels_at(i)) ? tn_kernels_at(i)->name : name;
    return name;
}

/* The model must not open, for this reason. Takes the directory away. */
static inline void refuses(char *directory, tenebra_code code, const char *where, const char *words)
{
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_not_equal(tn_model_open(directory, NULL, &no_model, &error), TENEBRA_OK);
    assert_null(no_model);
    assert_error(&error, code, where, words);
    remove_directory(directory);
}

/* ------------------------------------------------------------- running -- */

static inline tn_session *open_session(const tn_model *model, size_t context, size_t threads)
{
    const tn_session_options options = { .context = context, .threads = threads };
    tn_session *session;
    assert_int_equal(tn_session_open(model, &options, &session, NULL), TENEBRA_OK);
    return session;
}

/* A size of the image encoder by its name, and how it prepares pictures. */
static inline size_t encoder_size(const tn_model *model, const char *name)
{
    return tn_encoder_size(model->backbone->encoder, &model->config.vision, name);
}

static inline tn_patch_config *patch_config(const tn_model *model)
{
    return model->rule;
}

/* Random patches for a grid, in the range of real ones. For free(). */
static inline tn_real *random_patches(const tn_model *model, size_t count, uint64_t seed)
{
    size_t reals = count * encoder_size(model, "patch_values");
    tn_real *patches = malloc(reals * sizeof *patches);
    tn_rng rng = tn_rng_seed(seed);
    assert_non_null(patches);
    for (size_t i = 0; i < reals; i++)
        patches[i] = (tn_real)tn_rng_normal(&rng);
    return patches;
}

/* Encodes images whose patches are stored one after another; *embeds are those of all images. */
static inline tenebra_code try_encode(tn_session *session, tn_real *patches, const tn_grid *grids, size_t count, tn_tensor *embeds,
                                      tenebra_error *error)
{
    enum { MOST = 8 };
    size_t columns = encoder_size(session->model, "patch_values"), merge = patch_config(session->model)->merge_size, rows = 0;
    tn_prepared parts[MOST];
    tn_image_rows pictures[MOST] = { { 0 } };
    const tn_prepared *from[MOST];
    tn_image_rows *to[MOST];
    assert_true(count <= MOST);
    for (size_t i = 0; i < count; i++) {
        parts[i] = (tn_prepared){ tn_grid_patches(grids[i]), columns, { grids[i].t, grids[i].h, grids[i].w }, 0, patches };
        pictures[i] = (tn_image_rows){ .frames = grids[i].t, .grid_rows = grids[i].h / merge, .grid_columns = grids[i].w / merge };
        rows += pictures[i].rows = grids[i].t * pictures[i].grid_rows * pictures[i].grid_columns;
        from[i] = &parts[i];
        to[i] = &pictures[i];
        patches += parts[i].rows * columns;
    }
    TN_TRY(tn_engine_encode(session->engine, from, to, count, &session->kept, error));
    *embeds = pictures[0].embeds;
    embeds->rows = rows;
    return TENEBRA_OK;
}

static inline tn_image_rows encode(tn_session *session, tn_grid grid, uint64_t seed)
{
    tn_real *patches = random_patches(session->model, tn_grid_patches(grid), seed);
    size_t merge = patch_config(session->model)->merge_size;
    tn_image_rows picture = { .frames = grid.t, .grid_rows = grid.h / merge, .grid_columns = grid.w / merge };
    assert_int_equal(try_encode(session, patches, &grid, 1, &picture.embeds, NULL), TENEBRA_OK);
    picture.rows = picture.embeds.rows;
    free(patches);
    return picture;
}

/* `count` rows of random text with the image, if not NULL, after the first three tokens; positions of the backbone (mrope) or
 * 0, 1, 2, ... The caller frees them. */
static inline tn_row *random_prompt(const tn_model *model, size_t count, const tn_image_rows *picture, bool mrope, uint64_t seed)
{
    tn_row *rows = calloc(count, sizeof *rows);
    size_t cells = picture ? picture->rows : 0;
    tn_rng rng = tn_rng_seed(seed);
    assert_true(rows != NULL && count >= cells + 3);
    for (size_t i = 0; i < count; i++) {
        rows[i] = i >= 3 && i < 3 + cells ? tn_row_of_cell(picture, i - 3)
                                          : tn_row_of_token((int32_t)tn_rng_below(&rng, 256)); /* below all control tokens */
        rows[i].position = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
    }
    if (mrope)
        model->backbone->positions(rows, count, 0);
    return rows;
}

/* What a run leaves, next to each other: embeddings, all normed rows, logits of the last. */
typedef struct outcome {
    size_t count;
    tn_real *values;
} outcome;

static inline void offer(outcome *o, const tn_real *values, size_t count)
{
    o->values = realloc(o->values, (o->count + count) * sizeof *o->values);
    assert_non_null(o->values);
    memcpy(o->values + o->count, values, count * sizeof *values);
    o->count += count;
}

enum { RUN_ROWS = 40 };

/* Runs an image of 2 x 3 cells and a prompt of RUN_ROWS with it in `session`. */
static inline outcome run_session(tn_session *session, bool mrope, uint64_t seed)
{
    const tn_grid grid = { 1, 4, 6 };
    outcome o = { 0 };
    size_t cols = tn_session_hidden(session).cols;
    tn_session_reset(session);
    tn_image_rows picture = encode(session, grid, seed);
    tn_row *rows = random_prompt(session->model, RUN_ROWS, &picture, mrope, seed);
    tn_real *normed = calloc(RUN_ROWS * cols, sizeof *normed);
    assert_int_equal(tn_session_append(session, rows, RUN_ROWS, NULL, normed, NULL), TENEBRA_OK);
    assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
    offer(&o, picture.embeds.data, picture.rows * cols);
    offer(&o, normed, RUN_ROWS * cols);
    offer(&o, session->logits.data, session->logits.cols);
    free(normed);
    free(rows);
    return o;
}

static inline outcome run_model(const tn_model *model)
{
    tn_session *session = open_session(model, 64, 1);
    outcome o = run_session(session, true, 5);
    tn_session_close(session);
    return o;
}

/* The outcome of a directory under the reference kernels. */
static inline outcome run_directory(const char *directory)
{
    tn_model *model = open_model(directory, "reference");
    outcome o = run_model(model);
    tn_model_close(model);
    return o;
}

static inline bool equal(const outcome *a, const outcome *b)
{
    return a->count == b->count && memcmp(a->values, b->values, a->count * sizeof *a->values) == 0;
}

static inline bool all_finite(const tn_real *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite((double)values[i]))
            return false;
    return true;
}

/* Largest |a - b|; NaN if there is one. */
static inline double largest_distance(const tn_real *a, const tn_real *b, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        largest = d <= largest ? largest : d;
    }
    return largest;
}

#endif
