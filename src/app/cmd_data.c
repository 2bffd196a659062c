#include "app/data.h"

#include <stdio.h>
#include <string.h>

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

/* If two splits share the same rows, only the sum is known here: the size of each part follows from a hash of every row. */
static bool is_part(const tn_dataset_split *split)
{
    return split->part == TN_PART_KEPT || split->part == TN_PART_HELD;
}

static json_t *sets_as_json(void)
{
    json_t *sets = json_array(), *presets = json_array();
    for (const tn_dataset *const *set = tn_datasets; *set != NULL; set++) {
        json_t *splits = json_array();
        for (const tn_dataset_split *split = (*set)->splits; split->name != NULL; split++)
            json_array_append_new(splits, json_pack("{s:s, s:I}", "name", split->name, is_part(split) ? "part_of" : "rows",
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
                tn_app_print(is_part(split) ? " (part of %zu)" : " (%zu)", split->rows[0]);
        }
        tn_app_print("\n");
    }
    tn_app_print("\nwordings of prompts (--preset):\n");
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++)
        tn_app_print("  %-18s %s\n", preset->name, preset->summary);
}

typedef struct list_options {
    bool json;
} list_options;

#define TN_RECORD list_options
static const tn_option option_table[] = {
    TN_SWITCH(0, "json", json, "print JSON to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    list_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_data_list, &options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (first < argc)
        return tn_command_mistake(&tn_command_data_list, "takes no arguments besides options");
    if (options.json)
        return tn_data_print(sets_as_json());
    print_sets();
    return TN_EXIT_OK;
}

const tn_command tn_command_data_list = {
    .name = "data list",
    .summary = "list the data sets that can be read, and the wordings of prompts",
    .arguments = "",
    .about = "Lists the data sets that can be read, with their splits and published sizes, and the wordings of prompts.",
    .example = "  tenebra data list",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};

/* ------------------------------------------------------------- dispatch -- */

static int run_part(int argc, char **argv)
{
    int exit_code;
    const char *name = argc > 1 ? argv[1] : NULL;
    if (tn_command_run_part(&tn_command_data, argc, argv, &exit_code))
        return exit_code;
    bool asked = name != NULL && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0);
    if (name != NULL && !asked)
        tn_app_print_unknown_command("data", "part", name, tn_command_data.parts);
    else
        tn_command_print_parts(&tn_command_data, asked ? stdout : stderr);
    return asked ? TN_EXIT_OK : TN_EXIT_USAGE;
}

static const tn_command *const parts[] = { &tn_command_data_list, &tn_command_data_show, &tn_command_data_check,
                                           &tn_command_data_make, &tn_command_data_vocab, NULL };

const tn_command tn_command_data = {
    .name = "data",
    .summary = "read, check and make data sets",
    .arguments = "",
    .about = "Reads, checks and makes data sets.",
    .example = "  tenebra data make hops /tmp/looks --train 1000 --test 100 && tenebra data show hops:/tmp/looks",
    .parts = parts,
    .run = run_part,
};
