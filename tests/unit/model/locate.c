/* The directory that -m means, and the error if there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/decode.h"
#include "base/address.h"
#include "base/file.h"
#include "model/lora_parts.h"
#include "unit/model/models.h"

#include <sys/stat.h>

static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

static void test_missing(void **state)
{
    (void)state;
    static const struct {
        const char *path, *words;
    } cases[] = {
        { "Qwen/Qwen2-VL-2B-Instruct", "hf download Qwen/Qwen2-VL-2B-Instruct --local-dir Qwen2-VL-2B-Instruct" },
        { "Qwen/Qwen2-VL/", "hf download Qwen/Qwen2-VL --local-dir Qwen2-VL', then use -m Qwen2-VL" },
        { "Qwen/Qwen2-VL//", "is not a model directory" },
        { "Qwen/", "is not a model directory" },
        { "./Qwen/Qwen2-VL", "is not a model directory" },
        { "/Qwen/Qwen2-VL", "is not a model directory" },
        { "a/b/c", "is not a model directory" },
        { "a b/c", "is not a model directory" },
        { "../a", "is not a model directory" },
        { "a/", "is not a model directory" },
        { TIED "/config.json", "is a file" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tenebra_error error = { 0 };
        tn_path found;
        assert_int_equal(tn_model_locate(cases[i].path, &found, &error), TENEBRA_ERROR_IO);
        assert_error(&error, TENEBRA_ERROR_IO, cases[i].path, cases[i].words);
    }
}

/* The errors about adapters, and about addresses instead of paths. */
static void test_missing_others(void **state)
{
    (void)state;
    static const struct {
        const char *path, *words;
    } cases[] = {
        { "user/adapter", "hf download user/adapter --local-dir adapter', then use --lora adapter" },
        { "./user/adapter", "is not an adapter directory" },
        { TIED "/config.json", "is a file; an adapter is a directory with adapter_config.json" },
        { "https://huggingface.co/user/adapter", "nothing is fetched from a network" },
        { "HTTP://x/y", "nothing is fetched from a network" },
        { "file:///x", "without file://" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tenebra_error error = { 0 };
        tn_file file;
        tn_adapter_missing(cases[i].path, &error);
        assert_error(&error, TENEBRA_ERROR_IO, cases[i].path, cases[i].words);
        if (i > 2) {
            error = (tenebra_error){ 0 };
            assert_int_equal(tn_file_read(&file, cases[i].path, 100, &error), TENEBRA_ERROR_IO);
            assert_error(&error, TENEBRA_ERROR_IO, cases[i].path, cases[i].words);
        }
    }
    assert_null(tn_address_hint("httpd/x.png"));
}

/* models--ORG--NAME with two snapshots of symbolic links into blobs/, as the hub's library lays them. */
static void test_cache(void **state)
{
    (void)state;
    char *directory = make_directory(), path[500], target[500];
    static const char *const folders[] = { "refs", "blobs", "snapshots", "snapshots/0a1b", "snapshots/2c3d" };
    static const char *const files[] = { "config.json", "model.safetensors" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, folders[i]);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/blobs/%zu", directory, i);
        assert_int_equal(symlink(i == 0 ? TIED "/config.json" : TIED "/model.safetensors", path), 0);
        snprintf(path, sizeof path, "%s/snapshots/2c3d/%s", directory, files[i]);
        snprintf(target, sizeof target, "../../blobs/%zu", i);
        assert_int_equal(symlink(target, path), 0);
    }
    tenebra_error error = { 0 };
    tn_path found;
    assert_int_equal(tn_model_locate(directory, &found, &error), TENEBRA_ERROR_IO); /* which of two? */
    assert_error(&error, TENEBRA_ERROR_IO, directory, "refs/main");
    snprintf(path, sizeof path, "%s/refs", directory);
    write_file(path, "main", "2c3d\n", 5);
    tn_model *model = open_model(directory, NULL);
    assert_non_null(strstr(model->directory, "/snapshots/2c3d"));
    assert_int_equal(tn_model_locate(model->directory, &found, NULL), TENEBRA_OK); /* itself */
    assert_string_equal(found.text, model->directory);
    tn_model_close(model);
    write_file(path, "main", "ffff", 4);
    assert_int_equal(tn_model_locate(directory, &found, &error), TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, "ffff", "refs/main");
    write_file(path, "main", "../refs", 7);
    assert_int_equal(tn_model_locate(directory, &found, &error), TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, directory, "refs/main");
    snprintf(path, sizeof path, "%s/snapshots/0a1b", directory);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(tn_model_locate(directory, &found, NULL), TENEBRA_OK);
    assert_non_null(strstr(found.text, "2c3d"));
    snprintf(path, sizeof path, "%s/refs/main", directory);
    unlink(path);
    static const char *const left[] = { "snapshots/2c3d", "blobs" };
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, left[i]);
        remove_directory(strdup(path));
    }
    for (size_t i = 0; i < 3; i += 2) {
        snprintf(path, sizeof path, "%s/%s", directory, folders[i]);
        assert_int_equal(rmdir(path), 0);
    }
    remove_directory(directory);
}

/* What a clone without Git LFS leaves, for each file that may be one. */
static void test_pointers(void **state)
{
    (void)state;
    static const char *const names[] = { "model.safetensors", "config.json", "generation_config.json", "processor_config.json",
                                         "preprocessor_config.json", "tokenizer.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *directory = edited_model(TIED, NULL, NULL, "{}");
        write_file(directory, names[i], pointer, sizeof pointer - 1);
        refuses(directory, TENEBRA_ERROR_FORMAT, names[i], "is a Git LFS pointer, not the file itself; fetch the file with 'git lfs pull'");
    }
    tn_image image;
    tenebra_error error = { 0 };
    assert_int_equal(tn_image_decode(&image, pointer, sizeof pointer - 1, NULL, true, "a.png", &error), TENEBRA_ERROR_FORMAT);
    assert_error(&error, TENEBRA_ERROR_FORMAT, "a.png", "Git LFS");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_missing), cmocka_unit_test(test_missing_others), cmocka_unit_test(test_cache),
                                        cmocka_unit_test(test_pointers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
