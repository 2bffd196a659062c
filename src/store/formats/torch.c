/* Files of torch.save: a zip archive (torch 1.6 and later) with a pickle that describes the tensors, FOLDER/data.pkl, and the
 * bytes of each storage, FOLDER/data/KEY, stored without compression, so that tensors are used where they are mapped.
 *
 * The pickle makes plain values only (store/pickle.h): here are the names that it may contain, and what they mean. A state dict
 * is a dictionary of tensors, or a member of a dictionary; other members are noted. Storages may be shared, and tensors may be
 * any views of them; views that are not row-major, and files in the other byte order, are copied when the file is opened, at
 * most as many bytes as the file has. Refused by name: any other name or instruction, compressed entries, the formats before
 * 1.6 (tar, pickles one after another), TorchScript, quantised storages, tensor subclasses, sparse and meta tensors.
 * Source: torch/serialization.py, torch/_utils.py (_rebuild_*) and caffe2/serialize/inline_container.h of PyTorch. */
#include "store/format.h"

#include "base/checked.h"
#include "store/pickle.h"
#include "store/view.h"
#include "store/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 /* bytes of a name in messages */, UNTYPED = TN_STORE_TYPE_COUNT };

/* ---------------------------------------------------------------- names -- */

typedef enum meaning { DICT, TUPLE, STORAGE, DTYPE, TENSOR, TYPED_TENSOR, PARAMETER, REFUSED } meaning;

/* The names that a pickle may contain; module and name are compared as a whole. */
typedef struct known_name {
    const char *module, *name;
    meaning means;
    int type;           /* of STORAGE and DTYPE */
    const char *reason; /* of REFUSED           */
} known_name;

#define STORAGE_OF(name, type) { "torch", name "Storage", STORAGE, TN_STORE_##type, NULL }
#define DTYPE_OF(name, type) { "torch", name, DTYPE, TN_STORE_##type, NULL }
#define REFUSE(module, name, reason) { module, name, REFUSED, 0, reason }
#define QUANTISED(module, name) REFUSE(module, name, "is quantised, which is not supported; save the model before it is quantised")

static const known_name known_names[] = {
    { "collections", "OrderedDict", DICT, 0, NULL },
    { "torch", "Size", TUPLE, 0, NULL },
    { "torch._utils", "_rebuild_tensor_v2", TENSOR, 0, NULL },
    { "torch._utils", "_rebuild_tensor_v3", TYPED_TENSOR, 0, NULL },
    { "torch._utils", "_rebuild_parameter", PARAMETER, 0, NULL },
    { "torch.storage", "UntypedStorage", STORAGE, UNTYPED, NULL },
    STORAGE_OF("Float", F32), STORAGE_OF("BFloat16", BF16), STORAGE_OF("Half", F16), STORAGE_OF("Double", F64),
    STORAGE_OF("Long", I64), STORAGE_OF("Int", I32), STORAGE_OF("Short", I16), STORAGE_OF("Char", I8), STORAGE_OF("Byte", U8),
    STORAGE_OF("Bool", BOOL), STORAGE_OF("ComplexFloat", C64),
    DTYPE_OF("uint16", U16), DTYPE_OF("uint32", U32), DTYPE_OF("uint64", U64),
    DTYPE_OF("float8_e4m3fn", F8_E4M3), DTYPE_OF("float8_e5m2", F8_E5M2), DTYPE_OF("float8_e8m0fnu", F8_E8M0),
    QUANTISED("torch", "QInt8Storage"), QUANTISED("torch", "QUInt8Storage"), QUANTISED("torch", "QInt32Storage"),
    QUANTISED("torch", "QUInt4x2Storage"), QUANTISED("torch", "QUInt2x4Storage"), QUANTISED("torch._utils", "_rebuild_qtensor"),
    REFUSE("torch", "ComplexDoubleStorage", "has numbers of a type that is not known here (complex128)"),
    REFUSE("torch", "ComplexHalfStorage", "has numbers of a type that is not known here (complex32)"),
    REFUSE("torch._utils", "_rebuild_sparse_tensor", "makes a sparse tensor, which is not supported; to_dense() makes a plain one"),
    REFUSE("torch._utils", "_rebuild_meta_tensor_no_storage", "makes a tensor on the meta device, which has no numbers"),
    REFUSE("torch._tensor", "_rebuild_from_type_v2", "makes a subclass of a tensor, or one with attributes, which is not supported; "
           "save detached plain tensors"),
    REFUSE("torch._utils", "_rebuild_wrapper_subclass", "makes a subclass of a tensor, which is not supported; save plain tensors"),
    { NULL, NULL, REFUSED, 0, NULL }
};

