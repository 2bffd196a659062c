/* The settings that training recorded for a model or an adapter (training.json), so that questions are asked as in training. */
#ifndef TN_REASON_TRAINED_H
#define TN_REASON_TRAINED_H

#include "base/notes.h"
#include "data/sample.h"
#include "reason/method.h"

#include <jansson.h>

typedef struct tn_trained {
    const char *preset;    /* the wording; NULL: unknown                    */
    const char *positions; /* NULL: as the method defines                  */
    const char *method;    /* the method of the training; NULL: unknown     */
    tenebra_setting settings[TN_METHOD_OPTIONS_MAX]; /* settings of that method, including those that follow from the training */
    size_t setting_count;
    bool without_cue;      /* rationales were trained without a cue, so no method uses one */
    char latents[TN_SETTING_TEXT_SIZE]; /* the number of latent steps as text            */
    tenebra_image_rule image; /* sizes of images; zeroed: unknown */
    bool of_adapter;       /* the sizes are those of an adapter, whose model may have another rule for images */
    tn_notes notes;        /* unknown keys                               */
    json_t *about;         /* owns the other texts                         */
    tenebra_request request; /* all settings as a request without messages */
} tn_trained;

/* Reads the file of the last adapter that has one, else that of the model. Without a file, nothing is known. Errors: FORMAT
 * (the file is damaged, or names a method, wording or positions that do not exist, which the sentence names), IO, LIMIT,
 * MEMORY; *trained is then empty. Free it with tn_trained_free. The record must not be moved after it was read. */
tenebra_code tn_trained_read(tn_trained *trained, const char *model, const tenebra_adapter *adapters, size_t adapter_count,
                             tenebra_error *error);

/* Reads a text of `size` bytes into an empty *trained; errors name "training.json". If the text has a digest, it must match.
 * *trained must also be freed after an error. */
tenebra_code tn_trained_parse(tn_trained *trained, const void *text, size_t size, tenebra_error *error);
void tn_trained_free(tn_trained *trained);

/* The size of images in training, as the end of a sentence "images are resized ..."; NULL if it is the one that the model's
 * directory says anyway. */
enum { TN_TRAINED_PICTURES_SIZE = 96 };
const char *tn_trained_pictures(const tn_trained *trained, char words[TN_TRAINED_PICTURES_SIZE]);

/* The value of an option in training. NULL: there is none, or `method` is not the method of the training and has its own
 * defaults. Only the cue belongs to the model's wording and therefore applies to all methods. */
const char *tn_trained_setting(const tn_trained *trained, const char *method, const char *name);

/* The wording of questions with choices: that of training, else the default. `trained` may be NULL. */
const tn_prompt_preset *tn_trained_wording(const tn_trained *trained);

#endif
