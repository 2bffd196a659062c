/* tenebra inspect: shows what a model directory contains, and whether the tensors match the configuration. */
#include "app/inspect.h"

#include "base/checked.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct inspection {
    const char *directory, *base;
    bool json, check;
    const tn_backbone *backbone;
    tn_model_config config;
    tn_decoder decoder;
    tn_networks networks;
    tn_store *store;
    json_t *tensors; /* one object a tensor */
    size_t counts[TN_MATCH_COUNT];
    size_t parameters, bytes; /* of matched tensors */
    bool all;                 /* list matched tensors, too */
    void *rule;               /* of the image encoder, owned */
    bool trims_frames;
    tn_notes notes;           /* settings in the files that tenebra does not use */
    tenebra_error text;       /* the error of reading the tokenizer, if any */
    size_t tokens;            /* of the tokenizer; 0: there is none, or it cannot be read */
} inspection;

static const char *const verdicts[] = { "matched", "missing", "unexpected", "misshapen", "adapter", "second" };

static void note(void *user, tn_match match, const char *name, const tn_stored *stored, size_t rows, size_t cols)
{
    inspection *seen = user;
    seen->counts[match]++;
    json_t *shape = json_array();
    for (size_t i = 0; stored != NULL && i < stored->form.rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)stored->form.shape[i]));
    if (match == TN_MATCHED) {
        seen->parameters += stored->form.elements;
        seen->bytes += stored->bytes;
    }
    json_t *line = json_pack("{s:s, s:s, s:o}", "name", name, "verdict", verdicts[match], "shape", shape);
    if (stored != NULL) {
        const tn_form *form = &stored->form;
        json_object_set_new(line, "type", json_string(form->is_weight ? tn_dtype_of(form->type)->name
                                                                      : tn_store_type_of(stored->type)->name));
        json_object_set_new(line, "order", json_string(tn_order_name(form->order)));
        json_object_set_new(line, "bytes", json_integer((json_int_t)stored->bytes));
        json_object_set_new(line, "bits_per_weight", json_real(8 * (double)stored->bytes / (double)tn_max(form->elements, 1)));
        if (strcmp(stored->name, name) != 0)
            json_object_set_new(line, "stored_as", json_string(stored->name));
    }
    json_t *first = rows > 0 ? json_integer((json_int_t)rows) : json_null(); /* the size of the vocabulary is that of the tensors */
    if (match == TN_MISSING || match == TN_MISSHAPEN)
        json_object_set_new(line, "expected", cols == 1 ? json_pack("[O]", first) : json_pack("[O, I]", first, (json_int_t)cols));
    json_decref(first);
    json_array_append_new(seen->tensors, line);
}

static json_t *size_json(size_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *config_json(const inspection *seen)
{
    const tn_decoder_config *decoder = &seen->config.decoder;
    json_t *eos = json_array();
    for (size_t i = 0; i < seen->config.eos_count; i++)
        json_array_append_new(eos, json_integer(seen->config.eos_tokens[i]));
    json_t *text = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o}", "hidden_size", size_json(decoder->hidden_size),
                             "num_hidden_layers", size_json(decoder->num_hidden_layers), "num_attention_heads",
                             size_json(decoder->num_attention_heads), "num_key_value_heads",
                             size_json(decoder->num_key_value_heads), "head_dim", size_json(decoder->head_dim),
                             "intermediate_size", size_json(decoder->intermediate_size), "rope_theta", decoder->rope_theta,
                             "rms_norm_eps", decoder->rms_norm_eps, "max_position_embeddings",
                             size_json(decoder->max_position_embeddings));
    json_t *tower = json_object();
    for (const tn_size_name *each = seen->backbone->encoder->names; each->name != NULL; each++)
        json_object_set_new(tower, each->name, size_json(seen->config.vision.sizes[each->size]));
    size_t least, most;
    seen->backbone->encoder->bounds(seen->rule, &least, &most);
    return json_pack("{s:s, s:o, s:o, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:s}", "backbone", seen->backbone->name, "decoder", text, "vision",
                     tower, "tie_word_embeddings", seen->networks.tied, "image_token_id",
                     (int)seen->config.picture_token, "eos_token_ids", eos, "min_pixels", size_json(least), "max_pixels",
                     size_json(most), "vocabulary", size_json(seen->decoder.embed.matrix.rows), "tokens", size_json(seen->tokens),
                     "names_begin_with", seen->networks.wrapping.front);
}