/* --------------------------------------------------------------- reading -- */

/* Owned by the contents. */
typedef struct archive {
    tn_zip zip;
    char *names;
    const unsigned char **storages; /* [count of tensors] where the data of their storages begin */
    tn_view_copies copies;
} archive;

/* The bytes of a storage, and the type of its numbers or UNTYPED. */
typedef struct storage {
    const unsigned char *data;
    size_t bytes;
    int type;
} storage;

/* Objects of the pickle are views (from 0 on) and storages (from -1 down). */
typedef struct reading {
    const char *file; /* for error records */
    tn_contents *contents;
    archive *own;
    const char *folder; /* [folder_length] with its slash */
    size_t folder_length;
    bool swapped;       /* the file is in the other byte order */
    tn_pickle pickle;
    storage *storages;
    tn_view *views;
    size_t storage_count, view_count;
} reading;

static tenebra_code find_name(void *user, const char *module, const char *name, int64_t *number, tenebra_error *error)
{
    const reading *r = user;
    const known_name *found = known_names;
    while (found->name != NULL && (strcmp(found->module, module) != 0 || strcmp(found->name, name) != 0))
        found++;
    if (found->name == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "its pickle names %.*s.%.*s, which is not on the list of names that a "
                       "state dict needs; nothing was executed. If you trust the file, load it in torch and save only its tensors with "
                       "torch.save(model.state_dict(), ...)", SHOWN, module, SHOWN, name);
    if (found->means == REFUSED)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "%s.%s %s", module, name, found->reason);
    *number = found->means == DICT ? TN_PICKLE_MAKES_DICT : found->means == TUPLE ? TN_PICKLE_MAKES_TUPLE : found - known_names;
    return TENEBRA_OK;
}

/* The name that a value is; NULL if it is none. */
static const known_name *name_of(const tn_pickle_value *value)
{
    return value->kind == TN_PICKLE_GLOBAL && value->number >= 0 ? &known_names[value->number] : NULL;
}

static bool read_size(const tn_pickle_value *value, size_t *size)
{
    *size = value->kind == TN_PICKLE_INT ? (size_t)value->number : 0;
    return value->kind == TN_PICKLE_INT && value->number >= 0 && (uint64_t)value->number == *size;
}

static size_t size_of(int type) { return type == UNTYPED ? 1 : tn_store_type_of((tn_store_type)type)->bits / 8; }

/* ("storage", class, key, device, number of elements). */
static tenebra_code find_storage(void *user, const tn_pickle_value *id, tn_pickle_value *result, tenebra_error *error)
{
    reading *r = user;
    const tn_pickle_value *parts = id->kind == TN_PICKLE_TUPLE && id->node->count == 5 ? id->node->items : NULL;
    const known_name *class = parts != NULL ? name_of(&parts[1]) : NULL;
    size_t count, bytes;
    char entry_name[SHOWN + 8];
    if (class == NULL || class->means != STORAGE || !tn_pickle_is_text(&parts[0], "storage") || parts[2].kind != TN_PICKLE_TEXT ||
        parts[2].length > SHOWN || !read_size(&parts[4], &count))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "its pickle refers to something else than a storage outside of it");
    int length = snprintf(entry_name, sizeof entry_name, "data/%.*s", (int)parts[2].length, parts[2].text);
    const tn_zip_entry *entry = tn_zip_find(&r->own->zip, r->folder, r->folder_length, entry_name, (size_t)length);
    if (entry == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "the storage \"%s\" is missing from the archive", entry_name);
    if (!tn_size_mul(count, size_of(class->type), &bytes) || bytes != entry->size)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "the storage \"%s\" has %zu bytes, but is said to hold %zu numbers of %zu "
                       "bytes", entry_name, entry->size, count, size_of(class->type));
    TN_TRY(TN_GROW(r->storages, r->storage_count, r->file, error));
    r->storages[r->storage_count++] = (storage){ entry->data, entry->size, class->type };
    *result = (tn_pickle_value){ .kind = TN_PICKLE_OBJECT, .number = -(int64_t)r->storage_count };
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- tensors -- */

