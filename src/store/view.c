#include "store/view.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

static size_t size_of(tn_store_type type) { return tn_store_type_of(type)->bits / 8; }

static bool is_empty(const tn_view *view)
{
    for (size_t i = 0; i < view->rank; i++)
        if (view->shape[i] == 0)
            return true;
    return false;
}

bool tn_view_fits(const tn_view *view)
{
    size_t last = view->offset, step, count = view->bytes / size_of(view->type);
    if (is_empty(view))
        return view->offset <= count;
    for (size_t i = 0; i < view->rank; i++)
        if (!tn_size_mul(view->shape[i] - 1, view->strides[i], &step) || !tn_size_add(last, step, &last))
            return false;
    return last < count;
}

bool tn_view_is_plain(const tn_view *view)
{
    size_t expected = 1;
    if (is_empty(view))
        return true;
    for (size_t i = view->rank; i-- > 0;) {
        if (view->shape[i] != 1 && view->strides[i] != expected)
            return false;
        expected *= view->shape[i]; /* cannot overflow where strides matter, because the view fits */
    }
    return !view->swapped || tn_store_type_of(view->type)->alignment == 1;
}

const unsigned char *tn_view_start(const tn_view *view) { return view->data + view->offset * size_of(view->type); }

bool tn_view_equal(const tn_view *a, const tn_view *b)
{
    bool same = a->data == b->data && a->type == b->type && a->swapped == b->swapped && a->offset == b->offset && a->rank == b->rank;
    for (size_t i = 0; same && i < a->rank; i++)
        same = a->shape[i] == b->shape[i] && (a->strides[i] == b->strides[i] || a->shape[i] == 1);
    return same;
}

/* Reverses each number of `width` bytes. */
static void swap(unsigned char *bytes, size_t count, size_t width)
{
    for (size_t i = 0; i < count; i++, bytes += width)
        for (size_t k = 0; k < width / 2; k++) {
            unsigned char kept = bytes[k];
            bytes[k] = bytes[width - 1 - k];
            bytes[width - 1 - k] = kept;
        }
}

/* Copies the elements of the last dimension and returns the end of the copy. */
static unsigned char *copy_line(const tn_view *view, const unsigned char *from, unsigned char *out)
{
    size_t size = size_of(view->type), count = view->rank > 0 ? view->shape[view->rank - 1] : 1;
    size_t stride = view->rank > 0 ? view->strides[view->rank - 1] : 1;
    if (stride == 1)
        memcpy(out, from, count * size);
    for (size_t i = 0; i < count && stride != 1; i++)
        memcpy(out + i * size, from + i * stride * size, size);
    return out + count * size;
}

void tn_view_copy(const tn_view *view, unsigned char *out)
{
    size_t at[TN_STORED_RANK_MAX] = { 0 }, size = size_of(view->type);
    unsigned char *const begin = out;
    bool more = !is_empty(view);
    while (more) {
        size_t place = view->offset;
        for (size_t i = 0; i + 1 < view->rank; i++)
            place += at[i] * view->strides[i];
        out = copy_line(view, view->data + place * size, out);
        more = false;
        for (size_t i = view->rank > 0 ? view->rank - 1 : 0; i-- > 0 && !more;) {
            more = ++at[i] < view->shape[i];
            at[i] = more ? at[i] : 0;
        }
    }
    if (view->swapped) {
        size_t width = tn_store_type_of(view->type)->alignment; /* a complex number is two numbers */
        swap(begin, (size_t)(out - begin) / width, width);
    }
}

tenebra_code tn_view_place(tn_view_copies *copies, const tn_view *view, size_t bytes, const void **data, const char *tensor,
                           const char *file, tenebra_error *error)
{
    *data = tn_view_start(view);
    if (tn_view_is_plain(view))
        return TENEBRA_OK;
    if (bytes > copies->room)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, file, "tensor \"%s\" is no row-major part of its storage, and copies of such tensors "
                       "would have more bytes than the file; contiguous() makes them plain", tensor);
    TN_TRY(TN_GROW(copies->list, copies->count, file, error));
    unsigned char *copy = malloc(bytes);
    if (copy == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, file, "no memory for a copy of tensor \"%s\"", tensor);
    copies->list[copies->count++] = copy;
    copies->room -= bytes;
    tn_view_copy(view, copy);
    *data = copy;
    return TENEBRA_OK;
}

void tn_view_free(tn_view_copies *copies)
{
    for (size_t i = 0; i < copies->count; i++)
        free(copies->list[i]);
    free(copies->list);
    *copies = (tn_view_copies){ 0 };
}