static void print_tensors(const inspection *seen)
{
    size_t index;
    json_t *line;
    json_array_foreach(seen->tensors, index, line) {
        const char *verdict = json_string_value(json_object_get(line, "verdict"));
        const char *type = json_string_value(json_object_get(line, "type")), *order = json_string_value(json_object_get(line, "order"));
        double bits = json_real_value(json_object_get(line, "bits_per_weight"));
        if (!seen->all && (strcmp(verdict, verdicts[TN_MATCHED]) == 0 || strcmp(verdict, verdicts[TN_ADAPTER_PART]) == 0 ||
                           strcmp(verdict, verdicts[TN_SECOND]) == 0))
            continue;
        char *shape = json_dumps(json_object_get(line, "shape"), JSON_COMPACT);
        tn_app_print("  %-10s %-56s %-6s %-6s %6.2f  %s\n", verdict, json_string_value(json_object_get(line, "name")), type ? type : "",
               order ? order : "", bits, shape ? shape : "");
        free(shape);
    }
}

/* Prints the matched weights by type and order: "Q8_0 panels (3.9 MB), F32 rows (0.1 MB)". */
static void print_types(const inspection *seen)
{
    double bytes[TN_DTYPE_COUNT][2] = { { 0 } };
    size_t index;
    json_t *line;
    json_array_foreach(seen->tensors, index, line) {
        tn_dtype type;
        const char *order = json_string_value(json_object_get(line, "order")), *name = json_string_value(json_object_get(line, "type"));
        bool matched = strcmp(json_string_value(json_object_get(line, "verdict")), verdicts[TN_MATCHED]) == 0;
        if (matched && order != NULL && tn_dtype_by_name(name, &type))
            bytes[type][strcmp(order, tn_order_name(TN_PANELS)) == 0] += json_number_value(json_object_get(line, "bytes"));
    }
    const char *separator = "types      ";
    for (int type = 0; type < TN_DTYPE_COUNT; type++)
        for (int order = 0; order < 2; order++)
            if (bytes[type][order] > 0) {
                tn_app_print("%s%s %s (%.1f MB)", separator, tn_dtype_of((tn_dtype)type)->name, tn_order_name((tn_order)order),
                       bytes[type][order] / 1e6);
                separator = ", ";
            }
    putchar('\n');
}

/* Training programs append tokens to the embedding without adding them to the tokenizer, the last of them that of a latent step. */
static void print_vocabulary(const inspection *seen)
{
    size_t rows = seen->decoder.embed.matrix.rows;
    tn_app_print("vocabulary %zu rows", rows);
    if (seen->tokens > 0)
        tn_app_print(", %zu tokens in the tokenizer", seen->tokens);
    if (rows > 0 && rows > seen->tokens && seen->networks.wrapping.front[0] != '\0')
        tn_app_print("; the last row is %zu", rows - 1);
    putchar('\n');
}

