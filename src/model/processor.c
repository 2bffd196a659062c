/* How images are prepared, from a model directory. transformers 5 writes processor_config.json with an object
 * "image_processor"; 4 writes preprocessor_config.json, and sometimes also a processor_config.json without that object. If both
 * files exist, 5 reads the former (ImageProcessingMixin.get_image_processor_dict), 4 the latter. */
#include "model/model.h"

#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

static const char NEW_FILE[] = "processor_config.json", OLD_FILE[] = "preprocessor_config.json";
static const char IMAGE_PART[] = "image_processor";
#define KEY "image_processor_type"

/* Parts for inputs other than images, and members for other programs; the chat template is read with the text. */
static const char *const processor_keys[] = { IMAGE_PART, "video_processor", "feature_extractor", "processor_class", "tokenizer",
                                              "chat_template", "auto_map", "image_token", "video_token",
                                              "image_seq_length", /* checked below */ NULL };

/* A part that names the class of another image processor is for images that are prepared in another way. transformers 4.57 has
 * a class and one with the ending "Fast", 5.24 also one with "Pil". The backbone's default file names the first. */
static tenebra_code check_class(const tn_backbone *backbone, const json_t *part, const char *file, tenebra_error *error)
{
    static const char *const ends[] = { "", "Fast", "Pil" };
    const char *class = NULL;
    TN_TRY(tn_json_string(part, KEY, &class, file, error));
    if (class == NULL || class[0] == '\0')
        return TENEBRA_OK;
    json_t *standard;
    TN_TRY(tn_json_parse(backbone->preprocessor, strlen(backbone->preprocessor), OLD_FILE, &standard, error));
    const char *own = json_string_value(json_object_get(standard, KEY));
    size_t length = own != NULL ? strlen(own) : 0;
    bool known = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && own != NULL; i++)
        known = known || (strncmp(class, own, length) == 0 && strcmp(class + length, ends[i]) == 0);
    tenebra_code code = known ? TENEBRA_OK
                              : tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"" KEY "\" is \"%.80s\"; models of this type are only "
                                        "read with %.80s. If the file belongs to another model, use the right one", class, own);
    json_decref(standard);
    return code;
}

/* The text that marks an image in the backbone's conversations; "" if there is none. */
static const char *image_text(const tn_backbone *backbone)
{
    for (const tn_chat_template *const *each = tn_chat_templates; *each != NULL; each++)
        if (strcmp((*each)->name, backbone->chat_template) == 0 && (*each)->image != NULL)
            return (*each)->image;
    return "";
}

/* What is read from a directory. */
typedef struct reading {
    const tn_backbone *backbone;
    const tn_encoder_config *config;
    void *rule;
    bool trims;
    tn_notes *notes;
    size_t rows; /* of every image, as the file states; 0: it does not */
} reading;

static tenebra_code read_part(reading *r, const json_t *part, const char *file, const char *prefix, tenebra_error *error)
{
    const tn_image_encoder *encoder = r->backbone->encoder;
    char inner[TN_JSON_PART];
    const char *where = prefix != NULL ? tn_json_part(inner, file, prefix) : file;
    TN_TRY(check_class(r->backbone, part, where, error));
    TN_TRY(encoder->read_rule(part, where, r->config, r->rule, error));
    TN_TRY(tn_json_bool(part, "trim_frame", &r->trims, where, error)); /* tenebra's own key, for any encoder */
    encoder->note_rule(part, file, prefix, r->notes);
    return TENEBRA_OK;
}

static tenebra_code read_new(reading *r, const json_t *json, bool *found, tenebra_error *error)
{
    const json_t *part = json_object_get(json, IMAGE_PART);
    const char *token = json_string_value(json_object_get(json, "image_token"));
    *found = part != NULL && !json_is_null(part);
    tn_notes_unknown(r->notes, json, processor_keys, NEW_FILE, NULL);
    TN_TRY(tn_json_size(json, "image_seq_length", 1, TN_MODEL_JSON_LIMIT, &r->rows, NEW_FILE, error));
    if (token != NULL && strcmp(token, image_text(r->backbone)) != 0) /* not used by transformers either */
        tn_notes_add(r->notes, NEW_FILE, "image_token");
    return *found ? read_part(r, part, NEW_FILE, IMAGE_PART, error) : TENEBRA_OK;
}

