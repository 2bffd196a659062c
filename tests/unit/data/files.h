/* A set's directory made by a test. Include after cmocka.h. */
#ifndef TN_TESTS_DATA_FILES_H
#define TN_TESTS_DATA_FILES_H

#include "base/file.h"
#include "data/dataset.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* For remove_tree. */
static inline char *make_tree(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/tenebra-data-XXXXXX", parent && parent[0] ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

/* Writes a file, and the directories on the way to it. */
static inline void put_file(const char *tree, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", tree, name);
    for (char *slash = path + strlen(tree) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static inline void remove_inside(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *inside = tn_path_join(path, entry->d_name);
        if (unlink(inside) != 0) {
            remove_inside(inside);
            rmdir(inside);
        }
        free(inside);
    }
    if (directory != NULL)
        closedir(directory);
}

static inline void remove_tree(char *tree)
{
    remove_inside(tree);
    rmdir(tree);
    free(tree);
}

static inline tn_data *open_set(const char *name, const char *tree, const char *split, const tn_data_options *options,
                                tenebra_error *error)
{
    size_t size = strlen(name) + strlen(tree) + 2;
    char *place = malloc(size);
    assert_non_null(place);
    snprintf(place, size, "%s:%s", name, tree);
    tn_data *data;
    tn_data_open(place, split, options, &data, error);
    free(place);
    return data;
}

/* Opening must fail with `code` and a sentence that contains `part`. */
static inline void refuse_set(const char *name, const char *tree, const char *split, tenebra_code code,
                              const char *part)
{
    tenebra_error error = { 0 };
    tn_data *data = open_set(name, tree, split, NULL, &error);
    if (data != NULL)
        fail_msg("%s:%s was read", name, split);
    if (error.code != code || (strstr(error.sentence, part) == NULL && strstr(error.where, part) == NULL))
        fail_msg("'%s' is not in: %d %s: %s", part, (int)error.code, error.where, error.sentence);
}

#endif