static tenebra_code bad_tensor(const reading *r, const char *what, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "a tensor %s (number %zu in the pickle)", what, r->view_count);
}

/* Shape and strides; a dimension that only repeats what one element says has any stride. */
static tenebra_code read_shape(const reading *r, const tn_pickle_value *shape, const tn_pickle_value *strides, tn_view *view,
                               tenebra_error *error)
{
    if (shape->kind != TN_PICKLE_TUPLE || strides->kind != TN_PICKLE_TUPLE || shape->node->count != strides->node->count)
        return bad_tensor(r, "has no shape, or no stride for each dimension", error);
    view->rank = shape->node->count;
    if (view->rank > TN_STORED_RANK_MAX)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "a tensor has %zu dimensions; at most %d are supported", view->rank,
                       TN_STORED_RANK_MAX);
    for (size_t i = 0; i < view->rank; i++)
        if (!read_size(&shape->node->items[i], &view->shape[i]) || !read_size(&strides->node->items[i], &view->strides[i]))
            return bad_tensor(r, "has a size or a stride that is not a whole number from 0", error);
    return TENEBRA_OK;
}

/* The last argument of a tensor that is a conjugate or a negative of its storage. */
static bool is_lazy(const tn_pickle_value *metadata)
{
    bool any = metadata->kind != TN_PICKLE_NONE && metadata->kind != TN_PICKLE_DICT;
    for (size_t i = 1; metadata->kind == TN_PICKLE_DICT && i < metadata->node->count; i += 2)
        any |= metadata->node->items[i].kind != TN_PICKLE_BOOL || metadata->node->items[i].number != 0;
    return any;
}

/* (storage, offset, shape, strides, requires_grad, hooks), then the type if the storage has none, then metadata. */
static tenebra_code make_tensor(reading *r, bool typed, const tn_pickle_value *arguments, size_t count, tn_pickle_value *result,
                                tenebra_error *error)
{
    size_t fixed = typed ? 7 : 6;
    if (count < fixed || count > fixed + 1 || arguments[0].kind != TN_PICKLE_OBJECT || arguments[0].number >= 0)
        return bad_tensor(r, "is not made of a storage, an offset, a shape and strides", error);
    const storage *from = &r->storages[-(arguments[0].number + 1)];
    const known_name *type = typed ? name_of(&arguments[6]) : NULL;
    if (typed && (type == NULL || type->means != DTYPE))
        return bad_tensor(r, "has no number type", error);
    if ((from->type == UNTYPED) != typed)
        return bad_tensor(r, "and its storage do not agree on the type of its numbers", error);
    if (count > fixed && is_lazy(&arguments[fixed]))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "a tensor is a conjugate or a negative that was not computed (number "
                       "%zu in the pickle); resolve_conj() and resolve_neg() compute it", r->view_count);
    tn_view view = { .data = from->data, .bytes = from->bytes, .type = (tn_store_type)(typed ? type->type : from->type),
                     .swapped = r->swapped };
    TN_TRY(read_shape(r, &arguments[2], &arguments[3], &view, error));
    if (!read_size(&arguments[1], &view.offset) || !tn_view_fits(&view))
        return bad_tensor(r, "lies outside of its storage", error);
    TN_TRY(TN_GROW(r->views, r->view_count, r->file, error));
    r->views[r->view_count] = view;
    *result = (tn_pickle_value){ .kind = TN_PICKLE_OBJECT, .number = (int64_t)r->view_count++ };
    return TENEBRA_OK;
}

static bool is_tensor(const tn_pickle_value *value) { return value->kind == TN_PICKLE_OBJECT && value->number >= 0; }

