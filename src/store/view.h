/* A view of numbers in memory: an offset, and a stride for each dimension. Only views whose elements are row-major, without
 * gaps and in the machine's byte order can be used in place. */
#ifndef TN_STORE_VIEW_H
#define TN_STORE_VIEW_H

#include "base/status.h"
#include "store/type.h"

typedef struct tn_view {
    const unsigned char *data; /* of all elements, not of the view                     */
    size_t bytes;              /* of data                                              */
    tn_store_type type;        /* of whole bytes                                       */
    bool swapped;              /* the bytes of each number are in the other order      */
    size_t offset, rank;       /* offset and strides in elements                       */
    size_t shape[TN_STORED_RANK_MAX], strides[TN_STORED_RANK_MAX];
} tn_view;

/* Whether all elements are inside the data. A view without elements must not begin after their end. */
bool tn_view_fits(const tn_view *view);

/* Whether the elements of a view that fits are row-major, without gaps, and in the machine's byte order; the first is at
 * tn_view_start. */
bool tn_view_is_plain(const tn_view *view);
const unsigned char *tn_view_start(const tn_view *view);

/* Whether both have the same elements at the same places, in the same shape. */
bool tn_view_equal(const tn_view *a, const tn_view *b);

/* Writes the elements of a view that fits in row-major order and the machine's byte order. `out` has room for all. */
void tn_view_copy(const tn_view *view, unsigned char *out);

/* Copies of views that cannot be used in place. */
typedef struct tn_view_copies {
    void **list; /* [count] */
    size_t count;
    size_t room; /* bytes that further copies may have together */
} tn_view_copies;

/* The elements of a view that fits, in place or as a copy of `bytes` bytes, which is its size. `tensor` and `file` are for
 * error records. Errors: LIMIT (no room), MEMORY. */
tenebra_code tn_view_place(tn_view_copies *copies, const tn_view *view, size_t bytes, const void **data, const char *tensor,
                           const char *file, tenebra_error *error);
void tn_view_free(tn_view_copies *copies);

#endif
