/* Fuzz target: the two files of a method's module.
 *
 * An input that starts with '{' is module.json, a zero byte, and module.safetensors. Any other changes a sound module: three bytes each
 * change a key or a size of the description, the name or shape of a tensor, or a bit of the data. Digests are left out, so that such
 * inputs reach what comes after them; sound files with digests are read first, and are refused when a bit of them is changed. What is
 * read must have the sizes that it says. */
#include "base/file.h"
#include "model/module.h"
#include "reason/denoise.h"
#include "store/seal.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define MODEL TENEBRA_TEST_DATA "/golden/qwen2vl_untied/model"

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* ------------------------------------------------------------- a method's layout -- */

enum { HIDDEN = TN_MODULE_HIDDEN, INNER, BLOCKS, DENOISER };

typedef struct block {
    tn_vector norm;
    tn_weight up, down;
} block;

typedef struct blocks {
    tn_network network;
    tn_weight first[2];
    block *list;
    tn_denoiser_parts denoiser;
} blocks;

static const tn_layout_row rows[] = {
    { .name = "module.first.weight", TN_LAYOUT_ROW(LINEAR, 0, offsetof(blocks, first), 2, INNER, HIDDEN) },
    { .name = "module.blocks.%zu.norm.weight", TN_LAYOUT_ROW(SCALE, 1, offsetof(block, norm), 1, HIDDEN) },
    { .name = "module.blocks.%zu.up.weight", TN_LAYOUT_ROW(LINEAR, 1, offsetof(block, up), 1, INNER, HIDDEN) },
    { .name = "module.blocks.%zu.down.weight", TN_LAYOUT_ROW(LINEAR, 1, offsetof(block, down), 1, HIDDEN, INNER) },
    TN_DENOISER_ROWS(2, DENOISER, HIDDEN),
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_MODULE,
    .bytes = sizeof(blocks),
    .groups = { [1] = { offsetof(blocks, list), sizeof(block), BLOCKS, 0, NULL }, TN_DENOISER_GROUPS(2, blocks, DENOISER) },
    .rows = rows,
};

static tenebra_code check(const tn_module_shape *shape, const char *where, tenebra_error *error)
{
    return tn_denoiser_check(shape->sizes + DENOISER, shape->sizes[HIDDEN], where, error);
}

static tn_module_kind kind_of(const char *method)
{
    return strcmp(method, "toy") == 0 ? (tn_module_kind){ &layout, check } : (tn_module_kind){ 0 };
}

/* ------------------------------------------------------------------- files -- */

enum { JSON, TENSORS, FILES };

static const char *const names[FILES] = { "module.json", TN_WRITER_MODULE };
static char directory[] = "/tmp/tenebra-fuzz-XXXXXX";
static tn_file sound[FILES]; /* as written */

static void path_of(int file, char path[64]) { snprintf(path, 64, "%s/%s", directory, names[file]); }

static void clean(void)
{
    for (int i = 0; i < FILES; i++) {
        char path[64];
        path_of(i, path);
        unlink(path);
        tn_file_close(&sound[i]);
    }
    rmdir(directory);
}

static void write_bytes(int file, const void *bytes, size_t size)
{
    char path[64];
    path_of(file, path);
    FILE *out = fopen(path, "wb");
    require(out != NULL && fwrite(bytes, 1, size, out) == size && fclose(out) == 0);
}

static tn_model *open_model(void)
{
    tn_model *model;
    require(tn_model_open(MODEL, &(tn_model_options){ .kernels = "reference" }, &model, NULL) == TENEBRA_OK);
    return model;
}

