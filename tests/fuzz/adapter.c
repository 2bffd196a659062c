/* Fuzz target: the two files of an adapter.
 *
 * An input that starts with '{' is adapter_config.json, a zero byte, and adapter_model.safetensors. Any other changes a
 * sound adapter: its first byte names one of tests/data/adapters, and three bytes each change a key of the configuration,
 * or the name or shape of a tensor. Such inputs reach the code after the first checks. What is read must be usable, and
 * the model must be as it was once the adapter is off again. */
#include "base/file.h"
#include "model/lora.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define GOLDEN TENEBRA_TEST_DATA "/golden/qwen2vl_"

static const struct { const char *name; bool tied; } kinds[] = {
    { "dora", false }, { "patterns", false }, { "patterns-old", false }, { "saved", false }, { "tokens-both", false },
    { "layers", false }, { "head", true }, { "tokens", true }, { "saved-both", true }, { "orthogonal", false },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static tn_model *models[2]; /* untied, tied */
static char directory[] = "/tmp/tenebra-fuzz-XXXXXX";

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void path_of(const char *name, char *path, size_t size) { snprintf(path, size, "%s/%s", directory, name); }

static void clean(void)
{
    static const char *const names[] = { "adapter_config.json", "adapter_model.safetensors" };
    char path[64];
    for (size_t i = 0; i < 2; i++) {
        path_of(names[i], path, sizeof path);
        unlink(path);
    }
    rmdir(directory);
    tn_model_close(models[0]);
    tn_model_close(models[1]);
}

static void prepare(void)
{
    if (models[0] != NULL)
        return;
    const tn_model_options options = { .kernels = "reference" };
    require(tn_model_open(GOLDEN "untied/model", &options, &models[0], NULL) == TENEBRA_OK);
    require(tn_model_open(GOLDEN "tied/model", &options, &models[1], NULL) == TENEBRA_OK);
    require(mkdtemp(directory) != NULL);
    atexit(clean);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[64];
    path_of(name, path, sizeof path);
    FILE *file = fopen(path, "wb");
    require(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void open_it(tn_model *model)
{
    tenebra_error error = { 0 };
    const tn_decoder before = model->decoder;
    tn_adapter *adapter;
    tenebra_code code = tn_adapter_open(model, directory, 1, &adapter, &error);
    require((adapter == NULL) == (code != TENEBRA_OK) && error.code == code);
    require(adapter != NULL || error.sentence[0] != '\0');
    for (size_t i = 0; adapter != NULL && i < adapter->module_count; i++) {
        const tn_adapter_module *m = &adapter->modules[i];
        require(m->rank > 0 && m->slot != NULL && m->slot->matrix.cols == m->inputs);
        require(m->slot->matrix.rows * m->parts == m->outputs);
    }
    if (adapter != NULL) {
        require(adapter->module_count + adapter->replacement_count > 0);
        tn_adapter_attach(adapter);
        require(model->decoder.embed.matrix.rows == before.embed.matrix.rows);
        require(model->decoder.head.matrix.cols == before.head.matrix.cols);
    }
    tn_adapter_close(adapter);
    require(memcmp(&before, &model->decoder, sizeof before) == 0);
}

/* -------------------------------------------------- changes to a sound one -- */

static const char *const keys[] = {
    "peft_type", "bias", "r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern", "target_modules",
    "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save", "trainable_token_indices",
    "ensure_weight_tying", "use_dora", "init_lora_weights", "lora_bias", "unheard", "fan_in_fan_out", "use_qalora",
};
static const char *const values[] = {
    "null", "true", "false", "0", "1", "2", "-1", "65536", "1e300", "0.5", "\"\"", "\"all-linear\"", "\".*\"", "\"(\"",
    "\"(.*)*x\"", "\"lm_head\"", "[]", "[0]", "[0, 1]", "[3, 17]", "[3, 17, 200]", "[1000000]", "[\"q_proj\"]", "[\"embed_tokens\"]",
    "[\"lm_head\", \"norm\"]", "[\"\"]", "[[0, 2]]", "{}", "{\".*\": 2}", "{\"q_proj\": 0}", "{\"(\": 1}", "{\"\": 1}",
    "{\"embed_tokens\": [3, 17]}", "{\"lm_head\": [1], \"embed_tokens\": [2]}", "{\"a\": [1], \"b\": [2], \"c\": [3]}", "\"eva\"",
    "\"pissa\"", "\"layers\"", "[\"layers\", \"blocks\"]",
};
static const char *const names[] = {
    "base_model.model.lm_head.weight", "base_model.model.lm_head.base_layer.weight", "base_model.model.lm_head.lora_A.weight",
    "base_model.model.model.embed_tokens.weight", "base_model.model.model.language_model.embed_tokens.weight",
    "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", "base_model.model.model.norm.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "lora_A.weight", ".lora_B.weight", ".weight", ".",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "base_model.model.visual.patch_embed.proj.weight",
    "base_model.model.model.embed_tokens.lora_embedding_A", "module.base_causallm.base_model.model.lm_head.lora_B.x.weight",
    "base_model.model.lm_head.modules_to_save.default.weight", "base_model.model.visual.merger.mlp.0.bias",
};

/* Gives tensor number `which` of the header another name, or reverses its dimensions. */
static void change_tensor(json_t *header, size_t which, uint8_t how)
{
    const char *key;
    json_t *value;
    size_t number = 0;
    char old[512] = "";
    json_object_foreach(header, key, value)
        if (strcmp(key, TN_WRITER_METADATA) != 0 && number++ == which)
            snprintf(old, sizeof old, "%s", key);
    json_t *tensor = json_object_get(header, old), *shape = json_object_get(tensor, "shape");
    if (tensor == NULL)
        return;
    if (how % 4 == 0 && json_array_size(shape) == 2) {
        json_array_append(shape, json_array_get(shape, 0));
        json_array_remove(shape, 0);
        return;
    }
    json_object_set(header, names[how % (sizeof names / sizeof *names)], tensor);
    json_object_del(header, old);
}

static void write_tensors(const tn_file *file, json_t *header, size_t begin)
{
    char *text = json_dumps(header, JSON_COMPACT);
    uint64_t length = text != NULL ? strlen(text) : 0;
    size_t data = file->size - begin;
    unsigned char *all = malloc(8 + length + data);
    require(text != NULL && all != NULL);
    memcpy(all, &length, 8); /* little-endian */
    memcpy(all + 8, text, length);
    memcpy(all + 8 + length, file->data + begin, data);
    write_file("adapter_model.safetensors", all, 8 + length + data);
    free(all);
    free(text);
}

static void change_sound_one(const uint8_t *bytes, size_t size)
{
    size_t kind = bytes[0] % KINDS;
    char path[512];
    tn_file file;
    uint64_t length;
    snprintf(path, sizeof path, TENEBRA_TEST_DATA "/adapters/%s/adapter_config.json", kinds[kind].name);
    json_t *config = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, TENEBRA_TEST_DATA "/adapters/%s/adapter_model.safetensors", kinds[kind].name);
    require(config != NULL && tn_file_map(&file, path, NULL) == TENEBRA_OK && file.size > 8);
    memcpy(&length, file.data, 8);
    json_t *header = json_loadb((const char *)file.data + 8, length, 0, NULL);
    require(header != NULL);
    for (size_t i = 1; i + 2 < size && i < 16; i += 3) {
        if (bytes[i] < 160)
            json_object_set_new(config, keys[bytes[i + 1] % (sizeof keys / sizeof *keys)],
                                json_loads(values[bytes[i + 2] % (sizeof values / sizeof *values)], JSON_DECODE_ANY, NULL));
        else
            change_tensor(header, bytes[i + 1], bytes[i + 2]);
    }
    char *text = json_dumps(config, JSON_COMPACT);
    require(text != NULL);
    write_file("adapter_config.json", text, strlen(text));
    write_tensors(&file, header, 8 + length);
    free(text);
    json_decref(config);
    json_decref(header);
    tn_file_close(&file);
    open_it(models[kinds[kind].tied]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    prepare();
    if (size == 0)
        return 0;
    if (bytes[0] != '{') {
        change_sound_one(bytes, size);
        return 0;
    }
    const uint8_t *end = memchr(bytes, 0, size);
    size_t config = end != NULL ? (size_t)(end - bytes) : size, begin = end != NULL ? config + 1 : size;
    write_file("adapter_config.json", bytes, config);
    write_file("adapter_model.safetensors", bytes + begin, size - begin);
    open_it(models[0]);
    open_it(models[1]);
    return 0;
}
