/* Fuzz target: files of torch.save, hostile ones.
 *
 * Each input is read twice: as a whole file, and as the pickle of a sound archive with two storages (in the other byte order if its
 * size is odd), so that the interpreter and what it makes are reached often. Whatever is accepted is read completely, so that ASan detects a byte beyond the end. */
#include "store/format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check(const uint8_t *bytes, size_t size)
{
    tn_contents file;
    tenebra_error error = { 0 };
    tenebra_code code = tn_contents_open(&file, bytes, size, "input.pth", &error);
    require(code == error.code);
    require((code != TENEBRA_OK) == (error.sentence[0] != '\0'));
    size_t copied = 0;
    for (size_t i = 0; i < file.count; i++) {
        const tn_stored *tensor = &file.tensors[i];
        const uint8_t *data = tensor->data;
        size_t elements, length;
        unsigned sum = 0;
        for (size_t k = 0; k < tensor->bytes; k++)
            sum += data[k];
        require(sum <= 255 * tensor->bytes && tn_stored_name_is_valid(tensor->name) && data != NULL);
        require(tn_store_extent(tensor->type, tensor->rank, tensor->shape, &elements, &length) && length == tensor->bytes);
        bool again = i > 0 && file.tensors[i - 1].data == tensor->data;
        copied += (data < bytes || data > bytes + size) && !again ? tensor->bytes : 0;
    }
    require(copied <= size);
    bool sealed;
    if (code == TENEBRA_OK)
        file.format->verify(&file, "input.pth", &sealed, NULL);
    tn_contents_close(&file);
}

/* ---------------------------------------------------- a sound archive -- */

typedef struct builder {
    uint8_t *bytes;
    size_t size;
    uint8_t list[512]; /* the records of its directory */
    size_t list_size, count;
} builder;

static void put(uint8_t *to, size_t *size, const void *bytes, size_t count)
{
    memcpy(to + *size, bytes, count);
    *size += count;
}

static void put_number(uint8_t *to, size_t *size, size_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        to[(*size)++] = (uint8_t)(value >> (8 * i));
}

static void add(builder *b, const char *name, const uint8_t *data, size_t size)
{
    size_t begin = b->size, length = strlen(name);
    static const uint8_t zeros[12];
    put(b->bytes, &b->size, "PK\3\4", 4);
    put(b->bytes, &b->size, zeros, 10); /* version, flags, method, time */
    put_number(b->bytes, &b->size, 0, 4);
    put_number(b->bytes, &b->size, size, 4);
    put_number(b->bytes, &b->size, size, 4);
    put_number(b->bytes, &b->size, length, 4); /* and no extra field */
    put(b->bytes, &b->size, name, length);
    put(b->bytes, &b->size, data, size);
    put(b->list, &b->list_size, "PK\1\2", 4);
    put(b->list, &b->list_size, zeros, 12);
    put_number(b->list, &b->list_size, 0, 4);
    put_number(b->list, &b->list_size, size, 4);
    put_number(b->list, &b->list_size, size, 4);
    put_number(b->list, &b->list_size, length, 4);
    put(b->list, &b->list_size, zeros, 10);
    put_number(b->list, &b->list_size, begin, 4);
    put(b->list, &b->list_size, name, length);
    b->count++;
}

static void finish(builder *b)
{
    size_t begin = b->size;
    put(b->bytes, &b->size, b->list, b->list_size);
    put(b->bytes, &b->size, "PK\5\6\0\0\0\0", 8);
    put_number(b->bytes, &b->size, b->count, 2);
    put_number(b->bytes, &b->size, b->count, 2);
    put_number(b->bytes, &b->size, b->list_size, 4);
    put_number(b->bytes, &b->size, begin, 4);
    put_number(b->bytes, &b->size, 0, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    check(bytes, size);
    builder b = { .bytes = malloc(size + 2048) };
    require(b.bytes != NULL);
    uint8_t numbers[96];
    for (size_t i = 0; i < sizeof numbers; i++)
        numbers[i] = (uint8_t)i;
    add(&b, "a/data.pkl", bytes, size);
    add(&b, "a/data/0", numbers, sizeof numbers);
    add(&b, "a/data/1", numbers, 16);
    if (size % 2 == 1)
        add(&b, "a/byteorder", (const uint8_t *)"big", 3);
    finish(&b);
    uint8_t *exact = malloc(b.size); /* ends where the archive ends */
    require(exact != NULL);
    memcpy(exact, b.bytes, b.size);
    check(exact, b.size);
    free(exact);
    free(b.bytes);
    return 0;
}
