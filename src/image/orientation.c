#include "image/orientation.h"

#include "image/exif.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum {
    UPRIGHT = 1,
    TEXT_MAX = 1 << 20 /* bytes of a text after decompression, as in Pillow */
};

/* Bytes of the file, or of memory. */
typedef struct piece {
    const unsigned char *bytes; /* NULL: none */
    size_t length;
    bool packed;           /* by zlib */
    unsigned char *memory; /* NULL, or the memory at `bytes`, which the caller frees */
} piece;

/* The metadata found. */
typedef struct metadata {
    piece exif, profile, xmp;
} metadata;

static size_t big_endian(const unsigned char *at, size_t count)
{
    size_t value = 0;
    for (size_t i = 0; i < count; i++)
        value = value << 8 | at[i];
    return value;
}

static bool begins(const unsigned char *bytes, size_t length, const void *with, size_t size)
{
    return length >= size && memcmp(bytes, with, size) == 0;
}

/* ----------------------------------------------------------------- JPEG -- */

/* Markers without a length: TEM and the restart markers. */
static bool stands_alone(unsigned marker)
{
    return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
}

/* Appends bytes from elsewhere in the same file to a piece with `room` bytes, the size of the file, so that everything
 * fits. */
static tenebra_code join(piece *whole, const unsigned char *bytes, size_t length, size_t room, tenebra_error *error)
{
    if (whole->memory == NULL) {
        whole->memory = malloc(room);
        if (whole->memory == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory for the EXIF data of the image");
        memcpy(whole->memory, whole->bytes, whole->length);
        whole->bytes = whole->memory;
    }
    memcpy(whole->memory + whole->length, bytes, length);
    whole->length += length;
    return TENEBRA_OK;
}

static tenebra_code read_app1(const unsigned char *body, size_t length, size_t room, metadata *found, tenebra_error *error)
{
    static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/"; /* both including their final zero */
    if (begins(body, length, exif, sizeof exif) && found->exif.bytes != NULL)
        return join(&found->exif, body + sizeof exif, length - sizeof exif, room, error);
    if (begins(body, length, exif, sizeof exif))
        found->exif = (piece){ body, length, false, NULL };
    else if (begins(body, length, xmp, sizeof xmp))
        found->xmp = (piece){ body + sizeof xmp, length - sizeof xmp, false, NULL };
    return TENEBRA_OK;
}

/* Segments before the first scan. */
static tenebra_code read_jpeg(const unsigned char *bytes, size_t length, metadata *found, tenebra_error *error)
{
    enum { SOI_BYTES = 2, EOI = 0xD9, SOS = 0xDA, APP1 = 0xE1 };
    size_t at = SOI_BYTES;
    while (at < length && length - at >= 4) {
        unsigned marker = bytes[at + 1];
        if (bytes[at] != 0xFF || marker == EOI || marker == SOS)
            return TENEBRA_OK;
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        at += 2;
        if (stands_alone(marker))
            continue;
        size_t segment = big_endian(bytes + at, 2); /* including its own two bytes */
        if (segment < 2 || segment > length - at)
            return TENEBRA_OK;
        if (marker == APP1)
            TN_TRY(read_app1(bytes + at + 2, segment - 2, length, found, error));
        at += segment;
    }
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- WebP -- */

static void read_webp(const unsigned char *bytes, size_t length, metadata *found)
{
    enum { RIFF_HEADER = 12, FRAME = 8 /* name and size of a chunk */ };
    size_t at = RIFF_HEADER;
    while (at < length && length - at >= FRAME) {
        const unsigned char *body = bytes + at + FRAME;
        size_t size = (size_t)bytes[at + 4] | (size_t)bytes[at + 5] << 8 | (size_t)bytes[at + 6] << 16 | (size_t)bytes[at + 7] << 24;
        if (size > length - at - FRAME)
            return;
        if (memcmp(bytes + at, "EXIF", 4) == 0 && found->exif.bytes == NULL)
            found->exif = (piece){ body, size, false, NULL };
        else if (memcmp(bytes + at, "XMP ", 4) == 0 && found->xmp.bytes == NULL)
            found->xmp = (piece){ body, size, false, NULL };
        at += FRAME + size + (size & 1); /* chunks are padded to even sizes */
    }
}

/* ------------------------------------------------------------------ PNG -- */

/* The field for a text of this name; NULL: none. */
static piece *field_of(metadata *found, const char *name)
{
    return strcmp(name, "XML:com.adobe.xmp") == 0       ? &found->xmp
           : strcmp(name, "Raw profile type exif") == 0 ? &found->profile
           : strcmp(name, "exif") == 0                  ? &found->exif
                                                        : NULL;
}

static const unsigned char *behind_zero(const unsigned char *at, const unsigned char *end)
{
    const unsigned char *zero = at != NULL ? memchr(at, 0, (size_t)(end - at)) : NULL;
    return zero != NULL ? zero + 1 : NULL;
}

/* A chunk tEXt, zTXt or iTXt (PNG 3rd edition, 11.3.3): a name, a zero, then fields that depend on the type. It is
 * decompressed later, if at all. */
static void read_text(const unsigned char *body, size_t length, char kind, metadata *found)
{
    const unsigned char *end = body + length, *value = behind_zero(body, end);
    piece *field = value != NULL ? field_of(found, (const char *)body) : NULL;
    bool packed = kind == 'z';
    if (field == NULL || (field == &found->exif && kind != 't'))
        return;
    if (kind == 'z') { /* a byte for the method */
        value = end - value >= 1 && value[0] == 0 ? value + 1 : NULL;
    } else if (kind == 'i') { /* a flag for compression, the method, a language, the translated name, each with a zero */
        packed = end - value >= 2 && value[0] != 0;
        value = end - value >= 2 && (!packed || value[1] == 0) ? behind_zero(behind_zero(value + 2, end), end) : NULL;
    }
    if (value != NULL)
        *field = (piece){ value, (size_t)(end - value), packed, NULL };
}

static void read_png(const unsigned char *bytes, size_t length, metadata *found)
{
    enum { SIGNATURE = 8, FRAME = 12 /* length, type and CRC of a chunk */ };
    size_t at = SIGNATURE;
    while (at < length && length - at >= FRAME) {
        const unsigned char *type = bytes + at + 4, *body = bytes + at + 8;
        size_t size = big_endian(bytes + at, 4);
        if (size > length - at - FRAME)
            return;
        if (memcmp(type, "eXIf", 4) == 0)
            found->exif = (piece){ body, size, false, NULL };
        else if (memcmp(type, "tEXt", 4) == 0 || memcmp(type, "zTXt", 4) == 0 || memcmp(type, "iTXt", 4) == 0)
            read_text(body, size, (char)type[0], found);
        at += FRAME + size;
    }
}

/* -------------------------------------------------------------- reading -- */

/* Decompresses a text with zlib. If this fails, or the result exceeds TEXT_MAX, the text counts as absent: *text is
 * then empty. */
static tenebra_code unpack(piece *text, tenebra_error *error)
{
    if (!text->packed)
        return TENEBRA_OK;
    z_stream stream = { .next_in = (unsigned char *)(uintptr_t)text->bytes,
                        .avail_in = (uInt)(text->length < TEXT_MAX ? text->length : TEXT_MAX) };
    unsigned char *memory = malloc(TEXT_MAX);
    *text = (piece){ .bytes = NULL };
    if (memory == NULL || inflateInit(&stream) != Z_OK) {
        free(memory);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory for a text of the image");
    }
    stream.next_out = memory;
    stream.avail_out = TEXT_MAX;
    if (inflate(&stream, Z_FINISH) == Z_STREAM_END)
        *text = (piece){ memory, TEXT_MAX - stream.avail_out, false, memory };
    else
        free(memory);
    inflateEnd(&stream);
    return TENEBRA_OK;
}

static int digit(unsigned char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Converts digits from the fourth line on, in pairs that may be separated by spaces, to bytes. Any other character
 * means that there is no EXIF. */
static tenebra_code read_profile(metadata *found, tenebra_error *error)
{
    TN_TRY(unpack(&found->profile, error));
    if (found->profile.bytes == NULL)
        return TENEBRA_OK;
    const unsigned char *at = found->profile.bytes, *end = at + found->profile.length;
    for (int line = 0; line < 3 && at != NULL; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return TENEBRA_OK;
    size_t count = 0;
    unsigned char *bytes = malloc((size_t)(end - at) / 2 + 1);
    if (bytes == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory for a profile of the image");
    while (at < end) {
        if (is_space(*at)) {
            at++;
        } else if (end - at >= 2 && digit(at[0]) >= 0 && digit(at[1]) >= 0) {
            bytes[count++] = (unsigned char)(digit(at[0]) << 4 | digit(at[1]));
            at += 2;
        } else {
            free(bytes);
            return TENEBRA_OK;
        }
    }
    found->exif = (piece){ bytes, count, false, bytes };
    return TENEBRA_OK;
}

/* The first tiff:Orientation with a digit after it. */
static unsigned find_in_xmp(const piece *xmp)
{
    static const char name[] = "tiff:Orientation";
    const size_t size = sizeof name - 1;
    const unsigned char *end = xmp->bytes + xmp->length;
    for (const unsigned char *at = xmp->bytes; at != NULL && at < end && (size_t)(end - at) > size; at++) {
        at = memchr(at, name[0], (size_t)(end - at));
        if (at == NULL || (size_t)(end - at) <= size)
            return UPRIGHT;
        if (memcmp(at, name, size) != 0)
            continue;
        const unsigned char *value = at + size;
        value += *value == '>' ? 1 : begins(value, (size_t)(end - value), "=\"", 2) ? 2 : 0;
        if (value > at + size && value < end && *value >= '0' && *value <= '9')
            return *value >= '2' && *value <= '8' ? (unsigned)(*value - '0') : UPRIGHT;
    }
    return UPRIGHT;
}

static tenebra_code decide(metadata *found, unsigned *orientation, tenebra_error *error)
{
    if (found->exif.bytes == NULL && found->profile.bytes != NULL)
        TN_TRY(read_profile(found, error));
    if (found->exif.bytes != NULL && tn_exif_orientation(found->exif.bytes, found->exif.length, orientation))
        return TENEBRA_OK;
    TN_TRY(unpack(&found->xmp, error));
    if (found->xmp.bytes != NULL)
        *orientation = find_in_xmp(&found->xmp);
    return TENEBRA_OK;
}

tenebra_code tn_orientation_of(const void *bytes, size_t length, unsigned *orientation, tenebra_error *error)
{
    const unsigned char *file = bytes;
    metadata found = { 0 };
    tenebra_code code = TENEBRA_OK;
    *orientation = UPRIGHT;
    if (begins(file, length, "\xFF\xD8\xFF", 3))
        code = read_jpeg(file, length, &found, error);
    else if (begins(file, length, "\x89PNG\r\n\x1A\n", 8))
        read_png(file, length, &found);
    else if (length >= 12 && memcmp(file, "RIFF", 4) == 0 && memcmp(file + 8, "WEBP", 4) == 0)
        read_webp(file, length, &found);
    if (code == TENEBRA_OK)
        code = decide(&found, orientation, error);
    free(found.exif.memory);
    free(found.profile.memory);
    free(found.xmp.memory);
    return code;
}