/* What passed the checks runs: at least one number of every cell is predicted. */
static void reconstruct(const tn_model *model, const blocks *module)
{
    const tn_denoiser d = { &module->network.sizes[DENOISER], module->denoiser };
    tn_arena arena;
    if (!tn_denoiser_is_present(&d))
        return;
    require(tn_arena_open(&arena, (size_t)64 << 20, NULL) == TENEBRA_OK);
    tn_ops ops = { .kernels = model->kernels, .arena = &arena };
    const tn_row_ref thought = { tn_op_constant(&ops, 1, module->network.sizes[HIDDEN], NULL), 0 };
    tn_denoiser_target target = { 1, 1, NULL };
    target.values = tn_ops_take(&ops, "fuzz", tn_denoiser_count(&d, &target), sizeof *target.values);
    if (target.values != NULL)
        tn_denoiser_sample(&ops, &d, &thought, 1, 2, 1, &target);
    tn_arena_close(&arena);
}

static tenebra_code read_it(void)
{
    tn_model *model = open_model();
    tenebra_error error = { 0 };
    tenebra_code code = tn_module_read(model, directory, kind_of, &error);
    require(code == error.code && (code == TENEBRA_OK || error.sentence[0] != '\0'));
    const tn_network *network = tn_module_of(model, "toy");
    if (code == TENEBRA_OK && network != NULL) {
        const blocks *module = (const blocks *)network;
        require(network->sizes[HIDDEN] == model->config.decoder.hidden_size);
        require(module->first[1].matrix.rows == network->sizes[INNER] && module->first[1].matrix.cols == network->sizes[HIDDEN]);
        for (size_t i = 0; i < network->sizes[BLOCKS]; i++)
            require(module->list[i].down.matrix.cols == network->sizes[INNER] && module->list[i].norm.size == network->sizes[HIDDEN]);
        reconstruct(model, module);
    }
    tn_model_close(model);
    return code;
}

static void prepare(void)
{
    if (sound[JSON].data != NULL)
        return;
    require(mkdtemp(directory) != NULL);
    atexit(clean);
    tn_model *model = open_model();
    tn_module_shape shape = { .sizes = { [INNER] = 5, [BLOCKS] = 2 }, .numbers = { 1e-6 } };
    tn_denoiser_shape(&(tn_denoiser_options){ .layers = 1, .width = 4, .side = 16 }, model->config.decoder.hidden_size, &shape.sizes[DENOISER]);
    tn_parameters none = { 0 };
    require(tn_module_make(model, "toy", &layout, &shape, 1, NULL) == TENEBRA_OK);
    require(tn_module_write(model, &none, directory, NULL) == TENEBRA_OK);
    tn_model_close(model);
    require(read_it() == TENEBRA_OK);
    for (int i = 0; i < FILES; i++) {
        char path[64];
        path_of(i, path);
        require(tn_file_read(&sound[i], path, 1 << 20, NULL) == TENEBRA_OK);
    }
}

/* ---------------------------------------------------- changes to a sound one -- */

static bool has_digest(const unsigned char *bytes, size_t size)
{
    size_t length = strlen(TN_STORE_SEAL_KEY), at = 0;
    while (at + length <= size && memcmp(bytes + at, TN_STORE_SEAL_KEY, length) != 0)
        at++;
    return at + length <= size;
}

/* A digest notices any bit but those of its own name, without which the file has no digest. */
static void change_sealed(const uint8_t *bytes)
{
    int file = bytes[0] % 2;
    unsigned char *copy = malloc(sound[file].size);
    require(copy != NULL);
    memcpy(copy, sound[file].data, sound[file].size);
    copy[(bytes[1] * (size_t)2654435761u + bytes[2]) % sound[file].size] ^= (unsigned char)(1u << (bytes[0] / 2 % 8));
    write_bytes(file, copy, sound[file].size);
    require(read_it() != TENEBRA_OK || !has_digest(copy, sound[file].size));
    write_bytes(file, sound[file].data, sound[file].size);
    free(copy);
}

static const char *const keys[] = { "method", "sizes", "numbers", "unheard", "tenebra.digest" };
static const char *const values[] = {
    "null", "true", "0", "-1", "2", "1e300", "\"\"", "\"toy\"", "\"lare\"", "[]", "[1]", "{}", "1048577", "1048576", "9223372036854775807",
    "\"blake2b-256:00\"", "64", "3", "5.5", "[[]]",
};
static const char *const tensors[] = {
    "module.first.weight", "module.blocks.0.up.weight", "module.blocks.1.norm.weight", "module.blocks.2.up.weight", "module.", ".", "",
    "lm_head.weight", "module.blocks.00.up.weight", "module.blocks.%zu.up.weight",
};