static tenebra_code call_name(void *user, int64_t number, const tn_pickle_value *arguments, size_t count, tn_pickle_value *result,
                              tenebra_error *error)
{
    reading *r = user;
    const known_name *callee = &known_names[number];
    if (callee->means == TENSOR || callee->means == TYPED_TENSOR)
        return make_tensor(r, callee->means == TYPED_TENSOR, arguments, count, result, error);
    if (callee->means != PARAMETER)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "its pickle calls %s.%s, which is no function", callee->module, callee->name);
    if (count != 3 || !is_tensor(&arguments[0]))
        return bad_tensor(r, "is a parameter without a tensor", error);
    *result = arguments[0]; /* (tensor, requires_grad, hooks) */
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- state dict -- */

static size_t count_tensors(const tn_pickle_value *value)
{
    size_t count = 0;
    for (size_t i = 1; value->kind == TN_PICKLE_DICT && i < value->node->count; i += 2)
        count += is_tensor(&value->node->items[i]);
    return count;
}

/* A member's name for messages. */
static const char *show_key(const tn_pickle_value *key, char text[SHOWN + 1])
{
    bool named = key->kind == TN_PICKLE_TEXT;
    snprintf(text, SHOWN + 1, "%.*s", named ? (int)tn_min(key->length, SHOWN) : 0, named ? key->text : "");
    return text;
}

/* Notes a member that is not used. */
static void note_key(reading *r, const tn_pickle_value *key)
{
    char text[SHOWN + 1];
    const char *slash = strrchr(r->file, '/');
    tn_notes_add(&r->contents->notes, slash != NULL ? slash + 1 : r->file, show_key(key, text));
}

/* The member of a training checkpoint that has the model: of those with tensors the only one, or the one with a usual name. */
static tenebra_code find_member(const reading *r, const tn_pickle_node *all, size_t *found, tenebra_error *error)
{
    static const char *const usual[] = { "state_dict", "model_state_dict", "model", "module" };
    size_t candidates = 0;
    char list[200] = "", key[SHOWN + 1];
    for (size_t i = 0; i + 1 < all->count; i += 2) {
        if (count_tensors(&all->items[i + 1]) == 0)
            continue;
        for (size_t k = 0; k < sizeof usual / sizeof *usual; k++)
            if (tn_pickle_is_text(&all->items[i], usual[k])) {
                *found = i;
                return TENEBRA_OK;
            }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", candidates++ > 0 ? ", " : "", show_key(&all->items[i], key));
        *found = i;
    }
    if (candidates == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "contains no tensors: neither a state dict nor a dictionary with one");
    if (candidates > 1)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "has tensors in several members (%s), of which none is called "
                       "state_dict, model_state_dict, model or module", list);
    return TENEBRA_OK;
}

static tenebra_code find_state_dict(reading *r, const tn_pickle_node **state, tenebra_error *error)
{
    const tn_pickle_value *result = &r->pickle.result;
    if (result->kind != TN_PICKLE_DICT)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "is not a state dict: the value in it is not a dictionary");
    *state = result->node;
    if (count_tensors(result) > 0)
        return TENEBRA_OK;
    size_t found = 0;
    TN_TRY(find_member(r, result->node, &found, error));
    for (size_t i = 0; i + 1 < result->node->count; i += 2)
        if (i != found)
            note_key(r, &result->node->items[i]);
    *state = result->node->items[found + 1].node;
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- listing -- */

/* A tensor of the state dict; the name is in the pickle. */
typedef struct listed {
    const tn_view *view;
    const char *name;
    size_t length;
} listed;