static void print_text(const inspection *seen)
{
    const tn_decoder_config *decoder = &seen->config.decoder;
    const tn_image_encoder *encoder = seen->backbone->encoder;
    size_t least, most;
    char keys[TN_NOTES_TEXT];
    tn_app_print("backbone   %s\n", seen->backbone->name);
    tn_app_print("decoder    %zu layers, hidden %zu, %zu heads (%zu key heads) of %zu, intermediate %zu, rope theta %.15g\n",
           decoder->num_hidden_layers, decoder->hidden_size, decoder->num_attention_heads, decoder->num_key_value_heads,
           decoder->head_dim, decoder->intermediate_size, decoder->rope_theta);
    tn_app_print("vision     ");
    for (const tn_size_name *each = encoder->names; each->name != NULL; each++)
        tn_app_print("%s%s %zu", each == encoder->names ? "" : ", ", each->name, seen->config.vision.sizes[each->size]);
    encoder->bounds(seen->rule, &least, &most);
    tn_fit fit;
    size_t rows = tn_model_rows_of_all(seen->backbone, seen->rule, &fit);
    if (rows > 0)
        tn_app_print("\nimages     all in %zu x %zu pixels, %zu %s each\n", fit.seen_width, fit.seen_height, rows,
                     seen->config.vision.code_count > 0 ? "tokens" : "embeddings");
    else
        tn_app_print("\nimages     resized to %zu to %zu pixels\n", least, most);
    tn_app_print("head       %s\n", seen->networks.tied ? "tied to the embedding" : "its own");
    tn_app_print("weights    %zu parameters, %.1f MB in %zu file(s), %.2f bits each\n", seen->parameters, (double)seen->bytes / 1e6,
           tn_store_file_count(seen->store), 8 * (double)seen->bytes / (double)tn_max(seen->parameters, 1));
    print_types(seen);
    print_vocabulary(seen);
    if (seen->networks.wrapping.front[0] != '\0')
        tn_app_print("names      begin with %s\n", seen->networks.wrapping.front);
    if (seen->counts[TN_ADAPTER_PART] > 0)
        tn_app_print("adapter    %zu tensors of a low-rank adapter; 'tenebra convert' merges or separates it\n",
                     seen->counts[TN_ADAPTER_PART]);
    if (seen->counts[TN_SECOND] > 0)
        tn_app_print("aliases    %zu tensors are second names of others, or replaced by others\n", seen->counts[TN_SECOND]);
    tn_app_print("tensors    %zu matched, %zu missing, %zu misshapen, %zu unexpected\n", seen->counts[TN_MATCHED],
           seen->counts[TN_MISSING], seen->counts[TN_MISSHAPEN], seen->counts[TN_UNEXPECTED]);
    if (seen->notes.count > 0)
        tn_app_print("not used   %s\n", tn_notes_print(&seen->notes, keys));
    if (seen->text.code != TENEBRA_OK)
        tn_app_print("tokenizer  cannot be read: %s: %s\n", seen->text.where, seen->text.sentence);
    print_tensors(seen);
}

static void print_json(inspection *seen)
{
    json_t *counts = json_object();
    for (size_t i = 0; i < TN_MATCH_COUNT; i++)
        json_object_set_new(counts, verdicts[i], size_json(seen->counts[i]));
    json_t *unused = json_array();
    for (size_t i = 0; i < tn_min(seen->notes.count, TN_NOTES_MAX); i++)
        json_array_append_new(unused, json_pack("{s:s, s:s}", "file", seen->notes.entries[i].file, "key",
                                                seen->notes.entries[i].key));
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:O}", "config", config_json(seen), "parameters",
                            size_json(seen->parameters), "bytes", size_json(seen->bytes), "counts", counts, "not_used", unused,
                            "tensors", seen->tensors);
    char *text = json_dumps(all, JSON_COMPACT);
    if (text != NULL)
        tn_app_print("%s\n", text);
    free(text);
    json_decref(all);
}

/* Reads the notes of the tokenizer. A model without a tokenizer is complete. */
static void read_text(inspection *seen, const char *directory)
{
    if (!tn_tokenizer_is_in(directory))
        return;
    tn_tokenizer *tokenizer;
    if (tn_tokenizer_open(directory, &tokenizer, &seen->text) == TENEBRA_OK && (seen->tokens = tn_tokenizer_size(tokenizer)) > 0)
        tn_tokenizer_note(tokenizer, directory, &seen->notes, &seen->text);
    tn_tokenizer_close(tokenizer);
}

