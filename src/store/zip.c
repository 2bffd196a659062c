#include "store/zip.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Sizes of records, without their parts of variable length. */
enum { LOCAL = 30, ENTRY = 46, END = 22, END64 = 56, LOCATOR = 20, COMMENT_MAX = 0xffff };
enum { FLAG_ENCRYPTED = 1, SHOWN = 80 /* bytes of a name in messages */ };

static const uint32_t sign_local = 0x04034b50, sign_entry = 0x02014b50, sign_end = 0x06054b50, sign_end64 = 0x06064b50,
                      sign_locator = 0x07064b50;

static uint64_t read_number(const unsigned char *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint16_t read_u16(const unsigned char *bytes) { return (uint16_t)read_number(bytes, 2); }
static uint32_t read_u32(const unsigned char *bytes) { return (uint32_t)read_number(bytes, 4); }
static uint64_t read_u64(const unsigned char *bytes) { return read_number(bytes, 8); }

/* The archive, and the place of its list of entries. */
typedef struct archive {
    const unsigned char *bytes;
    size_t size;
    const char *name;
    uint64_t count, list, list_bytes; /* entries; offset and size of their list */
    uint64_t end;                     /* offset of the records after the list   */
    tenebra_error *error;
} archive;

static tenebra_code damaged(const archive *at, const char *what)
{
    return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->name, "%s; is the file complete?", what);
}

/* ------------------------------------------------------------ the end -- */

/* The record is at the end of the file, before a comment whose length it has. */
static const unsigned char *find_end(const archive *at)
{
    for (size_t comment = 0; comment <= COMMENT_MAX && comment + END <= at->size; comment++) {
        const unsigned char *record = at->bytes + (at->size - END - comment);
        if (read_u32(record) == sign_end && read_u16(record + 20) == comment)
            return record;
    }
    return NULL;
}

/* If a number does not fit into the record, the numbers of the zip64 record count, whose place the locator before the record has. */
static tenebra_code read_end64(archive *at, const unsigned char *end)
{
    size_t offset = (size_t)(end - at->bytes);
    const unsigned char *locator = end - LOCATOR;
    if (offset < LOCATOR || read_u32(locator) != sign_locator)
        return damaged(at, "the zip64 directory of the archive is missing");
    uint64_t place = read_u64(locator + 8);
    if (offset - LOCATOR < END64 || place > offset - LOCATOR - END64 || read_u32(at->bytes + place) != sign_end64)
        return damaged(at, "the zip64 directory of the archive is not where the archive says");
    const unsigned char *record = at->bytes + place;
    if (read_u32(record + 16) != 0 || read_u32(record + 20) != 0 || read_u64(record + 24) != read_u64(record + 32))
        return tn_fail(at->error, TENEBRA_ERROR_UNSUPPORTED, at->name, "is a part of a zip archive of several files");
    at->count = read_u64(record + 32);
    at->list_bytes = read_u64(record + 40);
    at->list = read_u64(record + 48);
    at->end = place;
    return TENEBRA_OK;
}

