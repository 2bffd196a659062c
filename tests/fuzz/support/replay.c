/* Replaces libFuzzer in ordinary builds: runs a fuzz target once on each file of the given directories. So the seeds, and
 * inputs that once failed, are part of the tests with any compiler. A directory without files is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Returns false for what is not a readable regular file. */
static int run_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    int done = 0;
    if (fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode)) {
        size_t size = (size_t)info.st_size;
        uint8_t *bytes = malloc(size ? size : 1);
        if (bytes != NULL && fread(bytes, 1, size, file) == size) {
            LLVMFuzzerTestOneInput(bytes, size);
            done = 1;
        }
        free(bytes);
    }
    fclose(file);
    return done;
}

static int run_directory(const char *directory)
{
    DIR *list = opendir(directory);
    if (list == NULL)
        return 0;
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.' && length > 0 && (size_t)length < sizeof path)
            count += run_file(path);
    }
    closedir(list);
    return count;
}

int main(int argc, char **argv)
{
    int status = argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
    for (int i = 1; i < argc; i++) {
        int count = run_directory(argv[i]);
        printf("%s: %d inputs\n", argv[i], count);
        if (count == 0)
            status = EXIT_FAILURE;
    }
    return status;
}
