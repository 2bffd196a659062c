/* The directory of a zip archive in memory, for archives whose entries are stored without compression, so that they can be
 * used in place. Source: PKWARE's APPNOTE.TXT 6.3.9, sections 4.3 and 4.5.3 (zip64). */
#ifndef TN_STORE_ZIP_H
#define TN_STORE_ZIP_H

#include "base/status.h"

#include <stdint.h>

typedef struct tn_zip_entry {
    const char *name;          /* [length] in the archive, not terminated    */
    size_t length;
    const unsigned char *data; /* [size] in the archive                      */
    size_t size;
    const unsigned char *begin; /* of its header, before the data            */
    uint32_t crc;              /* of the data; 0: unknown, if there are data */
} tn_zip_entry;

typedef struct tn_zip {
    tn_zip_entry *entries; /* [count] sorted by name */
    size_t count;
} tn_zip;

/* Reads the directory of the archive in bytes [size], which must stay unchanged while the entries are used. An archive is
 * refused if it is incomplete, if an entry is compressed or encrypted, if two have the same name, and if any lies outside of
 * the archive or overlaps another. `name` is for error records. On failure *zip is empty. Errors: FORMAT, UNSUPPORTED, MEMORY. */
tenebra_code tn_zip_open(tn_zip *zip, const unsigned char *bytes, size_t size, const char *name, tenebra_error *error);

/* A zeroed record may be closed. */
void tn_zip_close(tn_zip *zip);

/* The entry whose name is `folder` [folder_length] followed by `name` [length]; NULL if there is none. */
const tn_zip_entry *tn_zip_find(const tn_zip *zip, const char *folder, size_t folder_length, const char *name, size_t length);

/* Compares the data of all entries with their checksums (CRC-32). *checked: there is at least one, and no entry with data
 * lacks its own. Errors: FORMAT (damaged; the entry is named). */
tenebra_code tn_zip_verify(const tn_zip *zip, const char *name, bool *checked, tenebra_error *error);

/* The same for the entry whose data begin at `data`. */
tenebra_code tn_zip_verify_at(const tn_zip *zip, const unsigned char *data, const char *name, tenebra_error *error);

#endif