#define PICK(list, byte) ((list)[(byte) % (sizeof(list) / sizeof *(list))])

static void change_description(json_t *json, uint8_t key, uint8_t value)
{
    json_t *made = json_loads(PICK(values, value), JSON_DECODE_ANY, NULL);
    if (key % 2 == 0)
        json_object_set_new(json, PICK(keys, key / 2), made);
    else
        json_array_set_new(json_object_get(json, key % 4 == 1 ? "sizes" : "numbers"), key / 4 % (key % 4 == 1 ? 14 : 4), made);
}

static void change_tensor(json_t *header, uint8_t which, uint8_t how)
{
    const char *key;
    json_t *value;
    size_t number = 0, wanted = which % json_object_size(header);
    char old[512] = "";
    json_object_foreach(header, key, value)
        if (number++ == wanted)
            snprintf(old, sizeof old, "%s", key);
    json_t *tensor = json_incref(json_object_get(header, old)), *shape = json_object_get(tensor, "shape");
    if (how % 4 == 0 && json_array_size(shape) == 2) {
        json_array_append(shape, json_array_get(shape, 0));
        json_array_remove(shape, 0);
    } else {
        json_object_del(header, old);
        if (how % 4 != 1)
            json_object_set(header, PICK(tensors, how / 4), tensor);
    }
    json_decref(tensor);
}

static void change_unsealed(const uint8_t *bytes, size_t size)
{
    uint64_t length;
    memcpy(&length, sound[TENSORS].data, 8); /* little-endian */
    json_t *json = json_loadb((const char *)sound[JSON].data, sound[JSON].size, 0, NULL);
    json_t *header = json_loadb((const char *)sound[TENSORS].data + 8, length, 0, NULL);
    require(json != NULL && header != NULL);
    json_object_del(json, TN_STORE_SEAL_KEY);
    json_object_del(header, TN_WRITER_METADATA);
    for (size_t i = 1; i + 2 < size && i < 16; i += 3) {
        if (bytes[i] < 128)
            change_description(json, bytes[i + 1], bytes[i + 2]);
        else if (json_object_size(header) > 0)
            change_tensor(header, bytes[i + 1], bytes[i + 2]);
    }
    char *description = json_dumps(json, JSON_COMPACT), *text = json_dumps(header, JSON_COMPACT);
    require(description != NULL && text != NULL);
    uint64_t new_length = strlen(text);
    size_t data = sound[TENSORS].size - 8 - length;
    unsigned char *all = malloc(8 + new_length + data);
    require(all != NULL);
    memcpy(all, &new_length, 8);
    memcpy(all + 8, text, new_length);
    memcpy(all + 8 + new_length, (const unsigned char *)sound[TENSORS].data + 8 + length, data);
    write_bytes(JSON, description, strlen(description));
    write_bytes(TENSORS, all, 8 + new_length + data);
    tenebra_code code = read_it();
    require(size >= 4 || code == TENEBRA_OK); /* without a change and without digests it is read */
    for (int i = 0; i < FILES; i++)
        write_bytes(i, sound[i].data, sound[i].size);
    free(all);
    free(description);
    free(text);
    json_decref(json);
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    prepare();
    if (size == 0)
        return 0;
    if (bytes[0] == 's' && size >= 4) {
        change_sealed(bytes + 1);
    } else if (bytes[0] != '{') {
        change_unsealed(bytes, size);
    } else {
        const uint8_t *end = memchr(bytes, 0, size);
        size_t description = end != NULL ? (size_t)(end - bytes) : size, begin = end != NULL ? description + 1 : size;
        write_bytes(JSON, bytes, description);
        write_bytes(TENSORS, bytes + begin, size - begin);
        read_it();
        for (int i = 0; i < FILES; i++)
            write_bytes(i, sound[i].data, sound[i].size);
    }
    return 0;
}