/* `found`: the rule was already read from the newer file, and this one is only compared with it. */
static tenebra_code read_old(reading *r, const json_t *json, bool found, tenebra_error *error)
{
    const tn_image_encoder *encoder = r->backbone->encoder;
    const json_t *part = json_object_get(json, IMAGE_PART);
    part = json_is_object(part) ? part : json;
    if (!found)
        return read_part(r, part, OLD_FILE, part != json ? IMAGE_PART : NULL, error);
    void *other = calloc(1, encoder->rule_bytes);
    if (other == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, OLD_FILE, "no memory to read it");
    if (encoder->read_rule(part, OLD_FILE, r->config, other, NULL) != TENEBRA_OK || !encoder->same_rule(r->rule, other))
        tn_notes_add(r->notes, OLD_FILE, "all of it (processor_config.json overrides it and differs)");
    free(other);
    return TENEBRA_OK;
}

static tenebra_code read_default(reading *r, tenebra_error *error)
{
    json_t *json;
    TN_TRY(tn_json_parse(r->backbone->preprocessor, strlen(r->backbone->preprocessor), OLD_FILE, &json, error));
    tenebra_code code = r->backbone->encoder->read_rule(json, OLD_FILE, r->config, r->rule, error);
    json_decref(json);
    return code;
}

size_t tn_model_rows_of_all(const tn_backbone *backbone, const void *rule, tn_fit *fit)
{
    static const tenebra_image_rule nothing;
    const tn_image_encoder *encoder = backbone->encoder;
    tn_fit wide;
    bool fits = encoder->fit(rule, 640, 320, &nothing, &wide, NULL) == TENEBRA_OK &&
                encoder->fit(rule, 1600, 1600, &nothing, fit, NULL) == TENEBRA_OK;
    if (!fits || wide.seen_width != fit->seen_width || wide.seen_height != fit->seen_height)
        return 0;
    return encoder->measure(rule, fit->seen_width, fit->seen_height).rows;
}

/* transformers writes as many placeholders as the file states. If all images have the same number of rows here, it must be that. */
static tenebra_code check_rows(const reading *r, tenebra_error *error)
{
    tn_fit fit;
    if (r->rows == 0)
        return TENEBRA_OK;
    size_t all = tn_model_rows_of_all(r->backbone, r->rule, &fit);
    if (all == 0)
        tn_notes_add(r->notes, NEW_FILE, "image_seq_length");
    if (all == 0 || all == r->rows)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, NEW_FILE, "\"image_seq_length\" is %zu, but images of the size that the file states have "
                   "%zu embeddings", r->rows, all);
}

static tenebra_code read_files(reading *r, const char *directory, tenebra_error *error)
{
    bool found = false;
    json_t *json;
    TN_TRY(tn_json_read_object(directory, NEW_FILE, TN_MODEL_JSON_LIMIT, false, &json, error));
    tenebra_code code = json != NULL ? read_new(r, json, &found, error) : TENEBRA_OK;
    json_decref(json);
    TN_TRY(code);
    TN_TRY(tn_json_read_object(directory, OLD_FILE, TN_MODEL_JSON_LIMIT, false, &json, error));
    if (json != NULL)
        code = read_old(r, json, found, error);
    else if (!found)
        code = read_default(r, error);
    json_decref(json);
    return code == TENEBRA_OK ? check_rows(r, error) : code;
}

tenebra_code tn_model_read_processor(const char *directory, const tn_backbone *backbone, const tn_model_config *config, void **rule,
                                     bool *trims, tn_notes *notes, tenebra_error *error)
{
    reading r = { backbone, &config->vision, calloc(1, backbone->encoder->rule_bytes), false, notes, 0 };
    if (r.rule == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for the description of how images are prepared");
    tenebra_code code = read_files(&r, directory, error);
    *rule = r.rule;
    *trims = r.trims;
    return code;
}
