/* How a model directory wants pictures prepared. transformers 5 writes processor_config.json with an object "image_processor";
 * 4 writes preprocessor_config.json, and beside it sometimes a processor_config.json without that object. Where both are
 * there, 5 takes the former (ImageProcessingMixin.get_image_processor_dict), 4 the latter. */
#include "model/model.h"

#include "text/chat.h"

#include <string.h>

static const char NEW_FILE[] = "processor_config.json", OLD_FILE[] = "preprocessor_config.json";
static const char IMAGE_PART[] = "image_processor";
#define KEY "image_processor_type"

/* Parts for what is no still picture, and words for other programs; the chat template is read with the text. */
static const char *const processor_keys[] = { IMAGE_PART, "video_processor", "feature_extractor", "processor_class", "tokenizer",
                                              "chat_template", "auto_map", "image_token", "video_token", NULL };

static bool same_rule(const tn_patch_config *a, const tn_patch_config *b)
{
    bool same = a->patch_size == b->patch_size && a->merge_size == b->merge_size && a->min_pixels == b->min_pixels &&
                a->temporal_patch_size == b->temporal_patch_size && a->max_pixels == b->max_pixels && a->rescale == b->rescale &&
                a->resample == b->resample && a->resize == b->resize;
    for (size_t c = 0; c < 3; c++)
        same = same && a->mean[c] == b->mean[c] && a->std[c] == b->std[c];
    return same;
}

/* A part that names the class of another image processor asks for pictures that are prepared otherwise. transformers 4.57 has
 * a class and one with "Fast" at its end, 5.24 one with "Pil", too. The backbone's own file names the first. */
static tenebra_code check_class(const tn_backbone *backbone, const json_t *part, const char *file, tenebra_error *error)
{
    static const char *const ends[] = { "", "Fast", "Pil" };
    const char *class = NULL;
    TN_TRY(tn_json_string(part, KEY, &class, file, error));
    if (class == NULL || class[0] == '\0')
        return TENEBRA_OK;
    json_t *standard = tn_json_parse(backbone->preprocessor, strlen(backbone->preprocessor), OLD_FILE, error);
    const char *own = json_string_value(json_object_get(standard, KEY));
    size_t length = own != NULL ? strlen(own) : 0;
    bool known = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && own != NULL; i++)
        known = known || (strncmp(class, own, length) == 0 && strcmp(class + length, ends[i]) == 0);
    tenebra_code code = standard == NULL ? error->code
                        : known ? TENEBRA_OK
                                : tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"" KEY "\" is \"%.80s\"; models of this type are read "
                                          "with %.80s only. If the file is of another model, take the right one", class, own);
    json_decref(standard);
    return code;
}

/* The text that stands for a picture in the backbone's conversations; "" if nothing does. */
static const char *image_text(const tn_backbone *backbone)
{
    for (const tn_chat_template *const *each = tn_chat_templates; *each != NULL; each++)
        if (strcmp((*each)->name, backbone->chat_template) == 0 && (*each)->image != NULL)
            return (*each)->image;
    return "";
}

static tenebra_code read_new(const tn_backbone *backbone, const json_t *json, tn_patch_config *patches, bool *found, tn_notes *notes,
                             tenebra_error *error)
{
    const json_t *part = json_object_get(json, IMAGE_PART);
    const char *token = json_string_value(json_object_get(json, "image_token"));
    *found = part != NULL && !json_is_null(part);
    tn_notes_unknown(notes, json, processor_keys, NEW_FILE, NULL);
    if (token != NULL && strcmp(token, image_text(backbone)) != 0) /* not used by transformers either */
        tn_notes_add(notes, NEW_FILE, "image_token");
    if (!*found)
        return TENEBRA_OK;
    TN_TRY(check_class(backbone, part, NEW_FILE, error));
    TN_TRY(tn_patch_config_read(part, NEW_FILE, patches, error));
    tn_patch_config_note(part, NEW_FILE, IMAGE_PART, notes);
    return TENEBRA_OK;
}

/* `first`: what the newer file says already, or NULL. Then this one is only compared. */
static tenebra_code read_old(const tn_backbone *backbone, const json_t *json, const tn_patch_config *first, tn_patch_config *patches,
                             tn_notes *notes, tenebra_error *error)
{
    const json_t *part = json_object_get(json, IMAGE_PART);
    part = json_is_object(part) ? part : json;
    if (first == NULL) {
        TN_TRY(check_class(backbone, part, OLD_FILE, error));
        TN_TRY(tn_patch_config_read(part, OLD_FILE, patches, error));
        tn_patch_config_note(part, OLD_FILE, part != json ? IMAGE_PART : NULL, notes);
        return TENEBRA_OK;
    }
    tn_patch_config other;
    if (tn_patch_config_read(part, OLD_FILE, &other, NULL) != TENEBRA_OK || !same_rule(first, &other))
        tn_notes_add(notes, OLD_FILE, "all of it (processor_config.json goes before it and says something else)");
    return TENEBRA_OK;
}

static tenebra_code read_default(const tn_backbone *backbone, tn_patch_config *patches, tenebra_error *error)
{
    json_t *json = tn_json_parse(backbone->preprocessor, strlen(backbone->preprocessor), OLD_FILE, error);
    if (json == NULL)
        return TENEBRA_ERROR_MEMORY; /* the text is part of the program */
    tenebra_code code = tn_patch_config_read(json, OLD_FILE, patches, error);
    json_decref(json);
    return code;
}

tenebra_code tn_model_read_processor(const char *directory, const tn_backbone *backbone, const tn_model_config *config,
                                     tn_patch_config *patches, tn_notes *notes, tenebra_error *error)
{
    bool found = false;
    json_t *json;
    TN_TRY(tn_json_read_object(directory, NEW_FILE, TN_MODEL_JSON_LIMIT, false, &json, error));
    tenebra_code code = json != NULL ? read_new(backbone, json, patches, &found, notes, error) : TENEBRA_OK;
    json_decref(json);
    TN_TRY(code);
    const char *file = found ? NEW_FILE : OLD_FILE;
    TN_TRY(tn_json_read_object(directory, OLD_FILE, TN_MODEL_JSON_LIMIT, false, &json, error));
    if (json != NULL)
        code = read_old(backbone, json, found ? patches : NULL, patches, notes, error);
    else if (!found)
        code = read_default(backbone, patches, error);
    json_decref(json);
    TN_TRY(code);
    if (patches->patch_size != config->patch_size || patches->merge_size != config->vision.spatial_merge_size ||
        patches->temporal_patch_size != config->temporal_patch_size)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, file, "patch, merge or temporal size differs from config.json");
    return TENEBRA_OK;
}
