/* Hand-made safetensors files for the tests of this folder. Include after cmocka.h. */
#ifndef TN_TESTS_STORE_FILES_H
#define TN_TESTS_STORE_FILES_H

#include "store/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file in memory: the length of `header`, `header`, and `data_size` bytes 0, 1, 2, ...
 * For free(). */
static inline unsigned char *make_file(const char *header, size_t data_size, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + data_size;
    unsigned char *file = malloc(*size);
    assert_non_null(file);
    for (size_t i = 0; i < 8; i++)
        file[i] = (unsigned char)(length >> (8 * i));
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        file[8 + length + i] = (unsigned char)i;
    return file;
}

/* Bytes after the header of such a file. */
static inline size_t data_bytes(const unsigned char *file, size_t size)
{
    size_t length = 0;
    for (size_t i = 8; i-- > 0;)
        length = length << 8 | file[i];
    return size - 8 - length;
}

/* A fresh directory; remove_directory takes it away with the plain files in it. For free(). */
static inline char *make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/tenebra-store-XXXXXX", parent && parent[0] ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static inline void write_file(const char *directory, const char *name, const void *bytes, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void write_safetensors(const char *directory, const char *name, const char *header,
                                     size_t data_size)
{
    size_t size;
    unsigned char *bytes = make_file(header, data_size, &size);
    write_file(directory, name, bytes, size);
    free(bytes);
}

#include <dirent.h>

/* Names in `directory`, without "." and "..". */
static inline size_t count_files(const char *directory)
{
    DIR *list = opendir(directory);
    assert_non_null(list);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static inline void remove_directory(char *directory)
{
    DIR *list = opendir(directory);
    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(list);
    assert_int_equal(rmdir(directory), 0);
    free(directory);
}

/* The error must have this code, name `where` and say `words`. */
static inline void assert_error(const tenebra_error *error, tenebra_code code, const char *where,
                                const char *words)
{
    if (error->code != code || strstr(error->where, where) == NULL || strstr(error->sentence, words) == NULL)
        print_error("got code %d, where \"%s\", sentence \"%s\"; wanted code %d, \"%s\"\n",
                    (int)error->code, error->where, error->sentence, (int)code, words);
    assert_int_equal(error->code, code);
    assert_non_null(strstr(error->where, where));
    assert_non_null(strstr(error->sentence, words));
}

#endif