static int compare_places(const void *a, const void *b)
{
    const listed *left = a, *right = b;
    const tn_view *x = left->view, *y = right->view;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    int order = memcmp(left->name, right->name, tn_min(left->length, right->length));
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

static tenebra_code list_tensors(reading *r, const tn_pickle_node *state, listed *list, size_t *count, size_t *bytes, tenebra_error *error)
{
    *count = *bytes = 0;
    for (size_t i = 0; i + 1 < state->count; i += 2) {
        const tn_pickle_value *key = &state->items[i], *value = &state->items[i + 1];
        if (!is_tensor(value)) {
            note_key(r, key);
            continue;
        }
        if (key->kind != TN_PICKLE_TEXT || key->length > TN_STORED_NAME_MAX || memchr(key->text, 0, key->length) != NULL)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "a tensor's name is not a text of at most %d bytes", TN_STORED_NAME_MAX);
        list[(*count)++] = (listed){ &r->views[value->number], key->text, key->length };
        *bytes += key->length + 1;
    }
    qsort(list, *count, sizeof *list, compare_places);
    return TENEBRA_OK;
}

static tenebra_code fill_tensors(reading *r, const listed *list, size_t count, tenebra_error *error)
{
    char *names = r->own->names;
    for (size_t i = 0; i < count; i++) {
        tn_stored *tensor = &r->contents->tensors[i];
        const tn_view *view = list[i].view;
        memcpy(names, list[i].name, list[i].length);
        names[list[i].length] = '\0';
        *tensor = (tn_stored){ .name = names, .type = view->type, .rank = view->rank };
        names += list[i].length + 1;
        memcpy(tensor->shape, view->shape, sizeof tensor->shape);
        if (!tn_stored_name_is_valid(tensor->name))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "a tensor's name is empty, contains control characters or is not UTF-8");
        if (!tn_stored_measure(tensor))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "tensor \"%s\" does not fit into memory", tensor->name);
        if (i > 0 && tn_view_equal(view, list[i - 1].view))
            tensor->data = tensor[-1].data;
        else
            TN_TRY(tn_view_place(&r->own->copies, view, tensor->bytes, &tensor->data, tensor->name, r->file, error));
        r->own->storages[r->contents->count++] = view->data;
    }
    return TENEBRA_OK;
}

static tenebra_code read_tensors(reading *r, tenebra_error *error)
{
    const tn_pickle_node *state = NULL;
    size_t count, bytes;
    TN_TRY(find_state_dict(r, &state, error));
    listed *list = calloc(state->count / 2 + 1, sizeof *list);
    if (list == NULL)
        return tn_fail_memory(error, r->file);
    tenebra_code code = list_tensors(r, state, list, &count, &bytes, error);
    if (code == TENEBRA_OK) {
        r->own->names = malloc(bytes + 1);
        r->contents->tensors = calloc(count + 1, sizeof *r->contents->tensors);
        r->own->storages = calloc(count + 1, sizeof *r->own->storages);
        bool room = r->own->names != NULL && r->contents->tensors != NULL && r->own->storages != NULL;
        code = room ? fill_tensors(r, list, count, error) : tn_fail_memory(error, r->file);
    }
    free(list);
    return code;
}

/* ---------------------------------------------------------------- opening -- */

enum { LEGACY_BYTES = 15, TAR_MAGIC = 257 };

/* The first pickle of files before torch 1.6, a number. */
static bool is_legacy(const unsigned char *bytes, size_t size)
{
    static const unsigned char magic[LEGACY_BYTES] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };
    return size >= LEGACY_BYTES && memcmp(bytes, magic, LEGACY_BYTES) == 0;
}

static bool is_tar(const unsigned char *bytes, size_t size) { return size > TAR_MAGIC + 5 && memcmp(bytes + TAR_MAGIC, "ustar", 5) == 0; }

static bool is_zip(const unsigned char *bytes, size_t size) { return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0; }

static bool knows(const unsigned char *bytes, size_t size) { return is_zip(bytes, size) || is_legacy(bytes, size) || is_tar(bytes, size); }

static tenebra_code check_kind(const unsigned char *bytes, size_t size, const char *name, tenebra_error *error)
{
    static const char again[] = "load it in torch and save it again with torch.save(state_dict, ...)";
    if (is_legacy(bytes, size))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "is in the format of torch before 1.6 (pickles one after another, not a zip "
                       "archive), which is not read; %s", again);
    if (is_tar(bytes, size))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "is in the oldest format of torch (a tar archive), which is not read; %s",
                       again);
    if (!is_zip(bytes, size))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not a file of torch.save: it does not begin as a zip archive%s",
                       size > 1 && bytes[0] == 0x80 ? ", but as a plain pickle" : "");
    return TENEBRA_OK;
}