static tenebra_code read_end(archive *at)
{
    const unsigned char *end = find_end(at);
    if (end == NULL)
        return damaged(at, "has no directory of a zip archive at its end");
    at->count = read_u16(end + 10);
    at->list_bytes = read_u32(end + 12);
    at->list = read_u32(end + 16);
    at->end = (uint64_t)(end - at->bytes);
    if (at->count == 0xffff || at->list_bytes == 0xffffffff || at->list == 0xffffffff)
        TN_TRY(read_end64(at, end));
    else if (read_u16(end + 4) != 0 || read_u16(end + 6) != 0 || read_u16(end + 8) != at->count)
        return tn_fail(at->error, TENEBRA_ERROR_UNSUPPORTED, at->name, "is a part of a zip archive of several files");
    if (at->list > at->end || at->list_bytes > at->end - at->list || at->count > at->list_bytes / ENTRY)
        return damaged(at, "the directory of the archive lies outside of it, or is too short for its entries");
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ entries -- */

static tenebra_code bad_entry(const archive *at, const tn_zip_entry *entry, tenebra_code code, const char *what)
{
    return tn_fail(at->error, code, at->name, "entry \"%.*s\" %s", (int)tn_min(entry->length, SHOWN), entry->name, what);
}

/* Replaces numbers that did not fit by those of the extra field 1, which has them in this order. False: it lacks one. */
static bool read_extra(const unsigned char *extra, size_t size, uint64_t *const numbers[], size_t count)
{
    while (size >= 4) {
        size_t length = read_u16(extra + 2), used = 0;
        if (length > size - 4)
            return false;
        if (read_u16(extra) == 1) {
            for (size_t i = 0; i < count; i++)
                if (*numbers[i] == 0xffffffff) {
                    if (used + 8 > length)
                        return false;
                    *numbers[i] = read_u64(extra + 4 + used);
                    used += 8;
                }
            return true;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    for (size_t i = 0; i < count; i++)
        if (*numbers[i] == 0xffffffff)
            return false;
    return true;
}

/* The data of an entry follow its own header, whose parts of variable length may differ from those in the directory. */
static tenebra_code find_data(const archive *at, tn_zip_entry *entry, uint64_t header, uint64_t bytes)
{
    if (header > at->list || at->list - header < LOCAL || read_u32(at->bytes + header) != sign_local)
        return bad_entry(at, entry, TENEBRA_ERROR_FORMAT, "is not where the directory of the archive says");
    entry->begin = at->bytes + header;
    size_t name = read_u16(entry->begin + 26), before = LOCAL + name + read_u16(entry->begin + 28);
    if (at->list - header < before || bytes > at->list - header - before)
        return bad_entry(at, entry, TENEBRA_ERROR_FORMAT, "is longer than the archive; is the file complete?");
    if (name != entry->length || memcmp(entry->begin + LOCAL, entry->name, name) != 0)
        return bad_entry(at, entry, TENEBRA_ERROR_FORMAT, "has another name at its place in the archive");
    entry->data = entry->begin + before;
    entry->size = (size_t)bytes;
    return TENEBRA_OK;
}

/* Reads the entry of the directory at *place [*left bytes] and moves on. */
static tenebra_code read_entry(const archive *at, const unsigned char **place, size_t *left, tn_zip_entry *entry)
{
    const unsigned char *record = *place;
    if (*left < ENTRY || read_u32(record) != sign_entry)
        return damaged(at, "the directory of the archive has something else than entries");
    size_t extra = read_u16(record + 30), comment = read_u16(record + 32);
    *entry = (tn_zip_entry){ .name = (const char *)record + ENTRY, .length = read_u16(record + 28), .crc = read_u32(record + 16) };
    if (*left - ENTRY < entry->length + extra + comment)
        return damaged(at, "the directory of the archive ends within an entry");
    uint64_t packed = read_u32(record + 20), bytes = read_u32(record + 24), header = read_u32(record + 42);
    uint64_t *const numbers[] = { &bytes, &packed, &header };
    if (!read_extra(record + ENTRY + entry->length, extra, numbers, 3))
        return bad_entry(at, entry, TENEBRA_ERROR_FORMAT, "lacks the sizes that zip64 requires");
    if ((read_u16(record + 8) & FLAG_ENCRYPTED) != 0)
        return bad_entry(at, entry, TENEBRA_ERROR_UNSUPPORTED, "is encrypted");
    if (read_u16(record + 10) != 0)
        return tn_fail(at->error, TENEBRA_ERROR_UNSUPPORTED, at->name, "entry \"%.*s\" is compressed (method %d), so it cannot be used in "
                       "place; torch.save writes archives without compression", (int)tn_min(entry->length, SHOWN), entry->name,
                       (int)read_u16(record + 10));
    if (packed != bytes)
        return bad_entry(at, entry, TENEBRA_ERROR_FORMAT, "has two different sizes");
    TN_TRY(find_data(at, entry, header, bytes));
    *place += ENTRY + entry->length + extra + comment;
    *left -= ENTRY + entry->length + extra + comment;
    return TENEBRA_OK;
}

static int compare_places(const void *a, const void *b)
{
    const tn_zip_entry *left = a, *right = b;
    return left->begin != right->begin ? (left->begin < right->begin ? -1 : 1) : 0;
}

static int compare_text(const char *a, size_t length_a, const char *b, size_t length_b)
{
    int order = memcmp(a, b, tn_min(length_a, length_b));
    return order != 0 ? order : (length_a > length_b) - (length_a < length_b);
}

static int compare_names(const void *a, const void *b)
{
    const tn_zip_entry *left = a, *right = b;
    return compare_text(left->name, left->length, right->name, right->length);
}

static tenebra_code check_entries(const archive *at, tn_zip *zip)
{
    tn_zip_entry *entries = zip->entries;
    qsort(entries, zip->count, sizeof *entries, compare_places);
    for (size_t i = 1; i < zip->count; i++)
        if (entries[i].begin < entries[i - 1].data + entries[i - 1].size)
            return bad_entry(at, &entries[i], TENEBRA_ERROR_FORMAT, "overlaps another");
    qsort(entries, zip->count, sizeof *entries, compare_names);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_names(&entries[i - 1], &entries[i]) == 0)
            return bad_entry(at, &entries[i], TENEBRA_ERROR_FORMAT, "is in the archive twice");
    return TENEBRA_OK;
}

static tenebra_code read_entries(const archive *at, tn_zip *zip)
{
    const unsigned char *place = at->bytes + at->list;
    size_t left = (size_t)at->list_bytes;
    zip->entries = calloc((size_t)at->count + 1, sizeof *zip->entries);
    if (zip->entries == NULL)
        return tn_fail(at->error, TENEBRA_ERROR_MEMORY, at->name, "no memory for %zu entries", (size_t)at->count);
    while (zip->count < at->count) {
        TN_TRY(read_entry(at, &place, &left, &zip->entries[zip->count]));
        zip->count++;
    }
    return check_entries(at, zip);
}

tenebra_code tn_zip_open(tn_zip *zip, const unsigned char *bytes, size_t size, const char *name, tenebra_error *error)
{
    archive at = { .bytes = bytes, .size = size, .name = name, .error = error };
    *zip = (tn_zip){ 0 };
    tenebra_code code = read_end(&at);
    if (code == TENEBRA_OK)
        code = read_entries(&at, zip);
    if (code != TENEBRA_OK)
        tn_zip_close(zip);
    return code;
}

void tn_zip_close(tn_zip *zip)
{
    free(zip->entries);
    *zip = (tn_zip){ 0 };
}

const tn_zip_entry *tn_zip_find(const tn_zip *zip, const char *folder, size_t folder_length, const char *name, size_t length)
{
    size_t low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const tn_zip_entry *entry = &zip->entries[middle];
        size_t head = tn_min(entry->length, folder_length);
        int order = compare_text(folder, folder_length, entry->name, head);
        if (order == 0)
            order = compare_text(name, length, entry->name + head, entry->length - head);
        if (order == 0)
            return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---------------------------------------------------------- checksums -- */

static tenebra_code verify_entry(const tn_zip_entry *entry, const char *name, tenebra_error *error)
{
    bool damaged = entry->size > 0 && entry->crc != 0 && crc32_z(0, entry->data, entry->size) != entry->crc;
    return !damaged ? TENEBRA_OK
                    : tn_fail(error, TENEBRA_ERROR_FORMAT, name, "entry \"%.*s\" is damaged: its bytes do not have the checksum in the "
                              "archive", (int)tn_min(entry->length, SHOWN), entry->name);
}

tenebra_code tn_zip_verify(const tn_zip *zip, const char *name, bool *checked, tenebra_error *error)
{
    size_t known = 0, unknown = 0;
    for (size_t i = 0; i < zip->count; i++) {
        unknown += zip->entries[i].size > 0 && zip->entries[i].crc == 0;
        known += zip->entries[i].size > 0 && zip->entries[i].crc != 0;
        TN_TRY(verify_entry(&zip->entries[i], name, error));
    }
    *checked = known > 0 && unknown == 0;
    return TENEBRA_OK;
}

tenebra_code tn_zip_verify_at(const tn_zip *zip, const unsigned char *data, const char *name, tenebra_error *error)
{
    for (size_t i = 0; i < zip->count; i++)
        if (zip->entries[i].data == data)
            TN_TRY(verify_entry(&zip->entries[i], name, error));
    return TENEBRA_OK;
}
