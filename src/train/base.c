/* A digest of the model from which a run starts. A resumed run requires the same model, because an adapter, or trained weights
 * next to frozen ones, are only valid with that model. */
#include "train/parts.h"

#include "base/digest.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };

typedef struct marking {
    const tn_stored **tensors; /* [count] sorted by name, so that the division into files does not matter */
    tn_digest *digests;        /* [count] */
    size_t count;
} marking;

static int by_name(const void *a, const void *b)
{
    const tn_stored *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void mark_tensor(void *argument, size_t chunk, size_t worker)
{
    marking *m = argument;
    const tn_stored *tensor = m->tensors[chunk];
    tn_hash hash;
    (void)worker;
    tn_hash_start(&hash);
    tn_hash_add(&hash, tensor->name, strlen(tensor->name) + 1);
    tn_hash_add(&hash, tn_store_type_of(tensor->type)->name, strlen(tn_store_type_of(tensor->type)->name) + 1);
    tn_hash_add(&hash, tensor->shape, tensor->rank * sizeof *tensor->shape);
    tn_hash_add(&hash, tensor->data, tensor->bytes);
    m->digests[chunk] = tn_hash_finish(&hash);
}

static tenebra_code add_config(tn_hash *hash, const char *directory, tenebra_error *error)
{
    tn_path path;
    tn_file file;
    TN_TRY(tn_path_print(&path, error, "%s/config.json", directory));
    TN_TRY(tn_file_read(&file, path.text, CONFIG_MAX, error));
    tn_hash_add(hash, file.data, file.size);
    tn_file_close(&file);
    return TENEBRA_OK;
}

tenebra_code tn_trainer_mark_base(tn_trainer *trainer, tenebra_error *error)
{
    const tn_model *model = trainer->model;
    size_t own = tn_store_count(model->store), module = model->module_store != NULL ? tn_store_count(model->module_store) : 0;
    marking m = { .count = own + module };
    m.tensors = calloc(m.count + 1, sizeof *m.tensors);
    m.digests = calloc(m.count + 1, sizeof *m.digests);
    tenebra_code code = m.tensors != NULL && m.digests != NULL ? TENEBRA_OK
                                                               : tn_fail(error, TENEBRA_ERROR_MEMORY, "model", "no memory for a list");
    tn_hash hash;
    tn_hash_start(&hash);
    if (code == TENEBRA_OK) {
        for (size_t i = 0; i < m.count; i++)
            m.tensors[i] = i < own ? tn_store_at(model->store, i) : tn_store_at(model->module_store, i - own);
        qsort(m.tensors, m.count, sizeof *m.tensors, by_name);
        tn_pool_run(tn_training_pool(trainer->training), m.count, mark_tensor, &m);
        tn_hash_add(&hash, m.digests, m.count * sizeof *m.digests);
        code = add_config(&hash, model->directory, error);
    }
    free(m.tensors);
    free(m.digests);
    tn_digest digest = tn_hash_finish(&hash);
    for (size_t i = 0; i < sizeof trainer->base_mark / 2; i++)
        snprintf(trainer->base_mark + 2 * i, 3, "%02x", (unsigned)(digest.words[i / 8] >> 8 * (i % 8) & 0xff));
    return code;
}
