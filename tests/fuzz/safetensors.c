/* Fuzz target: the safetensors reader with hostile bytes.
 *
 * Each input is read twice: as a whole file, and as a header whose length is right (the last byte says
 * how many bytes of data follow), so that the checks after that of the length are reached often. Everything that is accepted
 * must be inside the file and consistent; all of it is read, so that ASan detects a byte beyond the end. */
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
    tenebra_code code = tn_contents_open(&file, bytes, size, "input.safetensors", &error);
    require(code == error.code);
    require((code != TENEBRA_OK) == (error.sentence[0] != '\0'));
    size_t total = 0;
    for (size_t i = 0; i < file.count; i++) {
        const tn_stored *tensor = &file.tensors[i];
        const uint8_t *data = tensor->data;
        unsigned sum = 0;
        for (size_t k = 0; k < tensor->bytes; k++)
            sum += data[k];
        require(sum <= 255 * tensor->bytes && tn_stored_name_is_valid(tensor->name));
        const tn_matrix matrix = tn_form_matrix(&tensor->form, data);
        require(!tn_form_is_packed(&tensor->form) || (tn_matrix_fits(&matrix) && tn_matrix_bytes(&matrix) == tensor->bytes));
        total += tensor->bytes;
    }
    uint64_t header = 0;
    for (size_t i = 8; size > 8 && i-- > 0;)
        header = header << 8 | bytes[i];
    require(code != TENEBRA_OK ? total == 0 : total == size - 8 - header);
    tn_contents_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    check(bytes, size);
    if (size == 0)
        return 0;
    size_t data = bytes[size - 1] < size ? bytes[size - 1] : 0, header = size - data;
    uint8_t *file = malloc(size + 8);
    require(file != NULL);
    for (size_t i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    memcpy(file + 8, bytes, size);
    check(file, size + 8);
    free(file);
    return 0;
}
