#include "app/data.h"

#include <stdio.h>
#include <string.h>

int tn_data_mistake(const char *part, const char *sentence)
{
    tn_app_tell("tenebra data %s: %s\ntry 'tenebra data %s --help'\n", part, sentence, part);
    return TN_EXIT_USAGE;
}

int tn_data_print(json_t *value)
{
    if (value == NULL) {
        tn_app_tell("tenebra data: no memory for the answer\n");
        return TN_EXIT_FAILED;
    }
    int result = json_dumpf(value, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(value);
    return result == 0 ? TN_EXIT_OK : TN_EXIT_FAILED;
}

void tn_data_print_note(const tn_data *data)
{
    char note[TN_DATA_NOTE];
    if (tn_data_note(data, note)[0] != '\0')
        tn_app_tell("note: %s\n", note);
}

/* ----------------------------------------------------------------- list -- */

static json_t *sets_as_json(void)
{
    json_t *sets = json_array(), *presets = json_array();
    for (const tn_dataset *const *set = tn_datasets; *set != NULL; set++) {
        json_t *splits = json_array();
        for (const tn_dataset_split *split = (*set)->splits; split->name != NULL; split++)
            json_array_append_new(splits, json_pack("{s:s, s:I}", "name", split->name, "rows",
                                                    (json_int_t)split->rows[0]));
        json_array_append_new(sets, json_pack("{s:s, s:s, s:b, s:o}", "name", (*set)->name, "summary",
                                              (*set)->summary, "can_be_made", (*set)->make != NULL, "splits", splits));
    }
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++)
        json_array_append_new(presets, json_pack("{s:s, s:s}", "name", preset->name, "summary", preset->summary));
    return json_pack("{s:o, s:o}", "sets", sets, "presets", presets);
}

static void print_sets(void)
{
    tn_app_print("data sets (NAME:DIR):\n");
    for (const tn_dataset *const *set = tn_datasets; *set != NULL; set++) {
        tn_app_print("  %-10s %s\n             splits:", (*set)->name, (*set)->summary);
        for (const tn_dataset_split *split = (*set)->splits; split->name != NULL; split++) {
            tn_app_print(" %s", split->name);
            if (split->rows[0] > 0)
                tn_app_print(" (%zu)", split->rows[0]);
        }
        tn_app_print("\n");
    }
    tn_app_print("\nwordings of prompts (--preset):\n");
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++)
        tn_app_print("  %-18s %s\n", preset->name, preset->summary);
}

int tn_data_list(int argc, char **argv)
{
    static const tn_usage usage = {
        .command = "data list",
        .arguments = "",
        .summary = "Lists the data sets that can be read, their splits with published sizes, and wordings of prompts.",
        .example = "  tenebra data list",
    };
    bool json = false;
    const tn_option options[] = {
        { .name = "json", .kind = TN_OPTION_FLAG, .target = &json, .help = "print JSON" },
        { 0 },
    };
    int exit_code, first = tn_options_parse(&usage, options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (first < argc)
        return tn_data_mistake("list", "takes no arguments besides options");
    if (json)
        return tn_data_print(sets_as_json());
    print_sets();
    return TN_EXIT_OK;
}

/* ------------------------------------------------------------- dispatch -- */

static const tn_command parts[] = {
    { "list", "data sets that can be read, and wordings of prompts", tn_data_list },
    { "show", "samples: prompt, steps, answer", tn_data_show },
    { "check", "whether counts are the published ones and pictures can be read", tn_data_check },
    { "make", "a generated benchmark of questions that need several looks", tn_data_make },
    { "vocab", "train a tokenizer on the texts of data sets", tn_data_vocab },
    { NULL, NULL, NULL }
};

static int print_parts(const char *program, int exit_code)
{
    FILE *out = exit_code == TN_EXIT_OK ? stdout : stderr;
    fprintf(out, "usage: tenebra %s PART [options]\n\nReads, checks and makes data sets.\n\nparts:\n", program);
    for (const tn_command *part = parts; part->name != NULL; part++)
        fprintf(out, "  %-10s %s\n", part->name, part->summary);
    fprintf(out, "\n'tenebra data PART --help' explains a part. Every option is also read from the environment as\n"
                 "TENEBRA_<NAME>; the command line wins.\n\nexample:\n"
                 "  tenebra data make hops /tmp/looks --train 1000 --test 100 && tenebra data show hops:/tmp/looks\n");
    return exit_code;
}

int tn_cmd_data(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL)
        return print_parts(argv[0], TN_EXIT_USAGE);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return print_parts(argv[0], TN_EXIT_OK);
    for (const tn_command *part = parts; part->name != NULL; part++)
        if (strcmp(part->name, name) == 0)
            return part->run(argc - 1, argv + 1);
    tn_app_print_unknown_command("tenebra data", "part", name, parts);
    return TN_EXIT_USAGE;
}