/* All entries are in one folder, whose name is that of the first file name that the archive had. */
static tenebra_code find_folder(reading *r, const tn_zip_entry **pickle, tenebra_error *error)
{
    for (size_t i = 0; i < r->own->zip.count; i++) {
        const tn_zip_entry *entry = &r->own->zip.entries[i];
        const char *slash = memchr(entry->name, '/', entry->length);
        size_t folder = slash != NULL ? (size_t)(slash - entry->name) + 1 : 0;
        if (tn_zip_find(&r->own->zip, entry->name, folder, "data.pkl", 8) == NULL)
            continue;
        r->folder = entry->name;
        r->folder_length = folder;
        *pickle = tn_zip_find(&r->own->zip, entry->name, folder, "data.pkl", 8);
        if (tn_zip_find(&r->own->zip, entry->name, folder, "constants.pkl", 13) != NULL)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, r->file, "is a TorchScript program, which is not read; save its state dict "
                           "instead");
        return TENEBRA_OK;
    }
    return tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "is a zip archive, but not one of torch.save: it has no data.pkl");
}

static tenebra_code read_byte_order(reading *r, tenebra_error *error)
{
    const tn_zip_entry *entry = tn_zip_find(&r->own->zip, r->folder, r->folder_length, "byteorder", 9);
    bool little = entry == NULL || (entry->size == 6 && memcmp(entry->data, "little", 6) == 0); /* older files do not say */
    r->swapped = entry != NULL && entry->size == 3 && memcmp(entry->data, "big", 3) == 0;
    return little || r->swapped ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_FORMAT, r->file, "its byteorder is neither little nor big");
}

static tenebra_code read_all(reading *r, tenebra_error *error)
{
    const tn_pickle_host host = { r, find_name, call_name, find_storage };
    const tn_zip_entry *pickle = NULL;
    TN_TRY(tn_zip_open(&r->own->zip, r->contents->bytes, r->contents->size, r->file, error));
    TN_TRY(find_folder(r, &pickle, error));
    TN_TRY(read_byte_order(r, error));
    TN_TRY(tn_zip_verify_at(&r->own->zip, pickle->data, r->file, error));
    TN_TRY(tn_pickle_read(&r->pickle, pickle->data, pickle->size, r->file, &host, error));
    return read_tensors(r, error);
}

static tenebra_code open_file(tn_contents *contents, const char *name, tenebra_error *error)
{
    TN_TRY(check_kind(contents->bytes, contents->size, name, error));
    archive *own = contents->own = calloc(1, sizeof *own);
    if (own == NULL)
        return tn_fail_memory(error, name);
    own->copies.room = contents->size;
    reading r = { .file = name, .contents = contents, .own = own };
    tenebra_code code = read_all(&r, error);
    tn_pickle_close(&r.pickle);
    free(r.storages);
    free(r.views);
    return code;
}

static void close_file(tn_contents *contents)
{
    archive *own = contents->own;
    tn_view_free(&own->copies);
    free(own->names);
    free(own->storages);
    tn_zip_close(&own->zip);
    free(own);
}

static tenebra_code verify_file(const tn_contents *contents, const char *name, bool *sealed, tenebra_error *error)
{
    const archive *own = contents->own;
    return tn_zip_verify(&own->zip, name, sealed, error);
}

static tenebra_code verify_tensor(const tn_contents *contents, const tn_stored *tensor, const char *name, tenebra_error *error)
{
    const archive *own = contents->own;
    return tn_zip_verify_at(&own->zip, own->storages[tensor - contents->tensors], name, error);
}

const tn_format tn_format_torch = {
    .name = "torch",
    .names = { "*.pth", "*.pt", "pytorch_model*.bin", "adapter_model.bin" },
    .weights = { "pytorch_model.bin", "model.pth" },
    .index = "pytorch_model.bin.index.json",
    .knows = knows,
    .open = open_file,
    .close = close_file,
    .verify = verify_file,
    .verify_tensor = verify_tensor,
};
