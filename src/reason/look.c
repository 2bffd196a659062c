#include "reason/look.h"

#include "reason/parts.h"

#include "base/checked.h"

#include <string.h>

size_t tn_look_cells(const tn_image_rows *shown, const tn_image_rows *look, size_t cell, tn_row *cells)
{
    if (look == NULL || look->rows == 0) {
        *cells = tn_row_of_cell(shown, cell);
        return 1;
    }
    size_t down = look->grid_rows / shown->grid_rows, across = look->grid_columns / shown->grid_columns, count = 0;
    size_t column = cell % shown->grid_columns, line = cell / shown->grid_columns; /* of all frames */
    for (size_t y = line * down; y < (line + 1) * down; y++)
        for (size_t x = column * across; x < (column + 1) * across; x++)
            cells[count++] = tn_row_of_cell(look, y * look->grid_columns + x);
    return count;
}

void tn_look_open(tn_reasoner *reasoner, const size_t size[2])
{
    memcpy(reasoner->conversation.look, size, sizeof reasoner->conversation.look);
}

static tenebra_code fail_size(const size_t size[2], const tn_picture *picture, tenebra_error *error)
{
    size_t width = picture->pixels.width, height = picture->pixels.height;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "look-size", "in %zux%zu pixels, a cell of the image in the prompt, which has "
                   "%zux%zu pixels, is not a whole number of cells; choose multiples of its sides, such as %zux%zu", size[0], size[1],
                   width, height, 2 * width, 2 * height);
}

/* Whether both sizes show the same part of the original, but for a pixel of the prompt's image. Encoders that crop may not. */
static bool is_same_part(const tn_picture *picture, const tn_region *seen)
{
    const size_t own[] = { picture->x, picture->y, picture->x + picture->width, picture->y + picture->height };
    const size_t other[] = { seen->x, seen->y, seen->x + seen->width, seen->y + seen->height };
    bool same = true;
    for (size_t i = 0; i < 4; i++) {
        size_t gap = own[i] > other[i] ? own[i] - other[i] : other[i] - own[i];
        size_t allowed = i % 2 == 0 ? picture->width / picture->pixels.width : picture->height / picture->pixels.height;
        same = same && gap <= allowed + 1;
    }
    return same;
}

tenebra_code tn_look_add(const tn_reasoner *reasoner, const tn_image *image, tn_picture *picture, tenebra_error *error)
{
    const size_t *size = reasoner->conversation.look;
    const tenebra_image_rule rule = { .width = size[0], .height = size[1] };
    tn_image resized = { 0 };
    tn_region seen;
    if (size[0] == 0)
        return TENEBRA_OK;
    if (size[0] % picture->pixels.width != 0 || size[1] % picture->pixels.height != 0)
        return fail_size(size, picture, error);
    TN_TRY(tn_reasoner_resize_to(reasoner, &rule, image, &resized, &seen, error));
    tn_image_rows look = tn_model_measure(reasoner->session->model, resized.width, resized.height);
    tenebra_code code = TENEBRA_OK;
    if (resized.width != size[0] || resized.height != size[1] || look.frames != picture->rows.frames ||
        look.grid_rows % picture->rows.grid_rows != 0 || look.grid_columns % picture->rows.grid_columns != 0)
        code = fail_size(size, picture, error);
    else if (!is_same_part(picture, &seen))
        code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, "look-size", "in %zux%zu pixels, the model would see another part of the image "
                       "than in the prompt's %zux%zu; multiply both sides by the same number", size[0], size[1],
                       picture->pixels.width, picture->pixels.height);
    if (code != TENEBRA_OK) {
        tn_image_free(&resized);
        return code;
    }
    look.content = tn_reasoner_digest(&resized);
    picture->look = look;
    picture->look_pixels = resized;
    return TENEBRA_OK;
}