static tenebra_code inspect(inspection *seen, const char *path, size_t *mismatches, tenebra_error *error)
{
    tn_model_files files;
    TN_TRY(tn_model_find(path, seen->base, &files, error));
    const char *directory = files.directory.text;
    TN_TRY(tn_model_open_store(directory, files.weights.text, &seen->store, &seen->backbone, &seen->config, &seen->notes, error));
    TN_TRY(tn_model_read_processor(directory, seen->backbone, &seen->config, &seen->rule, &seen->trims_frames, &seen->notes,
                                   error));
    read_text(seen, directory);
    if (seen->text.code == TENEBRA_ERROR_MEMORY)
        return tn_fail(error, seen->text.code, seen->text.where, "%s", seen->text.sentence);
    TN_TRY(tn_networks_open(&seen->networks, seen->backbone, &seen->config, &seen->decoder, error));
    TN_TRY(tn_networks_match(&seen->networks, seen->store, note, seen, mismatches, error));
    tn_networks_note(&seen->networks, &seen->config, &seen->notes);
    return TENEBRA_OK;
}

#define TN_RECORD inspection
static const tn_option option_table[] = {
    TN_TEXT('m', "model", directory, "DIR", NULL, "model directory, or a file of weights"),
    TN_TEXT(0, "base", base, "DIR", NULL, "-m has only the weights: the directory with everything else (configuration, tokenizer)"),
    TN_SWITCH('a', "all", all, "also list the tensors that match"),
    TN_SWITCH(0, "check", check, "compare files with the digests in them"),
    TN_SWITCH(0, "json", json, "print one JSON object to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    inspection seen = { .tensors = json_array() };
    int exit_code, first = tn_options_parse(&tn_command_inspect, &seen, argc, argv, &exit_code);
    tenebra_error error = { 0 };
    size_t mismatches = 0;
    const char *directory = seen.directory;
    if (first >= 0 && directory == NULL && first < argc)
        directory = argv[first];
    tn_path own;
    if (first >= 0 && directory == NULL)
        directory = tn_app_default_model(&own);
    else if (first >= 0)
        directory = tn_app_model_directory(directory, &own);
    if (first >= 0 && directory == NULL) {
        tn_app_tell("tenebra inspect: %s\n", TN_APP_NO_MODEL);
        exit_code = TN_EXIT_USAGE;
    } else if (first >= 0 && seen.check) {
        exit_code = tn_inspect_check(directory, seen.json);
    } else if (first >= 0 && inspect(&seen, directory, &mismatches, &error) != TENEBRA_OK) {
        exit_code = tn_app_fail(&error);
    } else if (first >= 0) {
        if (seen.json)
            print_json(&seen);
        else
            print_text(&seen);
        exit_code = mismatches > 0 ? TN_EXIT_FAILED : TN_EXIT_OK;
    }
    tn_networks_close(&seen.networks);
    tn_model_config_free(&seen.config);
    free(seen.rule);
    tn_store_close(seen.store);
    json_decref(seen.tensors);
    return exit_code;
}

const tn_command tn_command_inspect = {
    .name = "inspect",
    .summary = "show the configuration and tensors of a model, and whether they match",
    .arguments = "",
    .about = "Shows the configuration of a model, and which tensors match, are missing, misshapen or unexpected. With --check, it\n"
             "compares a file, or all tensor files in a directory and its subdirectories (a model, an adapter, a run), with the\n"
             "digests in them. The exit code is 1 if anything does not match.",
    .example = "  tenebra inspect -m MODEL --json\n"
               "  tenebra inspect -m model.pth --base Qwen2-VL-7B-Instruct\n"
               "  tenebra inspect --check runs/one",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
